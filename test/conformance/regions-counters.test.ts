// Usage counters over three regions: whatever happens between the hubs or to them, every acknowledged
// increment is counted once, and all regions come to read the same.
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import {
  startRegions,
  startUpstream,
  type RunningRegions,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { expectProblem } from "./support/problems.ts";
import {
  addOnes,
  askAdmin,
  readCounter,
  readEverywhere,
  setFaults,
  settledValue,
  tellAdmin,
  type Increments,
} from "./support/region-calls.ts";

const REGIONS = ["weur", "enam", "apac"] as const;
const ALL_CUT = { partition: [["weur"], ["enam"], ["apac"]] };
const HEALED_WITHIN_MS = 5_000;

let gateway: RunningRegions;
let upstream: RunningUpstream;

beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startRegions({
    regions: REGIONS,
    config: {
      upstreams: { app: { targets: [upstream.url] } },
      limits: { tight: { key: "header:x-caller", rate: 5, per: "1h", burst: 5, consistency: "local" } },
      counters: {
        calls: { key: "header:x-caller" },
        "by-route": { key: "route" },
        plain: { key: "consumer" },
      },
      routes: [
        { name: "counted", path: "/counted/*", upstream: "app", count: ["calls", "by-route"] },
        { name: "tight", path: "/tight/*", upstream: "app", limits: ["tight"], count: ["calls"] },
      ],
    },
  });
});

afterAll(async () => {
  await gateway?.stop();
  await upstream?.stop();
});

beforeEach(async () => {
  await tellAdmin(gateway, "weur", "DELETE", "faults");
});

function addEverywhere(key: string, count: number, workers: number): Promise<Increments[]> {
  return Promise.all(REGIONS.map((region) => addOnes(gateway, region, "plain", key, { count, workers })));
}

function totals(increments: readonly Increments[]): Increments {
  return {
    attempted: increments.reduce((sum, { attempted }) => sum + attempted, 0),
    acknowledged: increments.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
  };
}

describe("counting while the regions do not hear each other", () => {
  it("adds up once they do: 1,000 in each of three", async ({ expect }) => {
    await setFaults(gateway, ALL_CUT);
    const added = await addEverywhere("cut", 1000, 10);
    expect(totals(added)).toEqual({ attempted: 3000, acknowledged: 3000 });
    expect(await readEverywhere(gateway, "plain", "cut")).toEqual([1000, 1000, 1000]);
    await tellAdmin(gateway, "enam", "DELETE", "faults");
    await settledValue(gateway, "plain", "cut", HEALED_WITHIN_MS, (value) => value === 3000);
    const { slots, consistency, bound } = await readCounter(gateway, "apac", "plain", "cut");
    expect(slots).toEqual({ "weur.0.0.0": 1000, "enam.0.0.0": 1000, "apac.0.0.0": 1000 });
    expect(consistency).toBe("eventual");
    expect(bound).toBeGreaterThan(0);
  });

  it("says how old a value can be", async ({ expect }) => {
    await setFaults(gateway, ALL_CUT);
    await pause(3500);
    const cut = await readCounter(gateway, "weur", "plain", "cut");
    expect(cut.bound).toBeNull();
    expect(cut.ageMs).toBeGreaterThan(3000);
    await setFaults(gateway, {});
    await settledValue(gateway, "plain", "cut", HEALED_WITHIN_MS, () => true);
    const healed = await readCounter(gateway, "weur", "plain", "cut");
    expect(healed.bound).not.toBeNull();
    expect(healed.ageMs).toBeLessThanOrEqual(healed.bound ?? 0);
  });

  it("survives loss, duplicates and delay of what hubs say", async ({ expect }) => {
    await setFaults(gateway, { loss: 0.3, duplicate: 0.3, delayMs: 20 });
    const added = await addEverywhere("lossy", 150, 3);
    expect(totals(added)).toEqual({ attempted: 450, acknowledged: 450 });
    await settledValue(gateway, "plain", "lossy", 15_000, (value) => value === 450);
  });
});

describe("counting while something dies", () => {
  it("loses and doubles nothing when a hub is killed again and again", async ({ expect }) => {
    const adding = addEverywhere("killed", 250, 4);
    for (let kills = 0; kills < 6; kills++) {
      await pause(150);
      await setFaults(gateway, { abort: ["weur"] });
    }
    const { attempted, acknowledged } = totals(await adding);
    const inRange = (value: number): boolean => value >= acknowledged && value <= attempted;
    const value = await settledValue(gateway, "plain", "killed", HEALED_WITHIN_MS, inRange);
    expect(value).toBeGreaterThanOrEqual(acknowledged);
    expect(value).toBeLessThanOrEqual(attempted);
    // The kills were felt, and only where they hit: the range above means something.
    expect(acknowledged).toBeLessThan(attempted);
    const { boot } = await hubOf("weur");
    expect(boot).toBeGreaterThanOrEqual(6);
  });

  it("loses and doubles nothing when everything is killed and started again", async ({ expect }) => {
    const before = await readEverywhere(gateway, "plain", "cut");
    const adding = addEverywhere("crash", 120, 4);
    await pause(400);
    await gateway.kill();
    const restarted = gateway.restart();
    const { attempted, acknowledged } = totals(await adding);
    await restarted;
    expect(acknowledged).toBeLessThan(attempted);
    expect(acknowledged).toBeGreaterThan(0);
    const inRange = (value: number): boolean => value >= acknowledged && value <= attempted;
    await settledValue(gateway, "plain", "crash", HEALED_WITHIN_MS, inRange);
    expect(await readEverywhere(gateway, "plain", "cut")).toEqual(before);
  });
});

describe("counters that routes feed", () => {
  it("count what reached the upstream, from all regions, exactly, and nothing that was refused", async ({
    expect,
  }) => {
    upstream.requests.length = 0;
    const counted = REGIONS.flatMap((region) =>
      Array.from({ length: 20 }, (_, index) => ask(region, `/counted/${index}`, "fed")),
    );
    const limited = Array.from({ length: 12 }, (_, index) => ask("apac", `/tight/${index}`, "refused"));
    expect(new Set(await Promise.all(counted))).toEqual(new Set([200]));
    expect((await Promise.all(limited)).filter((status) => status === 200)).toHaveLength(5);
    expect(upstream.requests).toHaveLength(65);
    await settledValue(gateway, "calls", "fed", HEALED_WITHIN_MS, (value) => value === 60);
    await settledValue(gateway, "calls", "refused", HEALED_WITHIN_MS, (value) => value === 5);
    // Another round brings nothing more.
    await pause(1200);
    expect(await readEverywhere(gateway, "calls", "fed")).toEqual([60, 60, 60]);
    expect(await readEverywhere(gateway, "calls", "refused")).toEqual([5, 5, 5]);
    expect(await readEverywhere(gateway, "by-route", "counted")).toEqual([60, 60, 60]);
  });
});

describe("what the endpoint takes", () => {
  it.for([
    [{ key: "k" }, /`by`/],
    [{ key: "k", by: 0 }, /`by`/],
    [{ key: "k", by: -1 }, /`by`/],
    [{ key: "k", by: 1.5 }, /`by`/],
    [{ key: "k", by: "1" }, /`by`/],
    [{ key: "k", by: 2 ** 53 }, /`by`/],
    [{ by: 1 }, /`key`/],
    [{ key: "", by: 1 }, /`key`/],
    [{ key: 1, by: 1 }, /`key`/],
    [{ key: "x".repeat(257), by: 1 }, /`key`/],
    ["not json", /`key`/],
    ["[]", /`key`/],
  ] as const)("not %j", async ([body, detail], { expect }) => {
    const answer = await askAdmin(gateway, "weur", "POST", "counters/plain", body);
    expect(expectProblem(expect, answer, { status: 400, code: "bad_request" })["detail"]).toMatch(detail);
  });

  it("not more than a counter can hold", async ({ expect }) => {
    const most = Number.MAX_SAFE_INTEGER;
    await tellAdmin(gateway, "weur", "POST", "counters/plain", { key: "full", by: most });
    const answer = await askAdmin(gateway, "weur", "POST", "counters/plain", { key: "full", by: 1 });
    expect(expectProblem(expect, answer, { status: 400, code: "bad_request" })["detail"]).toContain("2^53");
    expect((await readCounter(gateway, "weur", "plain", "full")).value).toBe(most);
  });

  it("any text as a key, and says which counters there are", async ({ expect }) => {
    const key = "a:b/c d\u00fc\u{1f600}";
    const body = await tellAdmin(gateway, "weur", "POST", "counters/plain", { key, by: 7 });
    expect(body).toMatchObject({ added: 7, value: 7, consistency: "eventual" });
    const read = await tellAdmin(gateway, "weur", "GET", `counters/plain?key=${encodeURIComponent(key)}`);
    expect(read).toMatchObject({ value: 7, slots: { "weur.0.0.0": 7 } });
    expect(await readCounter(gateway, "enam", "plain", "nobody")).toMatchObject({ value: 0, slots: {} });
    const unknown = await askAdmin(gateway, "weur", "GET", "counters/nope?key=k");
    const problem = expectProblem(expect, unknown, { status: 404, code: "route_not_found" });
    expect(problem["detail"]).toContain("plain");
  });

  it("nothing without the admin token", async ({ expect }) => {
    const response = await fetch(`${gateway.url("weur")}/_gateway/counters/plain?key=k`);
    expect(response.status).toBe(401);
  });
});

async function ask(region: string, path: string, caller: string): Promise<number> {
  const response = await fetch(gateway.url(region) + path, { headers: { "x-caller": caller } });
  await response.arrayBuffer();
  return response.status;
}

async function hubOf(region: string): Promise<{ readonly boot: number }> {
  const { hub } = await tellAdmin(gateway, region, "GET", "state");
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- regions-faults.test.ts holds the shape
  return hub as { readonly boot: number };
}
