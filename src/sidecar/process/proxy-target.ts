// Where a request to a proxy goes: the upstream that one of its targets, or its own name, stands for; else
// beyond what is configured.

import type { UpstreamPlan } from "../../config/plan.ts";
import { UPSTREAM_SUFFIX, callHost } from "../../config/call-routes.ts";

export type ProxyTarget =
  /** `host` is what its outbound route is known by; `target` is path and query behind the base path. */
  | { readonly kind: "upstream"; readonly host: string; readonly target: string }
  | { readonly kind: "unknown"; readonly url: URL }
  | { readonly kind: "malformed" };

const ABSOLUTE = /^https?:\/\/([^/?#@\s]+)((?:[/?].*)?)$/i;

/** Reads an absolute-form request target (RFC 9112 3.2.2); path and query stay as the client wrote them. */
export function directProxy(url: string, upstreams: readonly UpstreamPlan[]): ProxyTarget {
  const match = ABSOLUTE.exec(url);
  if (match === null || !URL.canParse(url)) return { kind: "malformed" };
  const authority = match[1].toLowerCase();
  const target = match[2].startsWith("/") ? match[2] : `/${match[2]}`;
  const name = authority.replace(/:\d+$/, "");
  if (name.endsWith(UPSTREAM_SUFFIX)) return { kind: "upstream", host: name, target };
  const plain = withoutPort80(authority);
  for (const upstream of upstreams) {
    for (const { baseUrl } of upstream.targets) {
      // A caller says http where its sidecar speaks TLS to the target.
      const { host, pathname } = new URL(baseUrl);
      if (host !== plain) continue;
      const rest = behind(pathname, target);
      if (rest !== null) return { kind: "upstream", host: callHost(upstream), target: rest };
    }
  }
  return { kind: "unknown", url: new URL(url) };
}

/** The target without the base path, or null where it does not begin with it. */
function behind(basePath: string, target: string): string | null {
  const base = basePath.replace(/\/$/, "");
  if (base === "") return target;
  if (!target.startsWith(base)) return null;
  const rest = target.slice(base.length);
  if (rest === "" || rest.startsWith("?")) return `/${rest}`;
  return rest.startsWith("/") ? rest : null;
}

function withoutPort80(authority: string): string {
  return authority.endsWith(":80") ? authority.slice(0, -3) : authority;
}
