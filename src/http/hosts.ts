// The `Host` of a request. Only `name[:port]` and `[IPv6][:port]` pass: anything else could forge the path
// of the URL that the runtime builds from it.

import { parseIpv6 } from "./client-address.ts";

const NAMED = /^[A-Za-z0-9._-]+(?::(\d{1,5}))?$/;
const BRACKETED = /^\[([0-9A-Fa-f:.]+)\](?::(\d{1,5}))?$/;
const MAX_PORT = 65_535;

function isPort(digits: string | undefined): boolean {
  return digits === undefined || Number(digits) <= MAX_PORT;
}

/** Whether a `Host` value is a host with at most a port (RFC 9110 7.2, without percent-encoded names). */
export function isValidHost(host: string): boolean {
  const named = NAMED.exec(host);
  if (named !== null) return isPort(named[1]);
  const bracketed = BRACKETED.exec(host);
  return bracketed !== null && parseIpv6(bracketed[1]) !== null && isPort(bracketed[2]);
}

/** The host of a URL, with its port unless that is the scheme's own; null for what is no URL. */
export function hostOfUrl(url: string): string | null {
  return URL.canParse(url) ? new URL(url).host : null;
}

/** The name to match routes on: lower case, without port and without the root's trailing dot. */
export function hostName(host: string): string {
  const afterBracket = host.lastIndexOf("]");
  const colon = host.indexOf(":", afterBracket === -1 ? 0 : afterBracket);
  const name = colon === -1 ? host : host.slice(0, colon);
  return (name.endsWith(".") ? name.slice(0, -1) : name).toLowerCase();
}
