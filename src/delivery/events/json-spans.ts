// Where the parts of a JSON text stand. A payload is handed on as the text that it came as: parsing and
// writing it again would round large numbers (64-bit keys of databases), and reorder keys that look like
// numbers. It reads over a text that JSON.parse has taken; of any other it says nothing.

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = new Set(["{", "["]);
const CLOSE = new Set(["}", "]"]);
const SPACES = new Set([" ", "\t", "\n", "\r"]);

function skipSpaces(text: string, start: number): number {
  let at = start;
  while (SPACES.has(text[at])) at += 1;
  return at;
}

/** The place behind the string whose quote stands at `start`. */
function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at + 1;
}

/** The place behind the value that begins at `start`. */
function valueEnd(text: string, start: number): number {
  let depth = 0;
  let at = start;
  while (at < text.length) {
    const letter = text[at];
    if (text.charCodeAt(at) === QUOTE) {
      at = stringEnd(text, at);
      if (depth === 0) return at;
      continue;
    }
    if (OPEN.has(letter)) depth += 1;
    else if (CLOSE.has(letter)) {
      // The end of what holds a number or a word.
      if (depth === 0) return at;
      depth -= 1;
      if (depth === 0) return at + 1;
    } else if (depth === 0 && (letter === "," || SPACES.has(letter))) return at;
    at += 1;
  }
  return at;
}

/** The members of the object that a JSON text is, each value as its own text; the last of a name counts. */
export function memberTexts(text: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = skipSpaces(text, skipSpaces(text, 0) + 1);
  while (text[at] === '"') {
    const nameEnd = stringEnd(text, at);
    const name: unknown = JSON.parse(text.slice(at, nameEnd));
    const start = skipSpaces(text, skipSpaces(text, nameEnd) + 1);
    const end = valueEnd(text, start);
    members.set(String(name), text.slice(start, end));
    at = skipSpaces(text, end);
    if (text[at] === ",") at = skipSpaces(text, at + 1);
  }
  return members;
}

/** The elements of the array that a JSON text is, each as its own text. */
export function elementTexts(text: string): string[] {
  const elements: string[] = [];
  let at = skipSpaces(text, skipSpaces(text, 0) + 1);
  while (at < text.length && text[at] !== "]") {
    const end = valueEnd(text, at);
    elements.push(text.slice(at, end));
    at = skipSpaces(text, end);
    if (text[at] === ",") at = skipSpaces(text, at + 1);
  }
  return elements;
}
