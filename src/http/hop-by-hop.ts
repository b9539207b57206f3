// Hop-by-hop fields (RFC 9110 7.6.1): they belong to one connection and never pass the gateway. What
// `Connection` names goes too, whatever it is, so the gateway sets its own fields after this.

const ALWAYS_REMOVED = [
  "connection",
  "proxy-connection",
  "keep-alive",
  "te",
  "transfer-encoding",
  "trailer",
  "proxy-authorization",
  "proxy-authenticate",
  "expect",
] as const;
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

function removeNamed(headers: Headers, connection: string, keepUpgrade: boolean): void {
  for (const option of connection.split(",")) {
    const name = option.trim().toLowerCase();
    if (!FIELD_NAME.test(name) || (keepUpgrade && name === "upgrade")) continue;
    headers.delete(name);
  }
}

/**
 * Removes everything that `Connection` names, then the fixed set, from a request's or a response's fields.
 * `upgrade` stays with `keepUpgrade`, even when `Connection` names it: that hop the gateway makes itself.
 */
export function removeHopByHop(headers: Headers, keepUpgrade: boolean): void {
  const connection = headers.get("connection");
  if (connection !== null) removeNamed(headers, connection, keepUpgrade);
  for (const name of ALWAYS_REMOVED) headers.delete(name);
  if (!keepUpgrade) headers.delete("upgrade");
}
