// Faults between hubs, and what operators see of regions: who is in use, who is heard, what a hub counts.
// A hub that is gone is nobody's problem but its own.
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, it } from "vitest";
import {
  startRegions,
  startUpstream,
  until,
  type RunningRegions,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { expectProblem, jsonObject } from "./support/problems.ts";
import { parsePrometheus } from "./support/prometheus.ts";
import {
  askAdmin,
  offer,
  readCounter,
  readMetrics,
  setFaults,
  settledValue,
  tellAdmin,
} from "./support/region-calls.ts";

const REGIONS = ["weur", "enam", "apac"] as const;

let gateway: RunningRegions;
let upstream: RunningUpstream;

beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startRegions({
    regions: REGIONS,
    config: {
      upstreams: { app: { targets: [upstream.url] } },
      limits: {
        far: { key: "header:x-caller", rate: 100_000, per: "1m", burst: 100_000 },
        cap: { key: "header:x-caller", rate: 200, per: "24h", consistency: "capped" },
      },
      counters: { calls: { key: "header:x-caller" } },
      routes: [
        { path: "/far/*", upstream: "app", limits: ["far"], count: ["calls"] },
        { path: "/cap/*", upstream: "app", limits: ["cap"] },
      ],
    },
  });
});

afterAll(async () => {
  await gateway?.stop();
  await upstream?.stop();
});

function ask(region: string, path: string, caller: string): Promise<Response> {
  return fetch(gateway.url(region) + path, { headers: { "x-caller": caller } });
}

async function regionsSeenBy(region: string): Promise<readonly string[]> {
  const { regions } = await tellAdmin(gateway, region, "GET", "state");
  return Object.keys(regions ?? {}).toSorted();
}

describe("regions", () => {
  it("know each other before the first request", async ({ expect }) => {
    for (const region of REGIONS) {
      await until(`${region} sees all`, 5_000, async () => (await regionsSeenBy(region)).length === 3);
      expect(await regionsSeenBy(region)).toEqual(REGIONS.toSorted());
    }
    expect(await (await ask("enam", "/far/x", "first")).text()).toBe("ok");
  });

  it("are described by the state", async ({ expect }) => {
    await (await ask("weur", "/far/x", "state")).text();
    await until("the isolate has spoken to its hub", 3_000, async () => {
      const { isolate } = await tellAdmin(gateway, "weur", "GET", "state");
      return JSON.stringify(isolate).includes('"synced"');
    });
    const state = await tellAdmin(gateway, "weur", "GET", "state");
    const age = expect.any(Number);
    expect(state).toMatchObject({
      region: "weur",
      isolate: { session: expect.stringMatching(/^[0-9a-f]{8}$/), snapshotAgeMs: age, mode: "synced" },
      upstreams: { app: { cursor: 512, override: null, targets: [{ url: upstream.url, drained: false }] } },
      regions: { weur: { ageMs: 0 }, enam: { ageMs: age }, apac: { ageMs: age } },
      hub: {
        region: "weur",
        shard: 0,
        boot: age,
        isolates: 1,
        // A machine that stands still for a second makes an exchange fail.
        peers: { enam: { ageMs: age, failures: age }, apac: { ageMs: age, failures: age } },
      },
    });
  });

  it("have every upstream in the state of every region, also those that they have not called", async ({
    expect,
  }) => {
    const heard = {
      breaker: { phase: "closed", generation: expect.any(Number), openUntil: null },
      cursor: 512,
      limit: expect.any(Number),
      window: { ok: expect.any(Number), failRemote: 0, failLocal: 0, slow: 0 },
    };
    for (const asked of REGIONS) {
      const { regions } = await tellAdmin(gateway, asked, "GET", "state");
      for (const region of REGIONS) {
        const own = region === asked;
        const gauge = own ? expect.any(Number) : null;
        const known = {
          ...heard,
          inflight: gauge,
          waiting: gauge,
          targets: own ? [expect.anything()] : null,
        };
        expect(regions).toMatchObject({ [region]: { upstreams: { app: known } } });
      }
    }
  });

  it("are described by the metrics", async ({ expect }) => {
    const samples = parsePrometheus(await readMetrics(gateway, "weur"));
    const valueOf = (name: string, labels: Record<string, string>): number =>
      samples.find(
        (sample) => sample.name === name && JSON.stringify(sample.labels) === JSON.stringify(labels),
      )?.value ?? Number.NaN;
    expect(valueOf("tidegate_hub_calls_total", { reason: "sync" })).toBeGreaterThan(0);
    expect(valueOf("tidegate_hub_calls_failed_total", {})).toBe(0);
    expect(valueOf("tidegate_ambiguous_units_total", {})).toBe(0);
    expect(valueOf("tidegate_hub_isolates", {})).toBe(1);
    expect(valueOf("tidegate_hub_events_total", { event: "amnesia" })).toBe(0);
    expect(valueOf("tidegate_peer_age_seconds", { region: "enam" })).toBeLessThan(10);
    expect(valueOf("tidegate_usage_total", { counter: "calls" })).toBeGreaterThanOrEqual(1);
  });
});

describe("faults", () => {
  it("replace what was set, and say what is", async ({ expect }) => {
    const cut = { partition: [["weur"], ["enam", "apac"]] };
    expect(await setFaults(gateway, cut)).toMatchObject({ ...cut, loss: 0, duplicate: 0, delayMs: 0 });
    expect(await setFaults(gateway, { loss: 0.5 })).toMatchObject({ partition: [], loss: 0.5 });
    await setFaults(gateway, cut);
    await tellAdmin(gateway, "enam", "POST", "counters/calls", { key: "halves", by: 5 });
    await until("the others of the group know", 3_000, async () => {
      return (await readCounter(gateway, "apac", "calls", "halves")).value === 5;
    });
    expect((await readCounter(gateway, "weur", "calls", "halves")).value).toBe(0);
    expect(await tellAdmin(gateway, "apac", "DELETE", "faults")).toMatchObject({ partition: [] });
    await settledValue(gateway, "calls", "halves", 3_000, (value) => value === 5);
  });

  it.for([
    ["[]", /object/],
    ["not json", /object/],
    [{ losses: 1 }, /losses/],
    [{ loss: 1.5 }, /loss/],
    [{ loss: "0.5" }, /loss/],
    [{ duplicate: -1 }, /duplicate/],
    [{ delayMs: 60_001 }, /delayMs/],
    [{ partition: ["weur"] }, /partition/],
    [{ partition: [["weur"], ["weur"]] }, /partition/],
    [{ partition: [["West"]] }, /partition/],
    [{ abort: "weur" }, /abort/],
    [{ abort: ["nope"] }, /no region nope here, there are weur, enam, apac/],
    [{ partition: [["weur"], ["nope"]] }, /no region nope/],
  ] as const)("are refused: %j", async ([body, detail], { expect }) => {
    const answer = await askAdmin(gateway, "weur", "PUT", "faults", body);
    const problem = expectProblem(expect, answer, { status: 400, code: "bad_request" });
    expect(problem["detail"]).toMatch(detail);
  });
});

describe("while the hub of a region is killed again and again", () => {
  it("traffic flows, nothing is refused, and usage is right afterwards", async ({ expect }) => {
    const load = offer((index) => ask("weur", `/far/${index}`, "shaky"), { perSecond: 100, forMs: 3_000 });
    const { kills, answer } = await killWhile(load);
    expect(kills).toBeGreaterThan(5);
    expect(new Set(answer.statuses)).toEqual(new Set([200]));
    await settledValue(gateway, "calls", "shaky", 5_000, (value) => value === 300);
    const { hub } = await tellAdmin(gateway, "weur", "GET", "state");
    expect(hub).toMatchObject({ epoch: 0, tally: { amnesia: 0 } });
  });

  it("a capped limit is never passed", async ({ expect }) => {
    const load = offer((index) => ask(REGIONS[index % 3], "/cap/x", "capped"), {
      perSecond: 200,
      forMs: 2_000,
    });
    const { answer } = await killWhile(load);
    expect(answer.passed).toBeLessThanOrEqual(200);
    expect(answer.passed).toBeGreaterThan(0);
  });

  it("and all regions are heard again", async ({ expect }) => {
    await until("weur hears all", 5_000, async () => {
      const { hub } = jsonObject(JSON.stringify(await tellAdmin(gateway, "weur", "GET", "state")));
      return JSON.stringify(hub).match(/"failures":0/g)?.length === 2;
    });
    expect(await regionsSeenBy("weur")).toEqual(["apac", "enam", "weur"]);
  });
});

/** Kills weur's hub again and again until the load is over. */
async function killWhile<Answer>(load: Promise<Answer>): Promise<{ kills: number; answer: Answer }> {
  let kills = 0;
  const over = new AbortController();
  const killing = async (): Promise<void> => {
    while (!over.signal.aborted) {
      await setFaults(gateway, { abort: ["weur"] });
      kills++;
      await pause(200);
    }
  };
  const killed = killing();
  const answer = await load;
  over.abort();
  await killed;
  return { kills, answer };
}
