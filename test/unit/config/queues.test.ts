// Queues of a configuration: every rule with the line that it gives, defaults, what the Plan holds, advice
// and bindings.

import { describe, it } from "vitest";
import { adviseConfig } from "../../../src/config/advise.ts";
import { adviseBindings, missingBindings } from "../../../src/config/bindings.ts";
import { packPlan, unpackPlan } from "../../../src/config/compiled-config.ts";
import { allRoutes } from "../../../src/config/plan.ts";
import { isQueueTerms } from "../../../src/delivery/core/requests.ts";
import { rewritePath } from "../../../src/http/paths.ts";
import { DURATION_RULE, NAME_RULE, between, expectLines, least } from "./rule-lines.ts";
import { declared, errorsOf, minimalConfig, planOf, withQueue, withRoute } from "./sample.ts";

const RESUME_RULE = "must be a number from 0 and below 1";

function deadlineOf(timeout: string): number {
  const upstreams = { a: { targets: ["http://a.test"], timeout } };
  return planOf({ ...withQueue({}), upstreams }).queues[0].delivery.deadlineMs;
}

function adviceOn(config: unknown): readonly string[] {
  return adviseConfig(planOf(config));
}

describe("queues: every rule", () => {
  expectLines([
    ["queues.q.upstream: is required", withQueue({ upstream: undefined })],
    ['queues.q.upstream: is no upstream (got "b")', withQueue({ upstream: "b" })],
    ["queues.q.upstream: must be the name of an upstream (got 1)", withQueue({ upstream: 1 })],
    ['queues.q.path: must be a path that begins with "/" (got "x")', withQueue({ path: "x" })],
    ['queues.q.path: may have * only as its last segment (got "/*/a")', withQueue({ path: "/*/a" })],
    ['queues.q.path: may have * only as its last segment (got "/a*")', withQueue({ path: "/a*" })],
    [
      'queues.q.path: cannot have :name parameters: several routes may lead to one queue (got "/:id")',
      withQueue({ path: "/:id" }),
    ],
    ['queues.q.orderBy: must be "header:<name>" (got "x-order-id")', withQueue({ orderBy: "x-order-id" })],
    ['queues.q.orderBy: must be "header:<name>" (got "header:a b")', withQueue({ orderBy: "header:a b" })],
    [`queues.q.highWatermark: ${between(1, 200_000)} (got 0)`, withQueue({ highWatermark: 0 })],
    [`queues.q.highWatermark: ${between(1, 200_000)} (got 200001)`, withQueue({ highWatermark: 200_001 })],
    [`queues.q.resumeAt: ${RESUME_RULE} (got 1)`, withQueue({ resumeAt: 1 })],
    [`queues.q.resumeAt: ${RESUME_RULE} (got -0.1)`, withQueue({ resumeAt: -0.1 })],
    [`queues.q.alertAt: ${least(1)} (got 0)`, withQueue({ alertAt: 0 })],
    [`queues.q.maxAge: ${DURATION_RULE} (got "1y")`, withQueue({ maxAge: "1y" })],
    [`queues.q.batch: ${between(1, 100)} (got 101)`, withQueue({ batch: 101 })],
    [`queues.q.retry.attempts: ${between(1, 100)} (got 0)`, withQueue({ retry: { attempts: 0 } })],
    [`queues.q.retry.attempts: ${between(1, 100)} (got 101)`, withQueue({ retry: { attempts: 101 } })],
    [`queues.q.retry.delay: ${DURATION_RULE} (got 0)`, withQueue({ retry: { delay: 0 } })],
    [
      'queues.q.retry.maxDelay: must be at least delay (got "1s")',
      withQueue({ retry: { delay: "2s", maxDelay: "1s" } }),
    ],
    ["queues.q.retry: must be an object (got false)", withQueue({ retry: false })],
    [
      'queues.q.idempotencyKey: must be "optional" or "required" (got true)',
      withQueue({ idempotencyKey: true }),
    ],
    ['queues.q.onDeadHead: must be "block" or "skip" (got "drop")', withQueue({ onDeadHead: "drop" })],
    ["queues.q.depth: unknown key", withQueue({ depth: 1 })],
    [`queues["1q"]: ${NAME_RULE} (got "1q")`, minimalConfig({ queues: { "1q": { upstream: "a" } } })],
    ['routes[0].queue: is no queue (got "p")', withQueue({}, { queue: "p" })],
    ["routes[0].queue: must be the name of a queue (got 1)", withQueue({}, { queue: 1 })],
    [
      "routes[0]: must go to one of upstream, queue, not to several (got an object)",
      withQueue({}, { upstream: "a" }),
    ],
    [
      "routes[0].fallback: cannot stand in for storing a request in a queue (got an object)",
      withQueue({}, { fallback: { status: 202 } }),
    ],
  ]);
});

describe("queues in the Plan", () => {
  it("have the documented defaults", ({ expect }) => {
    const [queue] = planOf(withQueue({})).queues;
    expect(queue).toMatchObject({
      index: 0,
      name: "q",
      upstream: 0,
      rewrite: null,
      orderBy: null,
      batch: 100,
      idempotencyKey: "optional",
      terms: {
        highWatermark: 20_000,
        resumeAt: 0.7,
        alertAt: 10_000,
        maxAgeMs: 86_400_000,
        retry: { attempts: 10, delayMs: 5_000, maxDelayMs: 86_400_000 },
        onDeadHead: "block",
      },
    });
    expect(isQueueTerms(queue.terms)).toBe(true);
  });

  it("keep what is written, and adapt one pause to the other", ({ expect }) => {
    const [queue] = planOf(withQueue({ orderBy: "header:X-Order", retry: { maxDelay: "1s" } })).queues;
    expect(queue.orderBy).toBe("x-order");
    expect(queue.terms.retry).toEqual({ attempts: 10, delayMs: 1_000, maxDelayMs: 1_000 });
    const [slow] = planOf(withQueue({ retry: { delay: "2d" } })).queues;
    expect(slow.terms.retry.maxDelayMs).toBe(2 * 86_400_000);
  });

  it("say where a route goes", ({ expect }) => {
    const plan = planOf(withQueue({}));
    expect(plan.routes[0].destination).toEqual({ kind: "queue", queue: 0 });
    expect(planOf(withRoute({})).routes[0].destination).toEqual({ kind: "upstream", upstream: 0 });
  });

  it("have a route for their deliveries behind those that are written, which no request matches", ({
    expect,
  }) => {
    const plan = planOf(withQueue({}, { priority: "P0", bodyLimit: "1KiB" }));
    const { delivery } = plan.queues[0];
    expect(delivery).toMatchObject({
      index: 1,
      name: "queue.q",
      destination: { kind: "upstream", upstream: 0 },
      priority: 0,
      deadlineMs: 30_000,
      bodyLimitBytes: 1024,
    });
    expect(
      allRoutes(plan)
        .map(({ index, name }) => [index, name])
        .slice(1),
    ).toEqual([
      [1, "queue.q"],
      [2, "a.upstream"],
    ]);
    expect(plan.routes).toHaveLength(1);
  });

  it("give a delivery as long as one try may take, up to ten minutes", ({ expect }) => {
    expect([deadlineOf("1m"), deadlineOf("1h")]).toEqual([60_000, 600_000]);
  });

  it.for([
    ["/*", "/jobs/7", "/jobs/7"],
    ["/in/*", "/jobs/7", "/in/jobs/7"],
    ["/in/*", "/", "/in/"],
    ["/fixed", "/jobs/7", "/fixed"],
    ["/", "/jobs/7", "/"],
  ])("send %s for a request with %s: %s", ([path, asked, sent], { expect }) => {
    const { rewrite } = planOf(withQueue({ path })).queues[0];
    expect(rewrite === null ? asked : rewritePath(rewrite, asked)).toBe(sent);
  });

  it("come out of a compiled configuration as they went in", ({ expect }) => {
    const plan = planOf(withQueue({ path: "/in/*", orderBy: "header:k" }));
    expect(unpackPlan(packPlan(plan))).toEqual(plan);
  });
});

describe("advice on queues", () => {
  it("is silent where nothing is odd", ({ expect }) => {
    expect(adviceOn(withQueue({}))).toEqual([]);
  });

  it("warns of a queue on methods that ask for something", ({ expect }) => {
    const line =
      "routes[0].queue: a GET is answered with 202 and not with what it asks for; list only methods that change something";
    expect(adviceOn(withQueue({}, { methods: ["GET", "POST"] }))).toEqual([line]);
    expect(adviceOn(withQueue({}, { methods: undefined }))).toEqual([line]);
  });

  it("warns of queues that nothing leads to, of alerts that never come, of rules without effect", ({
    expect,
  }) => {
    expect(adviceOn(minimalConfig({ queues: { q: { upstream: "a" } } }))).toEqual([
      "queues.q: no route leads to it",
    ]);
    expect(adviceOn(withQueue({ highWatermark: 1000 }))).toEqual([
      "queues.q.alertAt: never reached, the queue takes nothing more from 1250 on; lower it",
    ]);
    expect(adviceOn(withQueue({ highWatermark: 1000, alertAt: 1249 }))).toEqual([]);
    expect(adviceOn(withQueue({ onDeadHead: "skip" }))).toEqual([
      "queues.q.onDeadHead: has no effect without orderBy",
    ]);
  });
});

describe("bindings of queues", () => {
  it("must be in wrangler.toml once there is a queue", ({ expect }) => {
    const plan = planOf(withQueue({}));
    expect(missingBindings(plan, declared({}))).toEqual([
      "queues: need the Durable Object binding OUTBOX in wrangler.toml",
      "queues: need the binding DELIVERY to a Cloudflare Queue in wrangler.toml",
      "queues: need a consumer, with a dead_letter_queue, of DELIVERY's queue in wrangler.toml",
    ]);
    const unconsumed = declared({ objects: ["OUTBOX"], queues: ["DELIVERY"], consumed: [] });
    expect(missingBindings(plan, unconsumed)).toHaveLength(1);
    expect(missingBindings(plan, declared({ objects: ["OUTBOX"], queues: ["DELIVERY"] }))).toEqual([]);
    expect(missingBindings(planOf(minimalConfig()), declared({}))).toEqual([]);
    expect(errorsOf(withQueue({}))).toEqual([]);
  });

  it("come with the advice to have a cron trigger, where there are outboxes and none stands there", ({
    expect,
  }) => {
    const plan = planOf(withQueue({}));
    expect(adviseBindings(plan, declared({}))).toEqual([expect.stringContaining("no cron trigger")]);
    expect(adviseBindings(plan, declared({ crons: ["* * * * *"] }))).toEqual([]);
    expect(adviseBindings(planOf(minimalConfig()), declared({}))).toEqual([]);
  });
});
