// A Structured Field String (RFC 9651 3.3.3): printable ASCII in double quotes.

const NOT_PRINTABLE = /[^\x20-\x7e]/g;
const NEEDS_ESCAPE = /["\\]/g;

/** The text in double quotes; what the notation cannot carry becomes "?". */
export function quoteString(text: string): string {
  return `"${text.replace(NOT_PRINTABLE, "?").replace(NEEDS_ESCAPE, String.raw`\$&`)}"`;
}
