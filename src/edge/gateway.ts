// createGateway: a configuration becomes a Hono app whose last handler is the pipeline, and the handlers
// that a Worker exports. What a team adds to `app` before the first request runs in front of it.

import { validateConfig } from "#validator";
import { answerOwnPath } from "../admin/own-paths.ts";
import { renderCounters } from "../admin/metrics.ts";
import { bucketOf, consumeBatch } from "../delivery/consumer.ts";
import type { QueueBatch } from "../delivery/consumer-batch.ts";
import { publishRequest } from "../delivery/publish-request.ts";
import { fileDeadLetters, isDeadLetterQueue } from "../delivery/consumer-dead-letters.ts";
import { outboxesOf } from "../delivery/consumer-outboxes.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { CompiledConfig } from "../config/compiled-config.ts";
import { unpackPlan } from "../config/compiled-config.ts";
import type { Plan } from "../config/plan.ts";
import type { Validation } from "../config/validate.ts";
import { acceptJob } from "../delivery/accept.ts";
import { Outboxes, outboxBindingsOf } from "../delivery/outboxes.ts";
import { startSaga } from "../saga/start.ts";
import { Telemetry } from "../telemetry/telemetry.ts";
import { createTracer } from "../telemetry/tracer.ts";
import { regionOfRequest } from "../region/placement.ts";
import { WorkerHub, objectBindingsOf } from "../region/worker-hub.ts";
import type { GatewayApp } from "./app.ts";
import { createApp } from "./app.ts";
import { answerBug } from "./app-answers.ts";
import { textOf, type Bindings } from "./bindings.ts";
import type { Engine, EngineIdentity } from "./engine.ts";
import { createEngine, missingFromBindings } from "./engine.ts";
import { FETCH_CARRIER } from "./fetch-carrier.ts";
import { sharedBulkheads } from "./shared-bulkheads.ts";
import { inboundOf, outboundOf } from "./outbound.ts";
import type { Caller } from "./shell.ts";
import { ANYBODY } from "./shell.ts";
import { createUpstreamSource } from "./upstream-source.ts";
import { runPipeline } from "./pipeline.ts";
import { RelayWaker, wakeAll } from "./wakes.ts";

/** The part of an execution context that Workers and Node have in common. */
export interface RequestContext {
  waitUntil(promise: Promise<unknown>): void;
  passThroughOnException(): void;
  props: unknown;
}

export interface Gateway {
  /** What work beside requests runs on, and requests too. Throws when bindings are missing. */
  engine(bindings: Bindings, region: string): Engine;
  /** The configuration in force. */
  plan(): Plan;
  /** The app that runs the pipeline; add middleware and routes before the first request. */
  readonly app: GatewayApp;
  /** What a Worker exports by default. */
  readonly handler: {
    fetch(
      request: Request,
      bindings: Record<string, unknown>,
      context: RequestContext,
    ): Response | Promise<Response>;
    /** Consumes the queue of pointers and its dead-letter queue. */
    queue(
      batch: QueueBatch,
      bindings: Record<string, unknown>,
      context: Pick<RequestContext, "waitUntil">,
    ): Promise<void>;
    /** The cron of wrangler.toml: wakes what works by alarms, in case one was lost. */
    scheduled(event: unknown, bindings: Record<string, unknown>): Promise<void>;
  };
  /** Sends a call of another Worker to the upstream that its host names, `<upstream>.upstream`. */
  readonly callUpstream: (
    request: Request,
    bindings: Record<string, unknown>,
    context: Pick<RequestContext, "waitUntil">,
    caller: Caller,
  ) => Response | Promise<Response>;
}

/** A configuration with errors: `errors` has one line for each. */
export class InvalidConfigError extends Error {
  readonly errors: readonly string[];

  constructor(errors: readonly string[]) {
    super(`the configuration has ${errors.length} error(s):\n${errors.join("\n")}`);
    this.name = "InvalidConfigError";
    this.errors = errors;
  }
}

/**
 * Checks and compiles a configuration, or takes one that is compiled. Throws InvalidConfigError with all
 * errors at once.
 */
export function createGateway(config: GatewayConfig | CompiledConfig): Gateway {
  const validation = planOf(config);
  if (!validation.ok) throw new InvalidConfigError(validation.errors);
  const isolate = new Isolate(validation.plan);
  const app = createApp((request, bindings, context) => isolate.handle(request, bindings, context));
  let isBare: boolean | null = null;
  return {
    app,
    engine: (bindings, region) => isolate.engineOf(region, bindings),
    plan: () => isolate.plan,
    handler: {
      fetch(request, bindings, context) {
        // With nothing added to the app there is nothing to dispatch to.
        isBare ??= app.routes.length === 0;
        return isBare ? isolate.handle(request, bindings, context) : app.fetch(request, bindings, context);
      },
      queue: (batch, bindings, context) => isolate.consume(batch, bindings, context),
      scheduled: (_event, bindings) => wakeAll(isolate.plan, bindings),
    },
    callUpstream: (request, bindings, context, caller) =>
      isolate.callUpstream(request, bindings, context, caller),
  };
}

function planOf(config: unknown): Validation {
  const plan = unpackPlan(config);
  return plan === null ? validateConfig(config) : { ok: true, plan };
}

/** What lives as long as the isolate: the engine in use, until a configuration replaces it. */
class Isolate {
  #plan: Plan;
  /** The one of requests: the first of them tells where this is. */
  #engine: Engine | null = null;
  /** The same, for requests of the network and for calls of Workers. */
  #inbound: Engine | null = null;
  #outbound: Engine | null = null;
  readonly #waker = new RelayWaker();
  /** One for each region that this isolate has worked for, as a consumer may for any. */
  readonly #engines = new Map<string, Engine>();

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  get plan(): Plan {
    return this.#plan;
  }

  handle(
    request: Request,
    bindings: Bindings,
    context: Pick<RequestContext, "waitUntil">,
  ): Response | Promise<Response> {
    try {
      this.#inbound ??= inboundOf(this.#engineFor(request, bindings));
    } catch (error) {
      return answerBug(error, request);
    }
    if (this.#plan.relays.length > 0) this.#waker.wake(this.#plan, bindings, context);
    return this.#run(this.#inbound, request, bindings, context, ANYBODY);
  }

  callUpstream(
    request: Request,
    bindings: Bindings,
    context: Pick<RequestContext, "waitUntil">,
    caller: Caller,
  ): Response | Promise<Response> {
    try {
      this.#outbound ??= outboundOf(this.#engineFor(request, bindings));
    } catch (error) {
      return answerBug(error, request);
    }
    return this.#run(this.#outbound, request, bindings, context, caller);
  }

  #run(
    engine: Engine,
    request: Request,
    bindings: Bindings,
    context: Pick<RequestContext, "waitUntil">,
    caller: Caller,
  ): Response | Promise<Response> {
    return runPipeline(engine, request, {
      caller,
      acceptJob,
      startSaga,
      publishRequest,
      answerOwnPath: (x) => answerOwnPath(x, (config) => this.#replaceConfig(config, bindings)),
      waitUntil: (work) => context.waitUntil(work),
    });
  }

  #engineFor(request: Request, bindings: Bindings): Engine {
    this.#engine ??= this.engineOf(regionOf(request, bindings), bindings);
    return this.#engine;
  }

  /** Takes another configuration from now on; requests under way end under the one they began with. */
  #replaceConfig(config: unknown, bindings: Bindings): readonly string[] {
    const validation = planOf(config);
    if (!validation.ok) return validation.errors;
    const missing = missingFromBindings(validation.plan, bindings);
    if (missing.length > 0) return missing;
    this.#plan = validation.plan;
    this.#waker.forget();
    for (const [region, engine] of this.#engines) {
      this.#engines.set(region, buildEngine(this.#plan, bindings, engine, engine));
    }
    this.#engine = this.#engines.get(this.#engine?.region ?? "") ?? null;
    this.#inbound = null;
    this.#outbound = null;
    return [];
  }

  /** Throws where the Worker lacks a binding: then the queue keeps the batch. */
  async consume(
    batch: QueueBatch,
    bindings: Bindings,
    context: Pick<RequestContext, "waitUntil">,
  ): Promise<void> {
    const outboxes = outboxesOf(bindings);
    if (outboxes === null) throw new Error("a queue needs the binding OUTBOX, see wrangler.toml");
    if (isDeadLetterQueue(batch.queue)) return fileDeadLetters(batch, outboxes);
    return consumeBatch(batch, {
      outboxes,
      bucket: bucketOf(bindings),
      engineOf: (region) => this.engineOf(region, bindings),
      shell: { waitUntil: (work) => context.waitUntil(work) },
    });
  }

  /** One for each region that this isolate works for. Throws when bindings are missing. */
  engineOf(region: string, bindings: Bindings): Engine {
    const known = this.#engines.get(region);
    if (known !== undefined) return known;
    const engine = buildEngine(this.#plan, bindings, identifyIsolate(this.#plan, region, bindings), null);
    this.#engines.set(region, engine);
    return engine;
  }
}

/** Where the isolate is: a Cloudflare data center, so the first request tells. */
function regionOf(request: Request, bindings: Bindings): string {
  const cf = "cf" in request && typeof request.cf === "object" ? request.cf : null;
  return regionOfRequest({ override: textOf(bindings, "TIDEGATE_REGION"), cf });
}

/** What the isolate is called, and its way to the hub of a region. */
function identifyIsolate(
  plan: Plan,
  region: string,
  bindings: Bindings,
): Omit<EngineIdentity, "seed" | "carrier"> {
  const session = crypto.randomUUID();
  const objects = objectBindingsOf(bindings);
  const hub = objects === null ? null : new WorkerHub(objects, region, session, plan.hash);
  const bound = outboxBindingsOf(bindings);
  const outboxes = bound === null ? null : new Outboxes(bound, region);
  return { session: session.slice(0, 8), region, hub, outboxes };
}

function writeLine(line: string): void {
  console.log(line);
}

function buildEngine(
  plan: Plan,
  bindings: Bindings,
  isolate: Omit<EngineIdentity, "seed" | "carrier">,
  previous: Engine | null,
): Engine {
  const missing = missingFromBindings(plan, bindings);
  if (missing.length > 0) throw new Error(missing.join("\n"));
  const { session, region, hub, outboxes } = isolate;
  const [seed] = crypto.getRandomValues(new Uint32Array(1));
  const identity = { session, region, hub, outboxes, seed, carrier: FETCH_CARRIER };
  hub?.configured(plan.hash);
  const tracer =
    previous?.telemetry.tracer ??
    createTracer((name) => textOf(bindings, name), { name: plan.name, session, region }, writeLine);
  const engine = createEngine(plan, bindings, identity, new Telemetry(plan, writeLine, tracer), previous);
  if (hub !== null) {
    const { upstreams, isLocal, telemetry } = engine;
    hub.link.upstreams = createUpstreamSource(upstreams, isLocal, sharedBulkheads(engine), () =>
      telemetry.deltas.take(renderCounters(engine)),
    );
  }
  return engine;
}
