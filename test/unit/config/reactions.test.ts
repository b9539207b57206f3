// Reactions of a configuration: their rules, the subscriptions that they become, and what `check` advises.

import { describe, it } from "vitest";
import { adviseConfig } from "../../../src/config/advise.ts";
import { missingBindings } from "../../../src/config/bindings.ts";
import { packPlan, unpackPlan } from "../../../src/config/compiled-config.ts";
import { allRoutes } from "../../../src/config/plan.ts";
import { isQueueTerms } from "../../../src/delivery/core/requests.ts";
import { resolveSubscriptions } from "../../../src/edge/engine-subscriptions.ts";
import { sidecarErrors } from "../../../src/sidecar/sidecar-config.ts";
import { DURATION_RULE, NAME_RULE, between, expectLines } from "./rule-lines.ts";
import { declared, minimalConfig, planOf } from "./sample.ts";

const REQUEST = { upstream: "a", method: "POST", path: "/reservations", body: { sku: "{data.sku}" } };

function withReaction(changes: object = {}, request: object = {}): Record<string, unknown> {
  const r = {
    on: "order.placed",
    request: { ...REQUEST, ...request },
    then: { ok: "stock.reserved" },
    ...changes,
  };
  return minimalConfig({ reactions: { r } });
}

const ON_RULE = 'must be a type of events like "order.paid", "order.*" or "*", or a list of them';
const TYPE_RULE = 'must be the type of an event like "order.placed"';
const REFERENCE_RULE =
  "holds {...} that is no reference; references begin with data, id, source, type, subject, time, " +
  "correlationid, partitionkey, extensions, idempotencyKey";

describe("what is no reaction", () => {
  expectLines([
    ["reactions.r.on: is required", withReaction({ on: undefined })],
    [`reactions.r.on: ${ON_RULE} (got "")`, withReaction({ on: "" })],
    [`reactions.r.on: ${ON_RULE} (got an empty list)`, withReaction({ on: [] })],
    [`reactions.r.on: ${ON_RULE} (got a list)`, withReaction({ on: ["a.b", "*.b"] })],
    ["reactions.r.request: is required", withReaction({ request: undefined })],
    ['reactions.r.request.upstream: is no upstream (got "b")', withReaction({}, { upstream: "b" })],
    [
      'reactions.r.request.body: must be left out with GET (got "{data}")',
      withReaction({}, { method: "GET", body: "{data}" }),
    ],
    [
      'reactions.r.request.method: must be GET, POST, PUT, PATCH or DELETE (got "HEAD")',
      withReaction({}, { method: "HEAD" }),
    ],
    [
      `reactions.r.request.path: ${REFERENCE_RULE} (got "/{dat.sku}")`,
      withReaction({}, { path: "/{dat.sku}" }),
    ],
    [`reactions.r.request.path: ${REFERENCE_RULE} (got "/{id.x}")`, withReaction({}, { path: "/{id.x}" })],
    [
      `reactions.r.request.path: ${REFERENCE_RULE} (got "/{extensions}")`,
      withReaction({}, { path: "/{extensions}" }),
    ],
    [
      `reactions.r.request.body: ${REFERENCE_RULE} (got an object)`,
      withReaction({}, { body: { a: "{body.sku}" } }),
    ],
    [
      `reactions.r.request.headers: idempotency-key is set by the reaction (got an object)`,
      withReaction({}, { headers: { "Idempotency-Key": "x" } }),
    ],
    [
      "reactions.r.request.headers: x-a: must be env:NAME with the name of a secret (got an object)",
      withReaction({}, { headers: { "x-a": "env:9" } }),
    ],
    [`reactions.r.then.ok: ${TYPE_RULE} (got "a.*")`, withReaction({ then: { ok: "a.*" } })],
    [`reactions.r.then.failed: ${TYPE_RULE} (got 1)`, withReaction({ then: { failed: 1 } })],
    ["reactions.r.then.faild: unknown key, did you mean failed?", withReaction({ then: { faild: "a.b" } })],
    [`reactions.r.deadline: ${DURATION_RULE} (got 0)`, withReaction({ deadline: 0 })],
    ['reactions.r.deadline: must be at most 14d (got "15d")', withReaction({ deadline: "15d" })],
    [`reactions.r.retry.attempts: ${between(1, 100)} (got 0)`, withReaction({ retry: { attempts: 0 } })],
    [
      'reactions.r.retry.maxDelay: must be at least delay (got "1s")',
      withReaction({ retry: { delay: "2s", maxDelay: "1s" } }),
    ],
    [`reactions.r.highWatermark: ${between(1, 200_000)} (got 0)`, withReaction({ highWatermark: 0 })],
    ["reactions.r.order: unknown key, did you mean ordered?", withReaction({ order: true })],
    [
      `reactions["9"]: ${NAME_RULE} (got "9")`,
      minimalConfig({ reactions: { "9": { on: "a", request: REQUEST } } }),
    ],
    [
      "reactions.r: is already the name of a queue (got an object)",
      { ...withReaction(), queues: { r: { upstream: "a" } } },
    ],
    [
      "reactions.r: is already the name of a subscription (got an object)",
      { ...withReaction(), subscriptions: { r: { events: ["*"], deliver: { pull: true } } } },
    ],
    [
      'reactions.r.then.ok: leads back to itself whenever all goes well: r -> r (got "order.done")',
      withReaction({ on: "order.*", then: { ok: "order.done" } }),
    ],
    [
      'reactions.b.then.ok: leads back to itself whenever all goes well: b -> c -> b (got "c.c")',
      minimalConfig({
        reactions: {
          a: { on: "a.a", request: REQUEST, then: { ok: "b.b" } },
          b: { on: "b.b", request: REQUEST, then: { ok: "c.c" } },
          c: { on: ["x.x", "c.c"], request: REQUEST, then: { ok: "b.b" } },
        },
      }),
    ],
  ]);
});

const TWO = minimalConfig({
  name: "shop",
  queues: { q: { upstream: "a" } },
  subscriptions: {
    log: { events: ["*"], deliver: { pull: true } },
    up: { events: ["*"], deliver: { upstream: "a" } },
  },
  reactions: {
    reserve: {
      on: "order.placed",
      request: {
        ...REQUEST,
        method: "post",
        headers: { "X-Order": "{subject}", authorization: "env:TOKEN" },
      },
      then: { ok: "stock.reserved", failed: "stock.rejected", deadline: "stock.late" },
      deadline: "5m",
      retry: { attempts: 4, delay: "1s" },
      ordered: true,
      alertAt: 7,
    },
    release: { on: ["stock.rejected", "stock.late"], request: { ...REQUEST, body: undefined } },
  },
});

describe("a reaction", () => {
  it("is a subscription of an upstream, behind those that were written", ({ expect }) => {
    const plan = planOf(TWO);
    const [reserve, release] = plan.subscriptions.slice(2);
    expect(reserve).toMatchObject({
      index: 2,
      name: "reserve",
      events: ["order.placed"],
      ordered: true,
      deliver: {
        kind: "upstream",
        upstream: 0,
        delivery: { name: "reaction.reserve" },
        request: {
          method: "POST",
          path: "/reservations",
          headers: [["x-order", "{subject}"]],
          secretHeaders: { set: [{ name: "authorization", value: "", secret: "TOKEN" }], remove: [] },
          body: { sku: "{data.sku}" },
        },
      },
      terms: {
        highWatermark: 20_000,
        alertAt: 7,
        maxAgeMs: 300_000,
        retry: { attempts: 4, delayMs: 1_000, maxDelayMs: 24 * 3600 * 1000 },
        onDeadHead: "skip",
        delivery: "upstream",
        reaction: {
          source: "/shop/reactions/reserve",
          ok: "stock.reserved",
          failed: "stock.rejected",
          deadline: "stock.late",
        },
      },
    });
    expect(release).toMatchObject({
      events: ["stock.rejected", "stock.late"],
      terms: {
        maxAgeMs: 3_600_000,
        retry: { attempts: 10, delayMs: 5_000 },
        onDeadHead: "block",
        reaction: { ok: null, failed: null, deadline: null },
      },
    });
    expect(plan.subscriptions.every(({ terms }) => isQueueTerms(terms))).toBe(true);
    const routes = allRoutes(plan);
    expect(routes.map(({ index }) => index)).toEqual(routes.map((_, place) => place));
    expect(plan.secrets).toEqual(["TOKEN"]);
    expect(resolveSubscriptions(plan, { TOKEN: "t{id}" })[2].headers).toEqual([["authorization", "t{id}"]]);
    expect(unpackPlan(packPlan(plan))).toEqual(plan);
  });

  it("needs the bindings that events need, and no sidecar has them", ({ expect }) => {
    const plan = planOf(withReaction());
    expect(missingBindings(plan, declared({ objects: ["OUTBOX"] }))).toEqual([
      "reactions: need the binding DELIVERY to a Cloudflare Queue in wrangler.toml",
      "reactions: need a consumer, with a dead_letter_queue, of DELIVERY's queue in wrangler.toml",
    ]);
    expect(sidecarErrors(plan)).toEqual(["reactions.r: a sidecar delivers no events, the gateway does"]);
  });
});

function adviceOn(reactions: object, events: readonly string[] = []): readonly string[] {
  const subscriptions = events.length === 0 ? {} : { s: { events, deliver: { pull: true } } };
  return adviseConfig(planOf(minimalConfig({ reactions, subscriptions })));
}

describe("advice on a reaction", () => {
  it("names events that nobody hears, and failures that nobody learns of", ({ expect }) => {
    const then = { ok: "a.ok" };
    expect(adviceOn({ r: { on: "a.a", request: REQUEST, then } })).toEqual([
      "reactions.r.then.ok: nobody has subscribed to it",
      "reactions.r.then.failed: nobody learns when it fails and undoes what came before; " +
        "it becomes a dead letter",
    ]);
    expect(adviceOn({ r: { on: "a.a", request: { ...REQUEST, method: "DELETE" }, then } }, ["a.*"])).toEqual(
      [],
    );
    expect(adviceOn({ r: { on: "a.a", request: REQUEST } })).toEqual([]);
  });

  it("names a round that a failure may begin again", ({ expect }) => {
    const retry = { on: ["a.a", "a.failed"], request: REQUEST, then: { failed: "a.failed" } };
    expect(adviceOn({ retry })).toEqual([
      "reactions.retry: may go round, retry -> retry; " +
        "an event that has come through 16 reactions becomes a dead letter",
    ]);
  });

  it("counts a reaction among those that hear a route's events", ({ expect }) => {
    const routes = [{ path: "/e", methods: ["POST"], event: "a.a" }];
    const reactions = { r: { on: "a.*", request: REQUEST } };
    expect(adviseConfig(planOf(minimalConfig({ routes, reactions })))).toEqual([]);
  });
});
