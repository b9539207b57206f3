// One request on its way through the pipeline: what the stages have found out and taken so far. Stages
// read and write its fields; what has been taken is given back from here.

import type { QueuePlan, RoutePlan, TrafficClass } from "../config/plan.ts";
import type { ProblemMembers } from "./answer.ts";
import type { SagaDefinition } from "../saga/core/definition.ts";
import type { Explanation } from "./explanation.ts";
import type { Engine, Upstream } from "./engine.ts";
import type { RequestIdentity } from "./identity.ts";
import type { InboundHeaders } from "./inbound-headers.ts";
import type { LimitTake } from "./limit-takes.ts";
import type { Shell } from "./shell.ts";
import { NOBODY } from "./api-keys.ts";
import { newSpanId } from "./identity.ts";
import { RequestTrace } from "../telemetry/request-trace.ts";
import { NO_PERMIT } from "../resilience/permits.ts";

export class Exchange {
  readonly engine: Engine;
  readonly request: Request;
  readonly inbound: InboundHeaders;
  readonly startedAt: number;
  readonly requestId: string;
  readonly traceId: string;
  /** Of the client; null: the trace begins here. */
  readonly parentSpanId: string | null;
  readonly traceFlags: string;
  readonly traceKept: boolean;
  readonly shell: Pick<Shell, "waitUntil" | "caller">;
  /** Non-null when an operator asked why. */
  readonly explanation: Explanation | null;
  /** Non-null when the trace is recorded, or an operator asked why. */
  readonly trace: RequestTrace | null;

  /** As it came: raw path, and query with its question mark. */
  rawPath = "";
  query = "";
  /** The path in the form that routes are matched on. */
  path = "";
  route: RoutePlan | null = null;
  upstream: Upstream | null = null;
  /** Where the request is stored, on a route to a queue. */
  queue: QueuePlan | null = null;
  /** What the request starts, on a route to a saga. */
  saga: SagaDefinition | null = null;
  /** The type of the event that the request becomes, on a route to one. */
  event: string | null = null;
  consumer = NOBODY;
  tenant = -1;
  trafficClass: TrafficClass = 1;
  level = 0;
  deadlineAt = 0;
  /** Whether the client asked for less time than the route gives. */
  deadlineShortened = false;

  /** What the route's limits have given; null without limits, and once it is given back. */
  limitTakes: LimitTake[] | null = null;
  /** The limit that refused, or -1. */
  limitRefused = -1;
  /** `ratelimit` and its policy for the answer; null while no limit applied. */
  rateLimit: string | null = null;
  rateLimitPolicy: string | null = null;
  tenantPermit = NO_PERMIT;
  sharePermit = NO_PERMIT;
  routePermit = NO_PERMIT;

  /** Whether the upstream's loop has counted it as an arrival and still waits for its fate. */
  unsettled = false;
  tries = 0;
  /** Whether anything has left for the upstream; until then a refusal costs the caller no quota. */
  sent = false;
  /** Ms after which it is worth coming back, 0 when unknown. */
  retryAfterMs = 0;
  /** What a problem says instead of, or besides, what its code always says. */
  problem: ProblemMembers | null = null;
  /** What the runtime said of a failed try, for the log alone. */
  failure: string | null = null;
  /** The upstream's answer, once there is one. */
  response: Response | null = null;

  constructor(
    engine: Engine,
    request: Request,
    inbound: InboundHeaders,
    startedAt: number,
    identity: RequestIdentity,
    shell: Pick<Shell, "waitUntil" | "caller">,
    explanation: Explanation | null,
  ) {
    this.shell = shell;
    this.engine = engine;
    this.request = request;
    this.inbound = inbound;
    this.startedAt = startedAt;
    this.requestId = identity.requestId;
    this.traceId = identity.traceId;
    this.parentSpanId = identity.parentSpanId;
    this.traceFlags = identity.traceFlags;
    this.traceKept = identity.traceKept;
    this.explanation = explanation;
    const isRecorded = engine.telemetry.tracer?.records(identity.traceFlags) ?? false;
    const isTraced = isRecorded || explanation !== null;
    this.trace = isTraced ? new RequestTrace(newSpanId(engine.random), isRecorded) : null;
  }
}
