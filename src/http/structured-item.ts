// Reads over Structured Field items (RFC 9651 section 4.2) without keeping what they say: each function
// takes the place where something begins and returns the place after it, or -1 when it is malformed.

const MALFORMED = -1;
const KEY = /[a-z*][a-z0-9_.*-]*/y;
const BARE_ITEMS: Readonly<Record<string, RegExp>> = {
  '"': /"(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"/y,
  ":": /:[A-Za-z0-9+/=]*:/y,
  "?": /\?[01]/y,
  "@": /@-?\d{1,15}(?![\d.])/y,
  "%": /%"(?:[\x20-\x21\x23-\x24\x26-\x7e]|%[0-9a-f]{2})*"/y,
};
const NUMBER = /-?(?:\d{1,12}\.\d{1,3}|\d{1,15})(?![\d.])/y;
const TOKEN = /[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*/y;
const SPACE = 0x20;

function endOf(pattern: RegExp, text: string, start: number): number {
  pattern.lastIndex = start;
  return pattern.test(text) ? pattern.lastIndex : MALFORMED;
}

function skipSpaces(text: string, start: number): number {
  let at = start;
  while (text.charCodeAt(at) === SPACE) at++;
  return at;
}

/** Display strings carry UTF-8 in their escapes (section 4.2.10). */
function isUtf8(escaped: string): boolean {
  try {
    decodeURIComponent(escaped);
    return true;
  } catch {
    return false;
  }
}

/** The end of a dictionary's or a parameter's key (section 4.2.3.3). */
export function skipKey(text: string, start: number): number {
  return endOf(KEY, text, start);
}

function skipBareItem(text: string, start: number): number {
  const first = text[start];
  if (first === undefined) return MALFORMED;
  const pattern = BARE_ITEMS[first] ?? (first === "-" || (first >= "0" && first <= "9") ? NUMBER : TOKEN);
  const end = endOf(pattern, text, start);
  if (first === "%" && end !== MALFORMED && !isUtf8(text.slice(start + 2, end - 1))) return MALFORMED;
  return end;
}

/** The end of the parameters that begin here, of which there may be none (section 4.2.3.2). */
export function skipParameters(text: string, start: number): number {
  let at = start;
  while (text[at] === ";") {
    at = skipKey(text, skipSpaces(text, at + 1));
    if (at !== MALFORMED && text[at] === "=") at = skipBareItem(text, at + 1);
    if (at === MALFORMED) return MALFORMED;
  }
  return at;
}

function skipInnerList(text: string, start: number): number {
  let at = start + 1;
  for (;;) {
    const next = skipSpaces(text, at);
    if (text[next] === ")") return next + 1;
    if (next === at && text[at - 1] !== "(") return MALFORMED;
    at = skipBareItem(text, next);
    if (at !== MALFORMED) at = skipParameters(text, at);
    if (at === MALFORMED) return MALFORMED;
  }
}

/** The end of an item or an inner list, its parameters not included (sections 4.2.1.1 and 4.2.1.2). */
export function skipValue(text: string, start: number): number {
  return text[start] === "(" ? skipInnerList(text, start) : skipBareItem(text, start);
}
