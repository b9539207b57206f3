// Limits that three regions share: how far each consistency holds, what a caller is told, and that a request
// that is refused uses nothing.
import { afterAll, beforeAll, describe, it } from "vitest";
import {
  startRegions,
  startUpstream,
  until,
  type RunningRegions,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { parsePrometheus } from "./support/prometheus.ts";
import { expectProblem, readAnswer, type Answer } from "./support/problems.ts";
import { offer, readMetrics, setFaults, tellAdmin, type Offered } from "./support/region-calls.ts";

const REGIONS = ["weur", "enam", "apac"] as const;
const LIMIT = 300;
const REGIONAL = 60;
const EXACT = 100;
const SMALL = 10;

let gateway: RunningRegions;
let upstream: RunningUpstream;
const held: (() => void)[] = [];

beforeAll(async () => {
  upstream = await startUpstream((request, response) => {
    request.resume();
    const path = request.url ?? "";
    if (path.includes("/hold")) held.push(() => response.end());
    else response.writeHead(path.includes("/fails") ? 500 : 200).end("ok");
  });
  const targets = [upstream.url];
  const key = "header:x-caller";
  gateway = await startRegions({
    regions: REGIONS,
    config: {
      upstreams: {
        app: { targets, retry: false, breaker: false },
        narrow: { targets, retry: false, concurrency: { max: 1, adaptive: false, waiting: 0 } },
        fragile: {
          targets,
          retry: false,
          breaker: { consecutive: 1, openFor: "60s", maxOpenFor: "60s" },
        },
      },
      limits: {
        world: { key, rate: LIMIT, per: "1m", burst: LIMIT, consistency: "global" },
        wide: { key, rate: 1_000_000, per: "1m", burst: 1_000_000, consistency: "global" },
        region: { key, rate: REGIONAL, per: "1m", burst: REGIONAL, consistency: "regional" },
        isolate: { key, rate: SMALL, per: "1h", burst: SMALL, consistency: "local" },
        // Periods of a day: of an hour, one test in a thousand would meet two.
        cap: { key, rate: LIMIT, per: "24h", consistency: "capped" },
        ledger: { key, rate: EXACT, per: "1h", consistency: "exact" },
        few: { key, rate: SMALL, per: "1h", consistency: "exact" },
        soft: { key, rate: SMALL, per: "1m", burst: SMALL, consistency: "global" },
        quota: { key, rate: SMALL, per: "24h", consistency: "capped" },
      },
      routes: [
        ...["world", "wide", "region", "isolate", "cap", "ledger", "few", "soft", "quota"].map((limit) => ({
          path: `/${limit}/*`,
          upstream: "app",
          limits: [limit],
        })),
        { path: "/narrow/*", upstream: "narrow", limits: ["few"] },
        { path: "/fragile/*", upstream: "fragile", limits: ["few"] },
      ],
    },
  });
  // A region is known to the others by being used.
  await Promise.all(REGIONS.map((region) => ask(region, "/wide/first", "nobody")));
  await until("the regions have met", 5_000, async () => {
    const states = await Promise.all(REGIONS.map((region) => tellAdmin(gateway, region, "GET", "state")));
    return states.every(({ regions }) => Object.keys(regions ?? {}).length === 3);
  });
});

afterAll(async () => {
  for (const answer of held) answer();
  await gateway?.stop();
  await upstream?.stop();
});

async function ask(
  region: string,
  path: string,
  caller: string,
  more: Record<string, string> = {},
): Promise<Answer> {
  return readAnswer(await fetch(gateway.url(region) + path, { headers: { "x-caller": caller, ...more } }));
}

/** Twice what the limit admits, through all regions in turn. */
function offerTwice(limit: string, units: number, forMs: number, caller = "crowd"): Promise<Offered> {
  return offer(
    (index) =>
      fetch(`${gateway.url(REGIONS[index % REGIONS.length])}/${limit}/x`, {
        headers: { "x-caller": caller },
      }),
    { perSecond: (2 * units * 1000) / forMs, forMs },
  );
}

/** Twice what a regional limit admits, to one region. */
function offerTo(region: string): Promise<Offered> {
  return offer(() => fetch(`${gateway.url(region)}/region/x`, { headers: { "x-caller": "apart" } }), {
    perSecond: 2 * REGIONAL,
    forMs: 1_000,
  });
}

describe("under twice the load, through three regions at once", () => {
  it("global: passes at most 5 % more, and at least 90 %", async ({ expect }) => {
    const { passed, statuses } = await offerTwice("world", LIMIT, 3_000);
    expect(statuses).toHaveLength(2 * LIMIT);
    expect(new Set(statuses)).toEqual(new Set([200, 429]));
    expect(passed).toBeLessThanOrEqual(LIMIT * 1.05);
    expect(passed).toBeGreaterThanOrEqual(LIMIT * 0.9);
  });

  it("capped: never passes more, and at least 85 %", async ({ expect }) => {
    const { passed, statuses } = await offerTwice("cap", LIMIT, 3_000);
    expect(new Set(statuses)).toEqual(new Set([200, 429]));
    expect(passed).toBeLessThanOrEqual(LIMIT);
    expect(passed).toBeGreaterThanOrEqual(LIMIT * 0.85);
  });

  it("capped: never passes more while the regions are cut off from each other", async ({ expect }) => {
    await setFaults(gateway, { partition: [["weur"], ["enam"], ["apac"]] });
    const { passed } = await offerTwice("cap", LIMIT, 1_500, "cut");
    await setFaults(gateway, {});
    expect(passed).toBeLessThanOrEqual(LIMIT);
    expect(passed).toBeGreaterThan(0);
  });

  it("exact: never passes more, and at least 85 %", async ({ expect }) => {
    const { passed } = await offerTwice("ledger", EXACT, 2_000);
    expect(passed).toBeLessThanOrEqual(EXACT);
    expect(passed).toBeGreaterThanOrEqual(EXACT * 0.85);
  });

  it("regional: counts each region apart", async ({ expect }) => {
    const offered = await Promise.all([offerTo("weur"), offerTo("enam")]);
    for (const { passed } of offered) {
      // Where the hub is slow to answer, an isolate goes by what it knows.
      expect(passed).toBeLessThanOrEqual(REGIONAL * 1.05);
      expect(passed).toBeGreaterThanOrEqual(REGIONAL * 0.9);
    }
  });

  it("local: counts each isolate apart, without a hub", async ({ expect }) => {
    const calls = await hubCalls("weur");
    for (const region of ["weur", "enam"]) {
      const statuses: number[] = [];
      for (let count = 0; count < SMALL + 3; count++) {
        statuses.push((await ask(region, "/isolate/x", "apart")).status);
      }
      expect(statuses.filter((status) => status === 200)).toHaveLength(SMALL);
    }
    expect((await hubCalls("weur")).lease).toBe(calls.lease);
  });
});

describe("what a caller is told", () => {
  it.for([
    ["soft", "rate_limited", 60],
    ["quota", "quota_exceeded", 86_400],
    ["few", "quota_exceeded", 3600],
  ] as const)("%s: %s, and when to come back", async ([limit, code, seconds], { expect }) => {
    let refused: Answer | null = null;
    for (let count = 0; count < 5 * SMALL && refused === null; count++) {
      const answer = await ask("enam", `/${limit}/x`, "told");
      if (answer.status !== 200) refused = answer;
    }
    if (refused === null) throw new Error("nothing was refused");
    const body = expectProblem(expect, refused, { status: 429, code, waits: true });
    expect(body["policy"]).toBe(limit);
    expect(refused.header("ratelimit-policy")).toBe(`"${limit}";q=${SMALL};w=${seconds}`);
    expect(refused.header("ratelimit")).toBe(`"${limit}";r=0;t=${refused.header("retry-after")}`);
    expect(Number(refused.header("retry-after"))).toBeLessThanOrEqual(seconds);
  });

  it.for(["world", "region", "cap", "few"] as const)(
    "%s: what is left, on success",
    async (limit, { expect }) => {
      const first = await ask("weur", `/${limit}/x`, `told-${limit}`);
      expect(first.status).toBe(200);
      const [, units] = /^"[a-z]+";q=(\d+);w=\d+$/.exec(first.header("ratelimit-policy") ?? "") ?? [];
      const [, rest] = /^"[a-z]+";r=(\d+);t=\d+$/.exec(first.header("ratelimit") ?? "") ?? [];
      expect(Number(rest)).toBe(Number(units) - 1);
      const second = await ask("weur", `/${limit}/x`, `told-${limit}`);
      expect(second.header("ratelimit")).toMatch(new RegExp(`^"${limit}";r=${Number(units) - 2};`));
    },
  );
});

describe("an exact limit", () => {
  it("counts a request that is tried again once, wherever it comes in", async ({ expect }) => {
    const again = { "idempotency-key": "order-1" };
    expect(left(await ask("weur", "/few/pay", "again", again))).toBe(SMALL - 1);
    expect((await ask("weur", "/few/pay", "again", again)).status).toBe(200);
    expect((await ask("enam", "/few/pay", "again", again)).status).toBe(200);
    expect(left(await ask("apac", "/few/pay", "again", { "idempotency-key": "order-2" }))).toBe(SMALL - 2);
    expect(left(await ask("apac", "/few/other", "again", again))).toBe(SMALL - 3);
    expect(left(await ask("apac", "/few/pay", "again"))).toBe(SMALL - 4);
  });

  it("is given back what the upstream's bulkhead refused", async ({ expect }) => {
    const open = ask("weur", "/narrow/hold", "bulky");
    await until("it is upstream", 3_000, () => held.length > 0);
    for (let count = 0; count < 3; count++) {
      const refused = await ask("weur", "/narrow/x", "bulky");
      expectProblem(expect, refused, { status: 503, code: "concurrency_limit" });
    }
    for (const answer of held.splice(0)) answer();
    await open;
    let looks = 0;
    await until("what was refused is given back", 2_000, async () => {
      const look = await ask("enam", "/few/look", "bulky");
      looks++;
      return left(look) === SMALL - 1 - looks;
    });
    expect(looks).toBe(1);
  });

  it("is given back what the breaker refused, also under a key that is used again", async ({ expect }) => {
    expect((await ask("weur", "/fragile/fails", "broken")).status).toBe(500);
    const again = { "idempotency-key": "pay-1" };
    for (let count = 0; count < 3; count++) {
      const refused = await ask("weur", "/fragile/x", "broken", again);
      expectProblem(expect, refused, { status: 503, code: "circuit_open" });
    }
    // Another region's breaker is closed: the same request passes there, and is counted now.
    expect(left(await ask("enam", "/fragile/x", "broken", again))).toBe(SMALL - 2);
    expect((await ask("enam", "/fragile/x", "broken", again)).status).toBe(200);
    expect(left(await ask("enam", "/few/x", "broken"))).toBe(SMALL - 3);
  });
});

describe("calls to the hub", () => {
  it("are at most one sync a second, and not one for a request, far from the limit", async ({ expect }) => {
    const load = offer(() => fetch(`${gateway.url("weur")}/wide/x`, { headers: { "x-caller": "steady" } }), {
      perSecond: 60,
      forMs: 4_500,
    });
    await new Promise((resolve) => setTimeout(resolve, 1_900));
    const before = await hubCalls("weur");
    const startedAt = Date.now();
    const { passed } = await load;
    const after = await hubCalls("weur");
    expect(passed).toBe(270);
    const seconds = (Date.now() - startedAt) / 1000;
    expect(after.sync - before.sync).toBeLessThanOrEqual(Math.ceil(seconds) + 1);
    expect(after.sync - before.sync).toBeGreaterThan(0);
    // None is needed; a machine that stands still for more than a second may cost one.
    expect(after.lease - before.lease).toBeLessThanOrEqual(1);
    expect(after.failed).toBe(before.failed);
  });
});

function left(answer: Answer): number {
  return Number(/^"[a-z]+";r=(\d+);/.exec(answer.header("ratelimit") ?? "")?.[1]);
}

interface HubCalls {
  readonly sync: number;
  readonly lease: number;
  readonly failed: number;
}

async function hubCalls(region: string): Promise<HubCalls> {
  const samples = parsePrometheus(await readMetrics(gateway, region));
  const valueOf = (name: string, reason?: string): number =>
    samples.find((sample) => sample.name === name && sample.labels["reason"] === reason)?.value ?? Number.NaN;
  return {
    sync: valueOf("tidegate_hub_calls_total", "sync"),
    lease: valueOf("tidegate_hub_calls_total", "lease"),
    failed: valueOf("tidegate_hub_calls_failed_total"),
  };
}
