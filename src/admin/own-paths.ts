// The gateway's own paths, `/_gateway/...`: who may ask for what. Health, the problem pages and the URL of
// a stored request are public; everything else needs the admin token, and without one configured does not
// exist.

import { Hono, type Context } from "hono";
import { readBody, release } from "../delivery/accept-body.ts";
import { gatewayPath } from "../http/paths.ts";
import { makeProblem, sign } from "../edge/answer.ts";
import { equalSecrets } from "../edge/api-keys.ts";
import { takesNoBody } from "../edge/checks.ts";
import type { Engine } from "../edge/engine.ts";
import type { Exchange } from "../edge/exchange.ts";
import type { HubDescription } from "../hub/description.ts";
import { MAX_SERIES } from "../hub/hub.ts";
import { MAX_REPORT_ENTRIES } from "../hub/protocol.ts";
import { MAX_ADMIN_BODY_BYTES, notAnswered, problem } from "./answers.ts";
import { addToCounter, readCounter } from "./counters.ts";
import { listDeadLetters, replayDeadLetters, skipDeadLetter } from "./dead-letters.ts";
import { postEvents } from "./events.ts";
import { putFaults } from "./faults.ts";
import { describeRelays } from "../delivery/relays/relays.ts";
import type { HubView, StoredWork } from "./metrics.ts";
import { renderMetrics } from "./metrics.ts";
import { deleteOverride, deleteOverrides, listOverrides, putOverride, readOverride } from "./overrides.ts";
import { cancelJob, readJob, readJobResult } from "./jobs.ts";
import { problemPage } from "./problem-page.ts";
import { countSagas } from "./saga-counts.ts";
import { SAGA_OPERATIONS, listSagas, operateSaga, readSaga, readSagaEvents } from "./sagas.ts";
import { acknowledgeEvents, pullEvents } from "./pull.ts";
import { describeQueues } from "./queues.ts";
import { describeState } from "./state.ts";
import { enableSubscription, replayEvents } from "./subscription-operations.ts";
import { describeEvents } from "./subscriptions.ts";

/** Takes another configuration; gives its errors, none when it is in force. */
export type ReplaceConfig = (config: unknown) => readonly string[];

interface OwnPathContext {
  Bindings: { x: Exchange; replaceConfig: ReplaceConfig };
}

/** A configuration larger than this is refused. Compiled, one route takes about 800 bytes. */
export const MAX_CONFIG_BYTES = 32 * 1024 * 1024;

/** Reports that hold all series that a hub adds up. */
const MAX_TELLS = MAX_SERIES / MAX_REPORT_ENTRIES;

const METRICS_PATH = "/_gateway/metrics";
/** Paths that bound their bodies themselves. */
const HAVE_BOUNDS: ReadonlySet<string> = new Set(["/_gateway/events", "/_gateway/config"]);
/** Longest time that a body may take. */
const READ_MS = 30_000;
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

let app: Hono<OwnPathContext> | null = null;

/** Answers a request for one of the gateway's own paths. */
export async function answerOwnPath(x: Exchange, replaceConfig: ReplaceConfig): Promise<Response> {
  app ??= createOwnPaths();
  const url = `http://gateway${gatewayPath(x.path)}${x.query}`;
  const { method, headers } = x.request;
  const body = takesNoBody(method) ? null : x.request.body;
  const request = new Request(url, {
    // No path here takes it, and a Request cannot have it, where a server of Node's lets it in.
    method: method === "TRACE" ? "OPTIONS" : method,
    headers,
    body,
    ...(body === null ? {} : { duplex: "half" }),
  });
  const response = await app.fetch(request, { x, replaceConfig });
  const answer = new Response(response.body, response);
  if (!answer.headers.has("cache-control")) answer.headers.set("cache-control", "no-store");
  return sign(x, answer);
}

function createOwnPaths(): Hono<OwnPathContext> {
  const own = new Hono<OwnPathContext>();
  own.get("/_gateway/health", (c) => c.json({ status: "ok" }));
  own.get("/_gateway/problems/:code", (c) => problemPage(c.req.param("code")) ?? c.notFound());
  addSagaPages(own);
  own.get("/_gateway/jobs/:id", (c) => readJob(c.env.x, c.req.param("id")));
  own.delete("/_gateway/jobs/:id", (c) => cancelJob(c.env.x, c.req.param("id")));
  own.get("/_gateway/jobs/:id/result", (c) => readJobResult(c.env.x, c.req.param("id")));
  own.use(
    "*",
    async (c, next) =>
      (authorize(c.env.x, c.req.path, c.req.header("authorization")) ??
        (await takeBody(c)) ??
        (await next())) ||
      undefined,
  );
  own.get("/_gateway/state", async (c) => {
    const { engine, shell } = c.env.x;
    await engine.hub?.tellNews(shell);
    const [hub, work] = await Promise.all([describeHub(engine), viewWork(engine)]);
    return c.json(describeState(engine, hub, work, Date.now()));
  });
  own.get(METRICS_PATH, async (c) => {
    const { engine } = c.env.x;
    const [hub, work] = await Promise.all([viewHub(engine), viewWork(engine)]);
    // One isolate's counters in their place would look like a restart.
    if (hub === null && engine.hub !== null) return notAnswered(c.env.x);
    return c.body(renderMetrics(engine, hub, work, Date.now()), 200, { "content-type": METRICS_TYPE });
  });
  addRegionPaths(own);
  addQueuePaths(own);
  addSagaPaths(own);
  addEventPaths(own);
  own.put("/_gateway/config", (c) => putConfig(c.env.x, c.req.raw, c.env.replaceConfig));
  own.notFound((c) => makeProblem(c.env.x, "route_not_found", {}, new Headers()));
  // A bug is the pipeline's to log and to answer.
  own.onError((error) => {
    throw error;
  });
  return own;
}

/** Reads a body as far as handlers may read it; null: they may go on. */
async function takeBody({ req, env: { x } }: Context<OwnPathContext>): Promise<Response | null> {
  const { raw, path } = req;
  if (raw.body === null || HAVE_BOUNDS.has(path)) return null;
  const limitBytes = MAX_ADMIN_BODY_BYTES;
  const { url, method, headers } = raw;
  const bounds = { limitBytes, hasBucket: true, waitMs: READ_MS };
  const read = await readBody(raw.body, headers.get("content-length"), bounds);
  if (read.kind === "too-large") return makeProblem(x, "body_too_large", { limitBytes }, new Headers());
  if (read.kind !== "read") return problem(x, "bad_request", "Send the whole body.");
  release(read.body);
  req.raw = new Request(url, { method, headers, body: read.body });
  return null;
}

/** An instance's own pages: its address opens them. */
function addSagaPages(own: Hono<OwnPathContext>): void {
  own.get("/_gateway/sagas/:id", (c) =>
    readSaga(c.env.x, c.req.param("id"), isAdmin(c.env.x, c.req.path, c.req.header("authorization"))),
  );
  own.get("/_gateway/sagas/:id/events", (c) =>
    readSagaEvents(c.env.x, c.req.param("id"), isAdmin(c.env.x, c.req.path, c.req.header("authorization"))),
  );
}

/** What the region's hub knows and can be told. */
function addRegionPaths(own: Hono<OwnPathContext>): void {
  own.get("/_gateway/counters/:name", (c) => readCounter(c.env.x, c.req.param("name"), c.req.query("key")));
  own.post("/_gateway/counters/:name", (c) => addToCounter(c.env.x, c.req.param("name"), c.req.raw));
  own.get("/_gateway/overrides", (c) => listOverrides(c.env.x));
  own.delete("/_gateway/overrides", (c) => deleteOverrides(c.env.x));
  own.get("/_gateway/overrides/:upstream", (c) => readOverride(c.env.x, c.req.param("upstream")));
  own.put("/_gateway/overrides/:upstream", (c) => putOverride(c.env.x, c.req.param("upstream"), c.req.raw));
  own.delete("/_gateway/overrides/:upstream", (c) => deleteOverride(c.env.x, c.req.param("upstream")));
  own.put("/_gateway/faults", (c) => putFaults(c.env.x, c.req.raw));
  own.delete("/_gateway/faults", (c) => putFaults(c.env.x, null));
}

/** What could not be delivered. */
function addQueuePaths(own: Hono<OwnPathContext>): void {
  own.get("/_gateway/dead-letters/:queue", (c) => {
    const { after, max } = c.req.query();
    return listDeadLetters(c.env.x, c.req.param("queue"), { after, max });
  });
  own.post("/_gateway/dead-letters/:queue/replay", (c) =>
    replayDeadLetters(c.env.x, c.req.param("queue"), c.req.raw),
  );
  own.post("/_gateway/dead-letters/:queue/skip", (c) =>
    skipDeadLetter(c.env.x, c.req.param("queue"), c.req.raw),
  );
}

/** What is published, and what is pulled. */
function addEventPaths(own: Hono<OwnPathContext>): void {
  own.post("/_gateway/events", (c) => postEvents(c.env.x, c.req.raw));
  own.post("/_gateway/subscriptions/:name/pull", (c) => pullEvents(c.env.x, c.req.param("name"), c.req.raw));
  own.post("/_gateway/subscriptions/:name/ack", (c) =>
    acknowledgeEvents(c.env.x, c.req.param("name"), c.req.raw),
  );
  own.post("/_gateway/subscriptions/:name/replay", (c) =>
    replayEvents(c.env.x, c.req.param("name"), c.req.raw),
  );
  own.post("/_gateway/subscriptions/:name/enable", (c) => enableSubscription(c.env.x, c.req.param("name")));
}

/** What operators do with sagas. */
function addSagaPaths(own: Hono<OwnPathContext>): void {
  own.get("/_gateway/sagas", (c) => listSagas(c.env.x, new URL(c.req.url).searchParams));
  for (const kind of SAGA_OPERATIONS) {
    own.post(`/_gateway/sagas/:id/${kind}`, (c) => operateSaga(c.env.x, c.req.param("id"), kind, c.req.raw));
  }
}

/** What waits in objects of its own; those that do not answer are left out. */
export async function viewWork(engine: Engine): Promise<StoredWork> {
  const relaysAsked = describeRelays(engine.plan, engine.relays);
  const asked = [describeQueues(engine), countSagas(engine), describeEvents(engine), relaysAsked] as const;
  const [queues, sagas, events, relays] = await Promise.all(asked);
  return { queues, sagas, events, relays };
}

/** The hub's own description; null when it does not answer, or there is none. */
export async function describeHub({ hub: own }: Engine): Promise<HubDescription | null> {
  return (await own?.ask((hub) => hub.describe(own.link.replica.session))) ?? null;
}

/**
 * What a scrape needs of the hub, which hears first what this isolate has counted; null when it does not
 * answer, or there is none.
 */
export async function viewHub({ hub: own, telemetry }: Engine): Promise<HubView | null> {
  if (own === null) return null;
  const tells = own.link.upstreams !== null;
  for (let left = tells ? MAX_TELLS : 0; left > 0; left--) {
    await own.tell();
    if (!telemetry.deltas.hasMore) break;
  }
  return own.ask(async (hub) => {
    const [description, metrics] = await Promise.all([
      hub.describe(own.link.replica.session),
      tells ? hub.metrics() : null,
    ]);
    return { description, metrics };
  });
}

function isAdmin(x: Exchange, path: string, authorization: string | undefined): boolean {
  return authorization !== undefined && authorize(x, path, authorization) === null;
}

/** null when the caller may go on; else the answer that says why not. */
function authorize(x: Exchange, path: string, authorization: string | undefined): Response | null {
  const { adminToken, metricsToken } = x.engine;
  const accepted = [adminToken, path === METRICS_PATH ? metricsToken : null].filter(
    (token) => token !== null,
  );
  if (accepted.length === 0) return makeProblem(x, "route_not_found", {}, new Headers());
  const given = authorization?.match(/^Bearer +(.+)$/i)?.[1] ?? "";
  if (accepted.some((token) => equalSecrets(given, token))) return null;
  const headers = new Headers({ "www-authenticate": `Bearer realm="${x.engine.plan.name}"` });
  return makeProblem(
    x,
    "unauthorized",
    { detail: "Send the admin token as `authorization: Bearer <token>`." },
    headers,
  );
}

/** Another configuration without a restart: local development only. */
async function putConfig(x: Exchange, request: Request, replaceConfig: ReplaceConfig): Promise<Response> {
  if (!x.engine.isLocal) return makeProblem(x, "route_not_found", {}, new Headers());
  const text = await request.text();
  if (text.length > MAX_CONFIG_BYTES) return makeProblem(x, "body_too_large", {}, new Headers());
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch {
    return Response.json({ errors: ["the body is not JSON"] }, { status: 422 });
  }
  const errors = replaceConfig(config);
  return errors.length > 0 ? Response.json({ errors }, { status: 422 }) : Response.json({ errors: [] });
}
