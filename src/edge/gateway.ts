// createGateway: a configuration becomes a Hono app whose last handler is the pipeline, and the handlers
// that a Worker exports. What a team adds to `app` before the first request runs in front of it.

import { validateConfig } from "#validator";
import { Hono } from "hono";
import { answerOwnPath } from "../admin/own-paths.ts";
import { renderCounters } from "../admin/metrics.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { CompiledConfig } from "../config/compiled-config.ts";
import { unpackPlan } from "../config/compiled-config.ts";
import type { Plan } from "../config/plan.ts";
import type { Validation } from "../config/validate.ts";
import { problemBody } from "../http/problem.ts";
import { Telemetry } from "../telemetry/telemetry.ts";
import { DEFAULT_REGION, regionOfRequest } from "../region/placement.ts";
import { WorkerHub, objectBindingsOf } from "../region/worker-hub.ts";
import type { Bindings, Engine, EngineIdentity } from "./engine.ts";
import { createEngine, missingFromBindings, textOf } from "./engine.ts";
import { FETCH_CARRIER } from "./fetch-carrier.ts";
import { sharedBulkheads } from "./shared-bulkheads.ts";
import { inboundOf, outboundOf, withUpstreamRoutes } from "./outbound.ts";
import type { Caller } from "./shell.ts";
import { ANYBODY } from "./shell.ts";
import { createUpstreamSource } from "./upstream-source.ts";
import { runPipeline } from "./pipeline.ts";

export type GatewayApp = Hono<{ Bindings: Record<string, unknown> }>;

/** The part of an execution context that Workers and Node have in common. */
export interface RequestContext {
  waitUntil(promise: Promise<unknown>): void;
  passThroughOnException(): void;
  props: unknown;
}

export interface Gateway {
  /** The app that runs the pipeline; add middleware and routes before the first request. */
  readonly app: GatewayApp;
  /** What a Worker exports by default. */
  readonly handler: {
    fetch(
      request: Request,
      bindings: Record<string, unknown>,
      context: RequestContext,
    ): Response | Promise<Response>;
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
  const app: GatewayApp = new Hono();
  app.onError((error) => answerBug(error));
  let isOpen = true;
  let isBare = true;
  return {
    app,
    handler: {
      fetch(request, bindings, context) {
        if (isOpen) {
          isOpen = false;
          isBare = app.routes.length === 0;
          if (!isBare) app.all("*", (c) => isolate.handle(c.req.raw, c.env, c.executionCtx));
        }
        // With nothing added to the app there is nothing to dispatch to.
        return isBare ? isolate.handle(request, bindings, context) : app.fetch(request, bindings, context);
      },
    },
    callUpstream: (request, bindings, context, caller) =>
      isolate.callUpstream(request, bindings, context, caller),
  };
}

function planOf(config: unknown): Validation {
  const plan = unpackPlan(config);
  return plan === null ? validateConfig(config) : { ok: true, plan };
}

/** A bug outside the pipeline, or bindings that are missing: logged with its stack, answered without it. */
function answerBug(error: Error): Response {
  const requestId = crypto.randomUUID();
  const time = new Date().toISOString();
  console.error(JSON.stringify({ time, level: "error", event: "bug", requestId, stack: error.stack }));
  const headers = { "content-type": "application/problem+json", "x-request-id": requestId };
  return new Response(problemBody("internal_error", requestId, {}), { status: 500, headers });
}

/** What lives as long as the isolate: the engine in use, until a configuration replaces it. */
class Isolate {
  readonly #plan: Plan;
  #engine: Engine | null = null;
  /** The engine for requests of the network, and for calls of Workers. */
  #inbound: Engine | null = null;
  #outbound: Engine | null = null;

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  handle(
    request: Request,
    bindings: Bindings,
    context: Pick<RequestContext, "waitUntil">,
  ): Response | Promise<Response> {
    try {
      this.#inbound ??= inboundOf(this.#engineFor(request, bindings));
    } catch (error) {
      return answerBug(error instanceof Error ? error : new Error(String(error)));
    }
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
      return answerBug(error instanceof Error ? error : new Error(String(error)));
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
      answerOwnPath: (x) => answerOwnPath(x, (config) => this.#replaceConfig(config, bindings)),
      waitUntil: (work) => context.waitUntil(work),
    });
  }

  #engineFor(request: Request, bindings: Bindings): Engine {
    this.#engine ??= buildEngine(this.#plan, bindings, identifyIsolate(this.#plan, request, bindings), null);
    return this.#engine;
  }

  /** Takes another configuration from now on; requests under way end under the one they began with. */
  #replaceConfig(config: unknown, bindings: Bindings): readonly string[] {
    const validation = planOf(config);
    if (!validation.ok) return validation.errors;
    const missing = missingFromBindings(validation.plan, bindings);
    if (missing.length > 0) return missing;
    this.#engine = buildEngine(validation.plan, bindings, this.#engine, this.#engine);
    this.#inbound = null;
    this.#outbound = null;
    return [];
  }
}

/** What the isolate is called and where it is: a Cloudflare data center, so the first request tells. */
function identifyIsolate(
  plan: Plan,
  request: Request,
  bindings: Bindings,
): Omit<EngineIdentity, "seed" | "carrier"> {
  const session = crypto.randomUUID();
  const cf = "cf" in request && typeof request.cf === "object" ? request.cf : null;
  const region = regionOfRequest({ override: textOf(bindings, "TIDEGATE_REGION"), cf });
  const objects = objectBindingsOf(bindings);
  const hub = objects === null ? null : new WorkerHub(objects, region, session, plan.hash);
  return { session: session.slice(0, 8), region, hub };
}

function buildEngine(
  configured: Plan,
  bindings: Bindings,
  isolate: Omit<EngineIdentity, "seed" | "carrier"> | null,
  previous: Engine | null,
): Engine {
  const plan = withUpstreamRoutes(configured);
  const missing = missingFromBindings(plan, bindings);
  if (missing.length > 0) throw new Error(missing.join("\n"));
  const { session, region, hub } = isolate ?? { session: "", region: DEFAULT_REGION, hub: null };
  const [seed] = crypto.getRandomValues(new Uint32Array(1));
  const identity = { session, region, hub, seed, carrier: FETCH_CARRIER };
  hub?.configured(plan.hash);
  const engine = createEngine(
    plan,
    bindings,
    identity,
    new Telemetry(plan, (line) => console.log(line)),
    previous,
  );
  if (hub !== null) {
    const { upstreams, isLocal, telemetry } = engine;
    hub.link.upstreams = createUpstreamSource(upstreams, isLocal, sharedBulkheads(engine), () =>
      telemetry.deltas.take(renderCounters(engine)),
    );
  }
  return engine;
}
