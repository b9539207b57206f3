// Whether a webhook may go to a URL. Somebody outside may have chosen it, so it must not lead into a
// network of ours, to this gateway itself, or say more than where to go. Asked when an endpoint is
// configured and again before each try.
//
// The URL is judged as `fetch` will understand it: the parser has turned 2130706433, 0x7f.1, 0177.0.0.1 and
// full-width digits into 127.0.0.1 by then. Names are not resolved here; a Worker cannot pin what a name
// means at the moment of the call, and the flag `global_fetch_strictly_public` keeps it out of the zone's
// own ways.

import { parseIpv6 } from "../../../http/client-address.ts";
import { isLoopbackAddress, isPublicAddress } from "./addresses.ts";

export const MAX_TARGET_CHARS = 2_048;
/** With https; more can be allowed. */
export const DEFAULT_PORTS: readonly number[] = [443, 8443];

export interface TargetRules {
  /** Only in local development: loopback and plain http are allowed. */
  readonly isLocal: boolean;
  /** Host names of the gateway itself; `*.example.com` means all below. */
  readonly ownHosts: readonly string[];
  /** Beside `DEFAULT_PORTS`. */
  readonly ports: readonly number[];
}

export type TargetRefusal =
  | "malformed"
  | "too-long"
  | "scheme"
  | "userinfo"
  | "fragment"
  | "port"
  | "address"
  | "special-host"
  | "own-host";

export type TargetCheck =
  | { readonly kind: "allowed"; readonly url: string }
  | { readonly kind: "refused"; readonly reason: TargetRefusal };

/** What each refusal asks for, behind the name of the field. */
export const TARGET_RULES: Readonly<Record<TargetRefusal, string>> = {
  malformed: "must be a URL like https://example.com/hook",
  "too-long": `must be at most ${MAX_TARGET_CHARS} characters`,
  scheme: "must use https",
  userinfo: "must not hold a user or a password",
  fragment: "must not hold a fragment",
  port: "must use port 443 or 8443, or one that is allowed",
  address: "must not lead to an address that is not public",
  "special-host": "must have a host name that is public",
  "own-host": "must not lead to the gateway itself",
};

/** `scheme://authority`, then anything. The parser also takes backslashes, spaces and missing slashes. */
const WRITTEN = /^(?<scheme>[A-Za-z][A-Za-z0-9+.-]*):\/\/(?<authority>[^/?#\\\s]+)[^\s\\]*$/;
/** A name with at least two labels. Underscores occur; others cannot be registered. */
const NAME = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const MAX_NAME_CHARS = 253;

/** Names that are not on the public network (RFC 6761 and successors), and what private networks use. */
const SPECIAL_SUFFIXES = [
  "localhost",
  "local",
  "localdomain",
  "internal",
  "intranet",
  "private",
  "lan",
  "home",
  "corp",
  "mail",
  "arpa",
  "test",
  "example",
  "invalid",
  "onion",
  "alt",
];
/** Public names that lead to addresses written in them, or to 127.0.0.1. */
const REBINDING_SUFFIXES = [
  "nip.io",
  "sslip.io",
  "xip.io",
  "localtest.me",
  "lvh.me",
  "vcap.me",
  "lacolhost.com",
  "traefik.me",
  "rebind.it",
  "rbndr.us",
];

/** Judges a URL as it is written in a configuration. */
export function checkTarget(written: string, rules: TargetRules): TargetCheck {
  if (written.length > MAX_TARGET_CHARS) return refused("too-long");
  const parts = WRITTEN.exec(written)?.groups;
  if (parts === undefined || !URL.canParse(written) || hasControl(written)) return refused("malformed");
  const url = new URL(written);
  const isHttp = url.protocol === "http:";
  if (url.protocol !== "https:" && !(isHttp && rules.isLocal)) return refused("scheme");
  if (parts.authority.includes("@") || url.username !== "" || url.password !== "") return refused("userinfo");
  if (written.includes("#")) return refused("fragment");
  const host = bareHost(url.hostname);
  const isLoopback = isLoopbackHost(host);
  if (isLoopback && rules.isLocal) return { kind: "allowed", url: url.href };
  const port = url.port === "" ? (isHttp ? 80 : 443) : Number(url.port);
  const isUsualPort = (isHttp && port === 80) || DEFAULT_PORTS.includes(port) || rules.ports.includes(port);
  if (!isUsualPort) return refused("port");
  if (isOwnHost(host, rules.ownHosts)) return refused("own-host");
  const wrong = hostRefusal(host);
  return wrong === null ? { kind: "allowed", url: url.href } : refused(wrong);
}

function refused(reason: TargetRefusal): TargetCheck {
  return { kind: "refused", reason };
}

function hostRefusal(host: string): TargetRefusal | null {
  if (isAddress(host)) return isPublicAddress(host) ? null : "address";
  if (host.length > MAX_NAME_CHARS || !NAME.test(host)) return "special-host";
  return isBelow(host, SPECIAL_SUFFIXES) || isBelow(host, REBINDING_SUFFIXES) ? "special-host" : null;
}

/** Lower case, without brackets and without the root's dot. */
function bareHost(hostname: string): string {
  const unbracketed = hostname.replace(/^\[(.*)\]$/, "$1");
  return (unbracketed.endsWith(".") ? unbracketed.slice(0, -1) : unbracketed).toLowerCase();
}

function isAddress(host: string): boolean {
  return /^[\d.]+$/.test(host) || parseIpv6(host) !== null;
}

function isLoopbackHost(host: string): boolean {
  return isBelow(host, ["localhost"]) || isLoopbackAddress(host);
}

function isBelow(host: string, suffixes: readonly string[]): boolean {
  return suffixes.some((suffix) => host === suffix || host.endsWith(`.${suffix}`));
}

function isOwnHost(host: string, ownHosts: readonly string[]): boolean {
  return ownHosts.some((written) => {
    const own = bareHost(written);
    return own.startsWith("*.") ? isBelow(host, [own.slice(2)]) : host === own;
  });
}

function hasControl(text: string): boolean {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  return /[\u0000-\u0020\u007f-\u00a0]/.test(text);
}
