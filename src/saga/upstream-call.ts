// One call of an upstream that no client waits for, such as a step of a saga. It goes the way of a live
// request from the cursor on: class, permits, breaker, target, timeout, header fields, measurements. It is
// tried once; whoever asks keeps its own count of tries.

import type { TrafficClass } from "../config/plan.ts";
import { ProbeQueue } from "../delivery/consumer-hub.ts";
import { levelOfNobody, levelOfUser } from "../resilience/level.ts";
import { nextUint32 } from "../resilience/random.ts";
import { noteOriginal } from "../resilience/upstream-control.ts";
import { NO_TARGET } from "../resilience/target-choice.ts";
import { parseRetryAfterMs } from "../http/retry-after.ts";
import { passCursor, returnPermits, settleArrival, takeTenantPermits } from "../edge/admission.ts";
import type { Engine, Upstream } from "../edge/engine.ts";
import { Exchange } from "../edge/exchange.ts";
import { sendByFetch } from "../edge/fetch-carrier.ts";
import { ANYBODY } from "../edge/shell.ts";
import { identify } from "../edge/identity.ts";
import { readInboundHeaders } from "../edge/inbound-headers.ts";
import { createOutboundBody } from "../edge/outbound-body.ts";
import type { RequestBuilder } from "../edge/outbound-request.ts";
import { upstreamRequest } from "../edge/outbound-request.ts";
import { followOverrides } from "../edge/overrides.ts";
import { traceCall } from "../edge/trace.ts";
import { runTry } from "../edge/try.ts";
import { Verdict, problemOf } from "../edge/verdict.ts";

const probes = new ProbeQueue();

export interface UpstreamCall {
  readonly upstream: string;
  readonly method: string;
  /** Path and query, appended to the target's base URL. */
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string | null;
  readonly timeoutMs: number;
  readonly trafficClass: TrafficClass;
  /** On whose behalf; null: nobody's. */
  readonly consumer: string | null;
  readonly tenant: string | null;
  readonly requestId: string;
  /** Ends the call: a fetch that is waited for no more would keep its connection. */
  readonly signal: AbortSignal;
}

export type UpstreamReply =
  | { readonly kind: "answered"; readonly response: Response; readonly retryAfterMs: number | null }
  /** Nothing left for the upstream. */
  | { readonly kind: "unsent"; readonly reason: string; readonly retryAfterMs: number | null }
  /** It may have arrived; no usable answer came. */
  | { readonly kind: "lost"; readonly reason: string };

/** Calls an upstream by name. Keeps nothing; never throws but for bugs. */
export async function callUpstream(
  engine: Engine,
  call: UpstreamCall,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<UpstreamReply> {
  const upstream = engine.upstreams.find(({ plan }) => plan.name === call.upstream);
  if (upstream === undefined) {
    return { kind: "unsent", reason: `there is no upstream ${call.upstream}`, retryAfterMs: null };
  }
  followOverrides(engine);
  const x = openExchange(engine, upstream, call, waitUntil);
  let verdict: Verdict = Verdict.internalError;
  try {
    verdict = await run(x, upstream, call);
  } finally {
    conclude(x, verdict);
  }
  return replyOf(x, verdict);
}

async function run(x: Exchange, upstream: Upstream, call: UpstreamCall): Promise<Verdict> {
  const refused = passCursor(x) || takeTenantPermits(x);
  if (refused !== Verdict.admit) return refused;
  noteOriginal(upstream.control, x.startedAt);
  x.tries = 1;
  const body = createOutboundBody(null, { contentLength: null, limitBytes: 0, keep: false });
  const attempt = {
    upstream,
    path: call.path,
    body,
    send: sendByFetch(builderOf(call)),
    lastTarget: NO_TARGET,
  };
  let verdict = await runTry(x, attempt);
  // A half-open circuit needs a probe of the region's hub; nobody waits for this call but its saga.
  const mayProbe = verdict === Verdict.circuitOpen && x.retryAfterMs <= 0;
  if (mayProbe && (await probes.wait(x.engine, upstream, x.shell))) verdict = await runTry(x, attempt);
  return verdict;
}

/** The body is text of a known length, and is sent as such. */
function builderOf({ body, signal }: UpstreamCall): RequestBuilder {
  return (x, url, outbound, remainingMs) => {
    const request = upstreamRequest(x, url, outbound, remainingMs);
    return new Request(request, body === null ? { signal } : { body, signal });
  };
}

function openExchange(
  engine: Engine,
  upstream: Upstream,
  call: UpstreamCall,
  waitUntil: (work: Promise<unknown>) => void,
): Exchange {
  const { method, body, trafficClass, consumer, tenant } = call;
  const headers = new Headers([...call.headers, ["x-request-id", call.requestId]]);
  if (body !== null && !headers.has("content-type")) headers.set("content-type", "application/json");
  // As the runtime gives a client's request: whoever follows a redirect asks somebody else.
  const request = new Request("http://saga.invalid/", { method, headers, redirect: "manual" });
  const inbound = readInboundHeaders(request.headers);
  const now = Date.now();
  const x = new Exchange(
    engine,
    request,
    inbound,
    now,
    identify(inbound, engine.random, engine.telemetry.tracer),
    { caller: ANYBODY, waitUntil },
    null,
  );
  x.upstream = upstream;
  x.consumer = engine.plan.consumers.findIndex(({ name }) => name === consumer);
  x.tenant = engine.plan.tenants.findIndex(({ name }) => name === tenant);
  x.trafficClass = trafficClass;
  x.level =
    consumer === null
      ? levelOfNobody(trafficClass, nextUint32(engine.random))
      : levelOfUser(trafficClass, consumer, now);
  x.deadlineAt = now + call.timeoutMs;
  return x;
}

/** Gives back what was taken, tells the upstream's loop and the hub. */
function conclude(x: Exchange, verdict: Verdict): void {
  returnPermits(x, Date.now());
  settleArrival(x, verdict);
  traceCall(x, verdict, Date.now());
  const { hub } = x.engine;
  if (hub === null) return;
  hub.link.afterResponse();
  hub.keepBegun(x.shell);
}

function replyOf(x: Exchange, verdict: Verdict): UpstreamReply {
  if (verdict === Verdict.admit && x.response !== null) {
    const value = x.response.headers.get("retry-after");
    const retryAfterMs = value === null ? null : parseRetryAfterMs(value, Date.now());
    return { kind: "answered", response: x.response, retryAfterMs };
  }
  const reason = verdict === Verdict.admit ? "internal_error" : problemOf(verdict);
  if (x.sent) return { kind: "lost", reason };
  return { kind: "unsent", reason, retryAfterMs: x.retryAfterMs > 0 ? x.retryAfterMs : null };
}
