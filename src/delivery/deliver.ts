// One delivery: a job goes through the stages that a live request goes through, up to one try.
//
//   class -> deadline -> cursor -> tenant permits -> { breaker -> upstream permit -> fetch } -> outcome
//
// Its permits end at the response headers. Retries are the outbox's business: they wait there, not here.

import { passCursor, returnPermits, settleArrival, takeTenantPermits } from "../edge/admission.ts";
import { NOBODY } from "../edge/api-keys.ts";
import { levelOf, refuseHopeless } from "../edge/checks.ts";
import type { Engine } from "../edge/engine.ts";
import { Exchange } from "../edge/exchange.ts";
import { sendByFetch } from "../edge/fetch-carrier.ts";
import { identify } from "../edge/identity.ts";
import { InboundHeaders } from "../edge/inbound-headers.ts";
import { createOutboundBody } from "../edge/outbound-body.ts";
import { followOverrides } from "../edge/overrides.ts";
import { reportDelivery } from "../edge/report.ts";
import type { Shell } from "../edge/shell.ts";
import { ANYBODY } from "../edge/shell.ts";
import { traceDelivery } from "../edge/trace.ts";
import type { Attempt } from "../edge/tries.ts";
import { runTry } from "../edge/try.ts";
import { Verdict } from "../edge/verdict.ts";
import type { QueuePlan } from "../config/plan.ts";
import { NO_TARGET } from "../resilience/target-choice.ts";
import { noteOriginal } from "../resilience/upstream-control.ts";
import { MAX_REASON_CHARS, type DeliveryOutcome } from "./core/protocol.ts";
import type { ClaimBucket } from "./deliver-body.ts";
import { loadBody } from "./deliver-body.ts";
import { isFinal, outcomeOfAnswer, outcomeOfBug, outcomeOfRefusal } from "./deliver-outcome.ts";
import { buildDelivery, templateOf, type RequestJob } from "./deliver-request.ts";
import { discard, readResult } from "./deliver-result.ts";

/** A job whose body the bucket does not give now is put off for so long. */
const NO_BODY_MS = 5_000;

export interface DeliveryPlace {
  readonly engine: Engine;
  readonly queue: QueuePlan;
  readonly bucket: ClaimBucket | null;
  readonly shell: Pick<Shell, "waitUntil">;
  /** Resolves true when the hub has leased this isolate a probe; false where waiting for one is no use. */
  waitForProbe(): Promise<boolean>;
}

export interface Delivered {
  readonly outcome: DeliveryOutcome;
  readonly tookMs: number;
}

/** Delivers a job. Never throws: a request that cannot be made is `poison`, and a bug is logged. */
export async function deliver(job: RequestJob, place: DeliveryPlace): Promise<Delivered> {
  const startedAt = Date.now();
  const outcome = await deliverSafely(job, place, startedAt);
  return { outcome, tookMs: Math.max(0, Date.now() - startedAt) };
}

async function deliverSafely(
  job: RequestJob,
  place: DeliveryPlace,
  startedAt: number,
): Promise<DeliveryOutcome> {
  let request: Request;
  try {
    request = templateOf(job);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { kind: "poison", error: reason.toWellFormed().slice(0, MAX_REASON_CHARS) };
  }
  try {
    return await deliverOnce(openDelivery(job, request, place, startedAt), job, place);
  } catch (error) {
    place.engine.telemetry.bug(job.requestId ?? job.id, error, Date.now());
    return outcomeOfBug(job);
  }
}

async function deliverOnce(x: Exchange, job: RequestJob, place: DeliveryPlace): Promise<DeliveryOutcome> {
  const abort = new AbortController();
  try {
    const verdict = await runStages(x, job, place, abort.signal);
    if (typeof verdict !== "number") return verdict;
    return await judge(x, verdict, job);
  } finally {
    // A fetch that is waited for no more would keep its connection until the whole batch is over.
    abort.abort();
    tellHub(x);
  }
}

/** The verdict of one try, or the outcome of a job that could not even be tried. */
async function runStages(
  x: Exchange,
  job: RequestJob,
  place: DeliveryPlace,
  signal: AbortSignal,
): Promise<Verdict | DeliveryOutcome> {
  followOverrides(x.engine);
  let verdict: Verdict = Verdict.internalError;
  try {
    verdict = refuseHopeless(x) || passCursor(x) || takeTenantPermits(x);
    if (verdict !== Verdict.admit || x.upstream === null) return verdict;
    const loaded = await loadBody(job.target.request.body, place.bucket);
    if (loaded.kind === "lost") return { kind: "poison", error: loaded.error };
    if (loaded.kind === "unavailable") return { kind: "deferred", forMs: NO_BODY_MS, reason: loaded.error };
    const attempt: Attempt = {
      upstream: x.upstream,
      path: job.target.request.path,
      body: createOutboundBody(null, { contentLength: null, limitBytes: 0, keep: false }),
      send: sendByFetch(buildDelivery(loaded.body, signal)),
      lastTarget: NO_TARGET,
    };
    noteOriginal(x.upstream.control, x.startedAt);
    verdict = await tryOnce(x, attempt, place);
    return verdict;
  } finally {
    returnPermits(x, Date.now());
    settleArrival(x, verdict);
    reportDelivery(x, verdict, Date.now());
    traceDelivery(x, verdict, job, place.queue.name, Date.now());
  }
}

/** A half-open circuit needs a probe of the region's hub, which comes with the next sync. */
async function tryOnce(x: Exchange, attempt: Attempt, place: DeliveryPlace): Promise<Verdict> {
  x.tries++;
  const verdict = await runTry(x, attempt);
  if (verdict !== Verdict.circuitOpen || x.retryAfterMs > 0) return verdict;
  return (await place.waitForProbe()) ? runTry(x, attempt) : verdict;
}

async function judge(x: Exchange, verdict: Verdict, job: RequestJob): Promise<DeliveryOutcome> {
  const { response } = x;
  if (verdict !== Verdict.admit) {
    const { sent, retryAfterMs, upstream } = x;
    const isRamping = upstream?.control.breaker?.state.phase === "ramp";
    return outcomeOfRefusal(verdict, { sent, retryAfterMs, isRamping }, job);
  }
  if (response === null) throw new Error("the pipeline admitted a job and has no answer");
  const keeps = isFinal(response.status) || job.lastAttempt;
  const now = Date.now();
  const result = keeps ? await readResult(response) : null;
  if (!keeps) discard(response);
  return outcomeOfAnswer(response, result, now);
}

function openDelivery(
  job: RequestJob,
  request: Request,
  { engine, queue, shell }: DeliveryPlace,
  startedAt: number,
): Exchange {
  const inbound = new InboundHeaders();
  inbound.requestId = job.requestId;
  inbound.traceparent = job.traceparent;
  const identity = identify(inbound, engine.random, engine.telemetry.tracer);
  const around = { caller: ANYBODY, waitUntil: (work: Promise<unknown>) => shell.waitUntil(work) };
  const x = new Exchange(engine, request, inbound, startedAt, identity, around, null);
  x.rawPath = job.target.request.path.split("?", 1)[0];
  x.route = queue.delivery;
  x.upstream = engine.upstreams[queue.upstream];
  x.consumer = indexOf(engine.plan.consumers, job.consumer);
  x.tenant = indexOf(engine.plan.tenants, job.tenant);
  x.trafficClass = job.priority;
  x.level = levelOf(x, job.consumer);
  x.deadlineAt = startedAt + Math.min(queue.delivery.deadlineMs, job.expiresInMs);
  x.deadlineShortened = job.expiresInMs < queue.delivery.deadlineMs;
  return x;
}

/** Its place in the plan; NOBODY: the configuration does not know it any more. */
function indexOf(named: readonly { readonly name: string }[], name: string | null): number {
  return name === null ? NOBODY : named.findIndex((each) => each.name === name);
}

/** As behind a response: the hub hears what is due. */
function tellHub({ engine: { hub }, shell }: Exchange): void {
  if (hub === null) return;
  hub.link.afterResponse();
  hub.keepBegun(shell);
}
