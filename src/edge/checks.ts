// The first stages: is this a request at all, and for whom? Everything here is synchronous and decides
// on the request alone.

import { addressUser } from "../http/client-address.ts";
import { parseDeadlineMs } from "../http/deadline-header.ts";
import { isValidHost } from "../http/hosts.ts";
import { hasEncodedSlash, matchablePath, splitTarget } from "../http/paths.ts";
import { leastClassForUrgency, parseUrgency } from "../http/priority.ts";
import { viaNames } from "../http/via.ts";
import type { TrafficClass } from "../config/plan.ts";
import { deadlineAt, isHopeless } from "../resilience/deadline.ts";
import { levelOfNobody, levelOfUser } from "../resilience/level.ts";
import { nextUint32 } from "../resilience/random.ts";
import { NOBODY, consumerOfKey } from "./api-keys.ts";
import { className, classOfName } from "./class-names.ts";
import { consumerAt } from "./engine.ts";
import type { Exchange } from "./exchange.ts";
import { MAX_HEADER_BYTES } from "./inbound-headers.ts";
import { findRoute, allowedMethods } from "./route-table.ts";
import { Verdict, problemOf } from "./verdict.ts";

/** Path, host and header size: what is malformed goes no further. */
export function checkRequest(x: Exchange): Verdict {
  const { inbound, engine } = x;
  if (inbound.host === null || !isValidHost(inbound.host)) return note(x, "path", Verdict.badRequest);
  const target = splitTarget(x.request.url);
  if (target === null) return note(x, "path", Verdict.badPath);
  x.rawPath = target.path;
  x.query = target.query;
  const path = matchablePath(target.path);
  if (path === null) return note(x, "path", Verdict.badPath);
  x.path = path;
  if (inbound.bytes > MAX_HEADER_BYTES) {
    x.explanation?.note("path", "headers_too_large", { bytes: inbound.bytes, max: MAX_HEADER_BYTES });
    return Verdict.headersTooLarge;
  }
  if (inbound.via !== null && viaNames(inbound.via, engine.plan.name, engine.visitsOfLoop)) {
    return note(x, "path", Verdict.loopDetected);
  }
  return note(x, "path", Verdict.admit);
}

/** The route, by path, method, host and headers. */
export function matchRoute(x: Exchange): Verdict {
  const { engine, request, path } = x;
  const host = x.inbound.host ?? "";
  const route = findRoute(engine.routes, path, request.method, host, request.headers);
  if (hasEncodedSlash(path) && route?.encodedSlashes !== true) return note(x, "match", Verdict.badPath);
  if (route === null) {
    const known = allowedMethods(engine.routes, path, host, request.headers).length > 0;
    return note(x, "match", known ? Verdict.methodNotAllowed : Verdict.routeNotFound);
  }
  x.route = route;
  const { destination } = route;
  if (destination.kind === "upstream") x.upstream = engine.upstreams[destination.upstream];
  else if (destination.kind === "queue") x.queue = engine.plan.queues[destination.queue];
  else if (destination.kind === "saga") x.saga = engine.plan.sagas[destination.saga];
  else x.event = destination.event;
  x.explanation?.note("match", "ok", {
    route: route.name,
    index: route.index,
    ...destinationOf(x),
  });
  return Verdict.admit;
}

function destinationOf({ upstream, queue, saga, event }: Exchange): Record<string, string> {
  if (event !== null) return { event };
  if (saga !== null) return { saga: saga.name };
  return queue === null ? { upstream: upstream?.plan.name ?? "" } : { queue: queue.name };
}

/** The consumer by its key, and whether the route is open to it. */
export function identifyConsumer(x: Exchange): Verdict {
  const { engine, inbound, route } = x;
  if (inbound.apiKey !== null) x.consumer = consumerOfKey(engine.keys, inbound.apiKey);
  const consumer = consumerAt(engine, x.consumer);
  if (consumer !== null) x.tenant = consumer.tenant;
  const auth = route?.auth ?? null;
  if (auth !== null && x.consumer === NOBODY) return note(x, "consumer", Verdict.unauthorized);
  if (auth !== null && auth !== "any" && !auth.has(x.consumer)) return note(x, "consumer", Verdict.forbidden);
  x.explanation?.note("consumer", consumer?.name ?? "nobody");
  return Verdict.admit;
}

/**
 * The least important of the route's class, the consumer's, the caller's, and what the client asks for; then
 * the level.
 */
export function classify(x: Exchange): Verdict {
  const { engine, inbound, route } = x;
  const { leastClass, mayNameClass } = x.shell.caller;
  let trafficClass: TrafficClass = route?.priority ?? 1;
  const consumer = consumerAt(engine, x.consumer);
  if (consumer !== null && consumer.priority !== null && consumer.priority > trafficClass) {
    trafficClass = consumer.priority;
  }
  if (inbound.priority !== null) {
    const wished = leastClassForUrgency(parseUrgency(inbound.priority));
    if (wished > trafficClass) trafficClass = wished;
  }
  if (leastClass > trafficClass) trafficClass = leastClass;
  if (mayNameClass && inbound.trafficClass !== null) {
    const named = classOfName(inbound.trafficClass);
    if (named !== null && named > trafficClass) trafficClass = named;
  }
  x.trafficClass = trafficClass;
  x.level = levelOf(x, consumer?.name ?? null);
  x.explanation?.note("class", className(trafficClass), { level: x.level });
  return Verdict.admit;
}

/** The user behind a level: the consumer, else the client's address, else nobody (random). */
export function levelOf(x: Exchange, consumer: string | null): number {
  if (consumer !== null) return levelOfUser(x.trafficClass, consumer, x.startedAt);
  const address = x.inbound.clientAddress === null ? "" : addressUser(x.inbound.clientAddress);
  if (address !== "") return levelOfUser(x.trafficClass, address, x.startedAt);
  return levelOfNobody(x.trafficClass, nextUint32(x.engine.random));
}

/** The deadline, refused at once where it cannot be met. */
export function setDeadline(x: Exchange): Verdict {
  const { inbound, route } = x;
  if (route === null) return Verdict.internalError;
  const wished = inbound.deadline === null ? null : parseDeadlineMs(inbound.deadline);
  x.deadlineAt = deadlineAt(x.startedAt, route.deadlineMs, wished);
  x.deadlineShortened = wished !== null && wished < route.deadlineMs;
  return x.upstream === null ? refuseOver(x) : refuseHopeless(x);
}

/** Of what is stored for later nobody can say how long it takes: refused is what has no time at all. */
function refuseOver(x: Exchange): Verdict {
  const remainingMs = x.deadlineAt - x.startedAt;
  const verdict = remainingMs > 0 ? Verdict.admit : Verdict.deadlineExceeded;
  x.explanation?.note("deadline", verdictName(verdict), { remainingMs });
  return verdict;
}

/** Refuses what its upstream cannot be expected to answer by the deadline. */
export function refuseHopeless(x: Exchange): Verdict {
  const { upstream } = x;
  if (upstream === null) return Verdict.internalError;
  const remainingMs = x.deadlineAt - x.startedAt;
  const { deadlines, medianMs, latencies } = upstream.control;
  const hopeless = isHopeless(deadlines, remainingMs, medianMs, latencies, x.startedAt);
  x.explanation?.note("deadline", hopeless ? "deadline_exceeded" : "ok", {
    remainingMs,
    medianMs,
  });
  return hopeless ? Verdict.deadlineExceeded : Verdict.admit;
}

/**
 * A body that says that it is too large is not read at all. Runtimes cannot wrap the body of a GET or
 * HEAD to count it, so one of unknown length is refused.
 */
export function checkBodySize(x: Exchange): Verdict {
  const declared = x.inbound.contentLength;
  if (declared === null && takesNoBody(x.request.method) && x.request.body !== null) {
    x.problem = { detail: "Send the body of a GET or HEAD with a content-length, or none." };
    return note(x, "body", Verdict.badRequest);
  }
  if (declared === null || x.route === null || Number(declared) <= x.route.bodyLimitBytes) {
    return Verdict.admit;
  }
  x.explanation?.note("body", "body_too_large", { bytes: declared, max: x.route.bodyLimitBytes });
  return Verdict.bodyTooLarge;
}

/** Methods whose requests may not be given a body by the runtime, only keep their own. */
export function takesNoBody(method: string): boolean {
  return method === "GET" || method === "HEAD";
}

function note(x: Exchange, stage: string, verdict: Verdict): Verdict {
  x.explanation?.note(stage, verdictName(verdict));
  return verdict;
}

function verdictName(verdict: Verdict): string {
  return verdict === Verdict.admit ? "ok" : problemOf(verdict);
}
