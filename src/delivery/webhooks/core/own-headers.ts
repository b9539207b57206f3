// Headers that an endpoint's configuration adds to its webhooks. It may not replace what delivery itself
// says, nor what belongs to the connection; such a name is left out, and so is what is no header.

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}$/;
const VALUE = /^[\t\u0020-\u007e\u0080-\u00ff]*$/;
export const MAX_OWN_HEADERS = 20;
export const MAX_OWN_VALUE_CHARS = 4_096;

const REFUSED = new Set([
  "host",
  "content-length",
  "content-type",
  "content-encoding",
  "connection",
  "proxy-connection",
  "proxy-authorization",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "expect",
  "via",
  "forwarded",
  "cookie",
]);
const REFUSED_PREFIXES = ["webhook-", "ce-", "cf-", "x-forwarded-", "x-tidegate-"];

/** Whether a configured header is sent. `authorization` may be: somebody has written it on purpose. */
export function isOwnHeader(name: string, value: string): boolean {
  const lower = name.toLowerCase();
  if (!NAME.test(name) || !VALUE.test(value) || value.length > MAX_OWN_VALUE_CHARS) return false;
  return !REFUSED.has(lower) && !REFUSED_PREFIXES.some((prefix) => lower.startsWith(prefix));
}
