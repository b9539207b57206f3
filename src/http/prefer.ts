// The `Prefer` field (RFC 7240): whether a client asks to be answered before the work is done, and how long
// it would rather wait for it. A preference is no demand: what is malformed or unknown is passed over.

export interface Preferences {
  readonly respondAsync: boolean;
  /** Seconds; null: not asked for. */
  readonly waitSeconds: number | null;
}

export const NO_PREFERENCES: Preferences = { respondAsync: false, waitSeconds: null };

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const WORD = `(?:${TOKEN}|"(?:[^"\\\\]|\\\\.)*")`;
const PAIR = `(${TOKEN})(?:[ \\t]*=[ \\t]*(${WORD}))?`;
const PREFERENCE = new RegExp(`^${PAIR}(?:[ \\t]*;(?:[ \\t]*${TOKEN}(?:[ \\t]*=[ \\t]*${WORD})?)?)*[ \\t]*$`);
/** Members of a list; a comma within quotes belongs to its text. */
const MEMBER = /(?:[^",]|"(?:[^"\\]|\\.)*"?)+/g;
const SECONDS = /^\d{1,9}$/;

/** The first of each preference counts (RFC 7240 2). */
export function parsePrefer(value: string | null): Preferences {
  if (value === null) return NO_PREFERENCES;
  const found = new Map<string, string>();
  for (const [member] of value.matchAll(MEMBER)) {
    const match = PREFERENCE.exec(member.trim());
    if (match === null) continue;
    const name = match[1].toLowerCase();
    if (!found.has(name)) found.set(name, unquoted(match[2] ?? ""));
  }
  const wait = found.get("wait") ?? "";
  return {
    respondAsync: found.has("respond-async"),
    waitSeconds: SECONDS.test(wait) ? Number(wait) : null,
  };
}

function unquoted(word: string): string {
  return word.startsWith('"') ? word.slice(1, -1).replaceAll(/\\(.)/g, "$1") : word;
}
