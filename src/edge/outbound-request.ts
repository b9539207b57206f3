// What goes upstream: the URL after the target's base path, and the header fields by RFC 9110 7.6.1.
// First everything that belongs to the client's connection goes, then the gateway's own fields come, so
// nothing that a client names in `Connection` can take them away again.

import { removeHopByHop } from "../http/hop-by-hop.ts";
import { rewritePath } from "../http/paths.ts";
import { formatTraceparent } from "../http/trace-context.ts";
import { appendVia } from "../http/via.ts";
import { NOBODY } from "./api-keys.ts";
import { className } from "./checks.ts";
import { consumerAt } from "./engine.ts";
import type { Exchange } from "./exchange.ts";
import { newSpanId } from "./identity.ts";

/** Path and query as they are appended to a target's base URL. */
export function upstreamPath(x: Exchange): string {
  const rewrite = x.route?.rewrite ?? null;
  return (rewrite === null ? x.rawPath : rewritePath(rewrite, x.rawPath)) + x.query;
}

/** The fields for all tries of a request; `stampTry` completes them for each. */
export function upstreamHeaders(x: Exchange): Headers {
  const { inbound, engine, route } = x;
  const headers = new Headers(x.request.headers);
  if (inbound.connection !== null || inbound.hopByHop !== null) removeHopByHop(headers, isUpgrade(x));
  else if (inbound.upgrade !== null && !isUpgrade(x)) headers.delete("upgrade");
  if (inbound.private !== null) for (const name of inbound.private) headers.delete(name);
  headers.delete("host");
  if (x.consumer !== NOBODY) headers.delete("x-api-key");
  headers.set("via", appendVia(headers.get("via"), engine.plan.name));
  addForwarded(headers, x);
  headers.set("x-request-id", x.requestId);
  headers.set("x-tidegate-class", className(x.trafficClass));
  const consumer = consumerAt(engine, x.consumer);
  if (consumer !== null) headers.set("x-tidegate-consumer", consumer.name);
  if (x.tenant >= 0) headers.set("x-tidegate-tenant", engine.plan.tenants[x.tenant].name);
  if (route !== null) {
    const edit = engine.requestHeaders[route.index];
    for (const name of edit.remove) headers.delete(name);
    for (const [name, value] of edit.set) headers.set(name, value);
  }
  return headers;
}

/** What differs from try to try: a span of its own, and the time that is left. */
export function stampTry(headers: Headers, x: Exchange, remainingMs: number): void {
  headers.set("traceparent", formatTraceparent(x.traceId, newSpanId(x.engine.random), x.traceFlags));
  headers.set("x-tidegate-deadline-ms", String(Math.max(1, Math.floor(remainingMs))));
}

/** Whether the client asks for a WebSocket: the only upgrade that passes. */
export function isUpgrade(x: Exchange): boolean {
  return x.inbound.upgrade !== null && x.inbound.upgrade.toLowerCase() === "websocket";
}

function addForwarded(headers: Headers, x: Exchange): void {
  const { clientAddress, host } = x.inbound;
  if (clientAddress !== null) headers.append("x-forwarded-for", clientAddress);
  headers.append("x-forwarded-proto", x.request.url.startsWith("https:") ? "https" : "http");
  if (host !== null) headers.append("x-forwarded-host", host);
}
