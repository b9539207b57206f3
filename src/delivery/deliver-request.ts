// The request for one delivery. What was accepted is already edited for the upstream; here comes what every
// try adds: its place in the trace, the time that is left, and the key by which a repetition is known.

import { takesNoBody } from "../edge/checks.ts";
import type { RequestBuilder } from "../edge/outbound-request.ts";
import { tryTraceparent } from "../edge/trace.ts";
import { parseJobId } from "./core/job-id.ts";
import type { ClaimedJob, RequestTarget } from "./core/protocol.ts";

/** A job whose request is known. */
export type RequestJob = ClaimedJob & { readonly target: RequestTarget };

export const IDEMPOTENCY_KEY = "idempotency-key";

/** The key of a job, the same for all its tries: the random part of its id. */
export function deliveryKey(id: string): string {
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
    request.headers.set("traceparent", tryTraceparent(x));
    request.headers.set("x-tidegate-deadline-ms", String(Math.max(1, Math.floor(remainingMs))));
    return request;
  };
}
