// Limits and counters: every rule with its exact line, what a limit compiles to, and the advice on both.

import * as fc from "fast-check";
import { describe, it } from "vitest";
import { MIN_GLOBAL_WINDOW_MS, MIN_SHARED_UNITS } from "../../../src/config/advise-limits.ts";
import { adviseConfig } from "../../../src/config/advise.ts";
import { CONSISTENCIES } from "../../../src/config/limit-window.ts";
import type { LimitPlan } from "../../../src/config/plan.ts";
import type { GatewayConfig } from "../../../src/tidegate.ts";
import { DURATION_RULE, expectLines, NAME_RULE } from "./rule-lines.ts";
import { errorsOf, minimalConfig, planOf, withLimit, withRoute } from "./sample.ts";

const KEY_RULE = 'must be "consumer", "tenant", "ip", "route" or "header:<name>"';
const COST_RULE = "must be at most burst, or no request ever passes";
const COST_OF_RATE_RULE = "must be at most rate, or no request ever passes";
const BILLING_RULE = 'a limit that is billed needs consistency "exact"';

const UNITS_RULE = "must be a whole number from 1 to 1000000000";

describe("limits", () => {
  expectLines([
    ["limits.l.key: is required", withLimit({ key: undefined })],
    [`limits.l.key: ${KEY_RULE} (got "address")`, withLimit({ key: "address" })],
    [`limits.l.key: ${KEY_RULE} (got "header:")`, withLimit({ key: "header:" })],
    [`limits.l.key: ${KEY_RULE} (got "header:a b")`, withLimit({ key: "header:a b" })],
    [`limits.l.rate: ${UNITS_RULE} (got 0)`, withLimit({ rate: 0 })],
    [`limits.l.rate: ${UNITS_RULE} (got 0.5)`, withLimit({ rate: 0.5 })],
    ["limits.l.per: is required", withLimit({ per: undefined })],
    [`limits.l.per: ${DURATION_RULE} (got "minute")`, withLimit({ per: "minute" })],
    [`limits.l.burst: ${UNITS_RULE} (got 0)`, withLimit({ burst: 0 })],
    [
      'limits.l.consistency: must be "local", "regional", "global", "capped" or "exact" (got "strong")',
      withLimit({ consistency: "strong" }),
    ],
    [
      'limits.l.onUnavailable: must be "allow" or "deny" (got "block")',
      withLimit({ onUnavailable: "block" }),
    ],
    ["limits.l.shadow: must be true or false (got 1)", withLimit({ shadow: 1 })],
    ['limits.l.billing: must be true or false (got "yes")', withLimit({ billing: "yes" })],
  ]);
});

describe("the window of a limit", () => {
  const rule = "makes a window of more than 24 days, lower it or raise rate";
  expectLines([
    [`limits.l.burst: ${rule} (got 26)`, withLimit({ rate: 1, per: "1d", burst: 26 })],
    [`limits.l.rate: ${UNITS_RULE} (got 1000000001)`, withLimit({ rate: 1e9 + 1 })],
  ]);

  it("may be 24 days long, and is no matter where the burst has no effect", ({ expect }) => {
    expect(errorsOf(withLimit({ rate: 1, per: "1d", burst: 24 }))).toEqual([]);
    for (const consistency of ["local", "capped", "exact"]) {
      expect(errorsOf(withLimit({ rate: 1, per: "1d", burst: 26, consistency }))).toEqual([]);
    }
  });
});

describe("the cost of a request", () => {
  expectLines([
    [
      "limits.l.cost: must be a whole number from 1 to 100000 (got 100001)",
      withLimit({ rate: 200_000, cost: 100_001 }),
    ],
    [`limits.l.cost: ${COST_RULE} (got 6)`, withLimit({ cost: 6 })],
    [`limits.l.cost: ${COST_RULE} (got 3)`, withLimit({ cost: 3, burst: 2 })],
    [`limits.l.cost: ${COST_RULE} (got 6)`, withLimit({ cost: 6, consistency: "local" })],
    [`limits.l.cost: ${COST_RULE} (got 6)`, withLimit({ cost: 6, consistency: "regional" })],
    [`limits.l.cost: ${COST_OF_RATE_RULE} (got 6)`, withLimit({ cost: 6, consistency: "capped" })],
    [`limits.l.cost: ${COST_OF_RATE_RULE} (got 6)`, withLimit({ cost: 6, burst: 9, consistency: "exact" })],
  ]);

  it.for([
    { cost: 5 },
    { cost: 9, burst: 9 },
    { cost: 5, burst: 2, consistency: "capped" },
    { cost: 5, burst: 2, consistency: "exact" },
  ])("may be all that a window admits: %j", (limit, { expect }) => {
    expect(errorsOf(withLimit(limit))).toEqual([]);
  });

  it("is never more than a window of the plan admits", ({ expect }) => {
    const units = fc.integer({ min: 1, max: 20 });
    const limits = fc.record(
      { consistency: fc.constantFrom(...CONSISTENCIES), rate: units, burst: units, cost: units },
      { requiredKeys: ["rate"] },
    );
    fc.assert(
      fc.property(limits, (limit) => {
        const { windowLimit } = limitPlan({ ...limit, cost: 1 });
        expect(errorsOf(withLimit(limit)).length === 0).toBe((limit.cost ?? 1) <= windowLimit);
      }),
    );
  });
});

describe("a limit that is billed", () => {
  expectLines([
    [`limits.l.billing: ${BILLING_RULE} (got true)`, withLimit({ billing: true })],
    [`limits.l.billing: ${BILLING_RULE} (got true)`, withLimit({ billing: true, consistency: "local" })],
    [`limits.l.billing: ${BILLING_RULE} (got true)`, withLimit({ billing: true, consistency: "regional" })],
    [`limits.l.billing: ${BILLING_RULE} (got true)`, withLimit({ billing: true, consistency: "global" })],
    [`limits.l.billing: ${BILLING_RULE} (got true)`, withLimit({ billing: true, consistency: "capped" })],
  ]);

  it("is exact", ({ expect }) => {
    expect(limitPlan({ billing: true, consistency: "exact" })).toMatchObject({
      billing: true,
      consistency: "exact",
    });
  });
});

function limitPlan(limit: Record<string, unknown>): LimitPlan {
  return planOf(withLimit(limit)).limits[0];
}

describe("the plan of a limit", () => {
  it.for([
    ["local", 12_000, 5],
    ["regional", 30_000, 5],
    ["global", 30_000, 5],
    ["capped", 12_000, 2],
    ["exact", 12_000, 2],
  ] as const)("that is %s has its window", ([consistency, windowMs, windowLimit], { expect }) => {
    const numbers = { rate: 2, per: "12s", burst: 5 };
    expect(limitPlan({ ...numbers, consistency })).toMatchObject({
      rate: 2,
      perMs: 12_000,
      burst: 5,
      consistency,
      windowMs,
      windowLimit,
    });
  });

  it.for(CONSISTENCIES)(
    "that is %s admits its rate in each per without a burst",
    (consistency, { expect }) => {
      expect(limitPlan({ rate: 7, per: "3s", consistency })).toMatchObject({
        windowMs: 3000,
        windowLimit: 7,
      });
    },
  );

  it.for([
    [{ rate: 3, per: "1s", burst: 1 }, 333],
    [{ rate: 3, per: "1s", burst: 2 }, 667],
    [{ rate: 2000, per: "1s", burst: 1 }, 1],
    [{ rate: 1_000_000, per: "1s", burst: 1 }, 1],
  ] as const)("has a window of whole milliseconds, at least one: %j", ([numbers, windowMs], { expect }) => {
    expect(limitPlan({ ...numbers, consistency: "global" }).windowMs).toBe(windowMs);
    expect(limitPlan({ ...numbers, consistency: "regional" }).windowMs).toBe(windowMs);
  });

  it.for([
    ["local", "allow"],
    ["regional", "allow"],
    ["global", "allow"],
    ["capped", "deny"],
    ["exact", "deny"],
  ] as const)(
    "that is %s has onUnavailable %s unless it is written",
    ([consistency, byDefault], { expect }) => {
      expect(limitPlan({ consistency }).onUnavailable).toBe(byDefault);
      expect(limitPlan({ consistency, onUnavailable: "allow" }).onUnavailable).toBe("allow");
      expect(limitPlan({ consistency, onUnavailable: "deny" }).onUnavailable).toBe("deny");
    },
  );
});

/** Advice on one limit that a route uses; 100 a minute unless told, so that nothing is odd by itself. */
function adviceFor(limit: Record<string, unknown>): readonly string[] {
  const limits = { l: { key: "ip", rate: 100, per: "1m", ...limit } };
  return adviseConfig(planOf(withRoute({ limits: ["l"] }, { limits })));
}

describe("advice on a limit", () => {
  it.for(CONSISTENCIES)("is silent where %s fits", (consistency, { expect }) => {
    expect(adviceFor({ consistency })).toEqual([]);
    expect(adviceFor({ consistency, onUnavailable: "deny", burst: 100 })).toEqual([]);
  });

  const regional = 'limits.l.consistency: 9 per window are too few to share among isolates; use "exact"';
  const global =
    'limits.l.consistency: 9 per window are too few to share among regions; use "exact" or "regional"';
  const capped = 'limits.l.consistency: 9 per period are too few to share out ahead of need; use "exact"';

  it.for([
    ["regional", regional],
    ["global", global],
    ["capped", capped],
  ] as const)("says that it is too small to be %s", ([consistency, line], { expect }) => {
    expect(adviceFor({ consistency, rate: MIN_SHARED_UNITS - 1 })).toEqual([line]);
    expect(adviceFor({ consistency, rate: MIN_SHARED_UNITS })).toEqual([]);
  });

  it("looks at what a window admits, not at the rate", ({ expect }) => {
    expect(adviceFor({ burst: MIN_SHARED_UNITS - 1 })).toEqual([global]);
    expect(adviceFor({ rate: 1, burst: MIN_SHARED_UNITS })).toEqual([]);
  });

  it.for(["local", "exact"])("says nothing of a small limit that is %s", (consistency, { expect }) => {
    expect(adviceFor({ consistency, rate: 1, per: "1s" })).toEqual([]);
  });

  it("says that a short global window is a regional one", ({ expect }) => {
    const line =
      'limits.l.consistency: counts of other regions arrive too late for a window of 4999 ms, so it is effectively "regional"';
    expect(adviceFor({ per: MIN_GLOBAL_WINDOW_MS - 1 })).toEqual([line]);
    expect(adviceFor({ per: MIN_GLOBAL_WINDOW_MS })).toEqual([]);
    expect(adviceFor({ per: MIN_GLOBAL_WINDOW_MS - 1, consistency: "regional" })).toEqual([]);
  });

  it("says that a burst has no effect", ({ expect }) => {
    expect(adviceFor({ consistency: "capped", burst: 20 })).toEqual([
      'limits.l.burst: has no effect, a "capped" limit admits its rate in each per',
    ]);
    expect(adviceFor({ consistency: "exact", burst: 200 })).toEqual([
      'limits.l.burst: has no effect, an "exact" limit admits its rate in each per',
    ]);
    expect(adviceFor({ consistency: "regional", burst: 200 })).toEqual([]);
  });

  it("says what allow means for a limit that promises never to be passed", ({ expect }) => {
    expect(adviceFor({ consistency: "capped", onUnavailable: "allow" })).toEqual([
      'limits.l.onUnavailable: "allow" has no effect, a "capped" limit never passes a request without rights',
    ]);
    expect(adviceFor({ consistency: "exact", onUnavailable: "allow" })).toEqual([
      'limits.l.onUnavailable: "allow" lets the cap be passed while the ledger cannot be reached; leave it out to deny',
    ]);
    expect(adviceFor({ consistency: "global", onUnavailable: "allow" })).toEqual([]);
  });
});

function withCounter(count: unknown, counter: unknown = { key: "consumer" }): Record<string, unknown> {
  return withRoute({ count }, { counters: { calls: counter } });
}

describe("counters", () => {
  const names = "must be a list of counters";

  expectLines([
    ["counters: must be an object of names (got a list)", minimalConfig({ counters: ["calls"] })],
    ['counters.calls: must be an object (got "consumer")', withCounter([], "consumer")],
    ["counters.calls.key: is required", withCounter([], {})],
    [`counters.calls.key: ${KEY_RULE} (got "user")`, withCounter([], { key: "user" })],
    ["counters.calls.per: unknown key", withCounter([], { key: "ip", per: "1m" })],
    [
      `counters["api calls"]: ${NAME_RULE} (got "api calls")`,
      minimalConfig({ counters: { "api calls": { key: "ip" } } }),
    ],
    [`routes[0].count: ${names} (got "calls")`, withCounter("calls")],
    ["routes[0].count[1]: must be the name of a counter (got 1)", withCounter(["calls", 1])],
    ['routes[0].count[1]: is no counter (got "cals")', withCounter(["calls", "cals"])],
    ['routes[0].count[0]: is no counter (got "constructor")', withCounter(["constructor"])],
    ['routes[0].count[1]: is listed twice (got "calls")', withCounter(["calls", "calls"])],
  ]);

  it("have their place in the plan, and routes refer to it", ({ expect }) => {
    const counters = {
      calls: { key: "consumer" },
      "per-tenant": { key: "tenant" },
      versions: { key: "header:X-Version" },
    };
    const plan = planOf(withRoute({ count: ["versions", "calls"] }, { counters }));
    expect(plan.counters).toEqual([
      { index: 0, name: "calls", key: { kind: "consumer" } },
      { index: 1, name: "per-tenant", key: { kind: "tenant" } },
      { index: 2, name: "versions", key: { kind: "header", header: "x-version" } },
    ]);
    expect(plan.routes[0].count).toEqual([2, 0]);
    expect(adviseConfig(plan)).toEqual(["counters.per-tenant: no route feeds it"]);
  });
});

describe("the types of a configuration", () => {
  it("take every consistency and counters", ({ expect }) => {
    const config: GatewayConfig = {
      upstreams: { a: { targets: ["http://a.test"] } },
      limits: {
        ...Object.fromEntries(
          CONSISTENCIES.map((consistency) => [consistency, { key: "ip", rate: 10, per: "1m", consistency }]),
        ),
        billed: { key: "tenant", rate: 10, per: "1m", consistency: "exact", billing: true },
      },
      counters: { calls: { key: "header:x-app" } },
      routes: [{ path: "/*", upstream: "a", limits: ["billed"], count: ["calls"] }],
    };
    expect(errorsOf(config)).toEqual([]);
  });
});
