// The `Via` field (RFC 9110 7.6.3): who handed the message on, and whether that was us already.

const BACKSLASH = "\\";

/** `existing` with one more hop: `"1.0 a"` becomes `"1.0 a, 1.1 name"`. */
export function appendVia(existing: string | null, name: string): string {
  return existing === null || existing === "" ? `1.1 ${name}` : `${existing}, 1.1 ${name}`;
}

/**
 * The field without its comments, which nest and may hold commas. When one does not end, the field is
 * returned whole: a client that opens a comment must not hide the hops that come after it.
 */
function withoutComments(field: string): string {
  let kept = "";
  let depth = 0;
  for (let index = 0; index < field.length; index++) {
    const character = field[index];
    if (character === "(") depth++;
    else if (character === ")" && depth > 0) depth--;
    else if (depth === 0) kept += character;
    else if (character === BACKSLASH) index++;
  }
  return depth === 0 ? kept : field;
}

/**
 * Whether a `Via` field holds this pseudonym so many times: whole, in any case, whatever the version and the
 * comments.
 */
export function viaNames(existing: string, name: string, times = 1): boolean {
  const field = existing.toLowerCase();
  const wanted = name.toLowerCase();
  if (!field.includes(wanted)) return false;
  let found = 0;
  for (const hop of (field.includes("(") ? withoutComments(field) : field).split(",")) {
    if (hop.trim().split(/[ \t]+/)[1] === wanted) found++;
  }
  return found >= times;
}
