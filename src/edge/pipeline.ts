// The request pipeline, in order:
//
//   path check -> match -> consumer -> class -> deadline -> body size -> limits -> cursor
//     -> tenant permits -> route permit -> limits that must be asked for
//     -> a route to a queue, a saga or an event: stored for later, else
//     -> tries { breaker -> upstream permit -> fetch } -> answer -> usage, sync with the hub
//
// Stages answer with a verdict, 0 to go on. A refusal gives back what the stages before it took. Until
// the first await everything is decided from the isolate's own state, without I/O.

import { hostOfUrl } from "../http/hosts.ts";
import { isGatewayPath } from "../http/paths.ts";
import { passCursor, returnPermits, settleArrival, takeRoutePermit, takeTenantPermits } from "./admission.ts";
import { answerRefusal, passAnswer } from "./answer.ts";
import { equalSecrets } from "./api-keys.ts";
import {
  checkBodySize,
  checkRequest,
  classify,
  identifyConsumer,
  matchRoute,
  setDeadline,
} from "./checks.ts";
import type { Engine } from "./engine.ts";
import { Exchange } from "./exchange.ts";
import { Explanation } from "./explanation.ts";
import { identify } from "./identity.ts";
import type { InboundHeaders } from "./inbound-headers.ts";
import { readInboundHeaders } from "./inbound-headers.ts";
import { keyOf } from "./limit-keys.ts";
import { awaitLimits, returnLimits, takeLimits } from "./limits.ts";
import { followOverrides } from "./overrides.ts";
import { reportAnswer } from "./report.ts";
import type { Shell } from "./shell.ts";
import { traceRequest, waited } from "./trace.ts";
import { runTries } from "./tries.ts";
import { Verdict } from "./verdict.ts";

/** Runs a request through the pipeline. Never throws or rejects: a bug becomes `internal_error`. */
export function runPipeline(engine: Engine, request: Request, shell: Shell): Response | Promise<Response> {
  const x = openExchange(engine, request, shell);
  try {
    const checked = checkRequest(x);
    if (checked === Verdict.admit && isGatewayPath(x.path)) {
      return answerOwn(x, shell).catch((error: unknown) => concludeBug(x, error));
    }
    const refused = checked || admit(x);
    if (refused !== Verdict.admit) return conclude(x, refused);
    const work = serve(x, shell).catch((error: unknown) => concludeBug(x, error));
    shell.waitUntil(work);
    return work;
  } catch (error) {
    return concludeBug(x, error);
  }
}

/** Everything that is decided at once, from the isolate's own state. */
function admit(x: Exchange): Verdict {
  followOverrides(x.engine);
  return (
    matchRoute(x) ||
    identifyConsumer(x) ||
    classify(x) ||
    setDeadline(x) ||
    checkBodySize(x) ||
    takeLimits(x) ||
    passCursor(x) ||
    takeTenantPermits(x)
  );
}

/** The rest, which may wait: for the route's bulkhead, and for the upstream. */
async function serve(x: Exchange, shell: Shell): Promise<Response> {
  const atRoute = takeRoutePermit(x);
  const verdict = typeof atRoute === "number" ? atRoute : await waited(x, atRoute);
  if (verdict !== Verdict.admit) return conclude(x, verdict);
  const asked = awaitLimits(x);
  const allowed = typeof asked === "number" ? asked : await waited(x, asked);
  if (allowed !== Verdict.admit) return conclude(x, allowed);
  if (x.queue !== null) return conclude(x, await shell.acceptJob(x, x.queue));
  if (x.saga !== null) return conclude(x, await shell.startSaga(x, x.saga));
  if (x.event !== null) return conclude(x, await shell.publishRequest(x, x.event));
  return conclude(x, x.upstream === null ? Verdict.internalError : await runTries(x, x.upstream));
}

/** A trace tells of own paths only where they published something. */
async function answerOwn(x: Exchange, shell: Shell): Promise<Response> {
  const response = await shell.answerOwnPath(x);
  if ((x.trace?.produced ?? null) !== null) traceRequest(x, Verdict.admit, response.status, Date.now());
  return response;
}

function concludeBug(x: Exchange, error: unknown): Response {
  x.engine.telemetry.bug(x.requestId, error, Date.now());
  return conclude(x, Verdict.internalError);
}

/** Gives back, reports, answers. */
function conclude(x: Exchange, verdict: Verdict): Response {
  const now = Date.now();
  returnPermits(x, now);
  if (verdict !== Verdict.admit && !x.sent) returnLimits(x);
  settleArrival(x, verdict);
  const response =
    verdict === Verdict.admit && x.response !== null
      ? passAnswer(x, x.response)
      : answerRefusal(x, verdict === Verdict.admit ? Verdict.internalError : verdict);
  reportAnswer(x, verdict, response.status, now);
  if (x.trace !== null) traceRequest(x, verdict, response.status, now);
  tellHub(x);
  return response;
}

/** Counts usage of what has been sent, and lets the isolate speak to its hub, if it is time. */
function tellHub(x: Exchange): void {
  const { engine, route } = x;
  const { hub, plan } = engine;
  if (hub === null) return;
  if (x.sent && route !== null) {
    for (const index of route.count) {
      const counter = plan.counters[index];
      hub.link.count(counter.name, keyOf(x, counter.key), 1);
    }
  }
  hub.link.afterResponse();
  if (engine.isLocal) hub.linger();
  hub.keepBegun(x.shell);
}

function openExchange(engine: Engine, request: Request, shell: Shell): Exchange {
  const inbound = readInboundHeaders(request.headers);
  const { address, host } = shell.caller;
  if (address !== null) inbound.clientAddress = address;
  if (host !== null) inbound.host = host;
  // From the network there is one, or its runtime refuses the request; a service binding sends none.
  else if (inbound.host === null) inbound.host = hostOfUrl(request.url);
  const explanation = asksWhy(engine, inbound) ? new Explanation() : null;
  const identity = identify(inbound, engine.random, engine.telemetry.tracer);
  return new Exchange(engine, request, inbound, Date.now(), identity, shell, explanation);
}

function asksWhy(engine: Engine, inbound: InboundHeaders): boolean {
  if (inbound.adminToken === null || inbound.explain !== "1" || engine.adminToken === null) return false;
  return equalSecrets(inbound.adminToken, engine.adminToken);
}
