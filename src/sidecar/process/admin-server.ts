// The admin address: health for probes, metrics and state for whoever may reach it, and under `/_gateway/`
// the gateway's own paths with their tokens. It is not for traffic, so it takes the Web's own requests.

import { createAdaptorServer } from "@hono/node-server";
import { Hono } from "hono";
import { METRICS_TYPE, answerOwnPath, describeHub, viewHub } from "../../admin/own-paths.ts";
import { renderMetrics } from "../../admin/metrics.ts";
import { describeState } from "../../admin/state.ts";
import type { Engine } from "../../edge/engine.ts";
import { runPipeline } from "../../edge/pipeline.ts";
import { ANYBODY } from "../../edge/shell.ts";
import { startSaga } from "../../saga/start.ts";
import { acceptNoJob } from "./listener.ts";

/** A configuration with queues, sagas, subscriptions, reactions or routes to events was refused. */
const NO_WORK = {
  queues: {},
  sagas: [],
  events: { subscriptions: {}, reactions: {}, events: null },
  relays: {},
};
/** Why a running sidecar takes no other configuration. */
const RESTART = ["a sidecar reads its configuration at its start: restart it"];

/** `isDraining`: whether probes should send traffic elsewhere. */
export function createAdminServer(engine: Engine, isDraining: () => boolean) {
  const app = new Hono();
  app.get("/health", (c) => (isDraining() ? c.json({ status: "draining" }, 503) : c.json({ status: "ok" })));
  app.get("/state", async (c) =>
    c.json(describeState(engine, await describeHub(engine), NO_WORK, Date.now())),
  );
  app.onError((error, c) => {
    engine.telemetry.bug("admin", error, Date.now());
    return c.text("an error inside the sidecar, see its log", 500);
  });
  app.get("/metrics", async (c) =>
    c.body(renderMetrics(engine, await viewHub(engine), NO_WORK, Date.now()), 200, {
      "content-type": METRICS_TYPE,
    }),
  );
  app.all("/_gateway/*", (c) =>
    runPipeline(engine, c.req.raw, {
      caller: ANYBODY,
      acceptJob: acceptNoJob,
      startSaga,
      publishRequest: acceptNoJob,
      answerOwnPath: (x) => answerOwnPath(x, () => RESTART),
      waitUntil: (work) => void work.catch(() => {}),
    }),
  );
  return createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects: false });
}
