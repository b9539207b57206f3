// The request for one delivery. What was accepted is already edited for the upstream; here comes what every
// try adds: its place in the trace, the time that is left, and the key by which a repetition is known. An
// event was never a request, so of it the gateway says here that it has passed: a delivery that leads back to
// the gateway is a loop.

import { takesNoBody } from "../edge/checks.ts";
import { className } from "../edge/class-names.ts";
import { consumerAt } from "../edge/engine.ts";
import type { Exchange } from "../edge/exchange.ts";
import type { RequestBuilder } from "../edge/outbound-request.ts";
import { tryTraceparent } from "../edge/trace.ts";
import { parseJobId } from "./core/job-id.ts";
import type { ClaimedJob, RequestTarget } from "./core/protocol.ts";

/** A job whose request is known. */
export type RequestJob = ClaimedJob & { readonly target: RequestTarget };

export const IDEMPOTENCY_KEY = "idempotency-key";

/** The key of a job, the same for all its tries: the random part of its id. */
function deliveryKey(id: string): string {
  return parseJobId(id)?.secret ?? id;
}

/** What is the same for every try; throws a TypeError for what is no request at all. */
export function templateOf({ id, requestId, target }: RequestJob): Request {
  const { method, headers: pairs } = target.request;
  const headers = new Headers();
  for (const [name, value] of pairs) headers.append(name, value);
  // The client's own key says more: the upstream may know it from another way.
  if (!headers.has(IDEMPOTENCY_KEY)) headers.set(IDEMPOTENCY_KEY, deliveryKey(id));
  if (requestId !== null && !headers.has("x-request-id")) headers.set("x-request-id", requestId);
  // Another try's would say the wrong length or the wrong framing.
  headers.delete("content-length");
  headers.delete("transfer-encoding");
  return new Request("http://job.invalid/", { method, headers });
}

/** Builds the request of a try. `signal` ends it when nobody waits for its answer any more. */
export function buildDelivery(
  body: Uint8Array | ReadableStream<Uint8Array> | null,
  signal: AbortSignal,
): RequestBuilder {
  return (x, url, _outbound, remainingMs) => {
    const { method, headers } = x.request;
    const init: RequestInit & { duplex?: "half" } = { method, headers, redirect: "manual", signal };
    if (body !== null && !takesNoBody(method)) init.body = body;
    if (body instanceof ReadableStream) init.duplex = "half";
    const request = new Request(url, init);
    if (!request.headers.has("via")) addOwnFields(request.headers, x);
    request.headers.set("traceparent", tryTraceparent(x));
    request.headers.set("x-tidegate-deadline-ms", String(Math.max(1, Math.floor(remainingMs))));
    return request;
  };
}

function addOwnFields(headers: Headers, x: Exchange): void {
  const { engine, requestId, trafficClass, consumer, tenant } = x;
  headers.set("via", engine.ownVia);
  headers.set("x-request-id", requestId);
  headers.set("x-tidegate-class", className(trafficClass));
  const known = consumerAt(engine, consumer);
  if (known !== null) headers.set("x-tidegate-consumer", known.name);
  if (tenant >= 0) headers.set("x-tidegate-tenant", engine.plan.tenants[tenant].name);
}
