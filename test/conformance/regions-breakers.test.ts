// Breakers of several regions over one upstream: each decides for itself, all see each other's, and what a
// region has decided outlives its hub and its process.
import type { IncomingMessage } from "node:http";
import { afterAll, beforeAll, describe, it } from "vitest";
import {
  startRegions,
  startUpstream,
  until,
  type RunningRegions,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { askAdmin, setFaults, tellAdmin } from "./support/region-calls.ts";
import { jsonObject } from "./support/problems.ts";

const REGIONS = ["weur", "enam", "apac"] as const;

let gateway: RunningRegions;
let upstream: RunningUpstream;
/** Regions that the upstream fails, or all of them. */
let failing: ReadonlySet<string> = new Set();

beforeAll(async () => {
  upstream = await startUpstream((request, response) => {
    request.resume();
    response.writeHead(failing.has(regionOf(request)) ? 500 : 200).end("ok");
  });
  const breaker = { consecutive: 5, openFor: "60s", maxOpenFor: "60s" };
  gateway = await startRegions({
    regions: REGIONS,
    config: {
      upstreams: {
        shared: { targets: [upstream.url], retry: false, breaker },
        kept: { targets: [upstream.url], retry: false, breaker },
        brief: {
          targets: [upstream.url],
          retry: false,
          breaker: { ...breaker, openFor: "500ms", maxOpenFor: "500ms", probes: 1, rampUp: "1s" },
        },
      },
      routes: ["shared", "kept", "brief"].map((name) => ({ path: `/${name}/*`, upstream: name })),
    },
  });
});

afterAll(async () => {
  await gateway?.stop();
  await upstream?.stop();
});

/** Each region's gateway has a port of its own, which it tells the upstream. */
function regionOf(request: IncomingMessage): string {
  const host = String(request.headers["x-forwarded-host"]);
  return REGIONS.find((region) => gateway.url(region).endsWith(host)) ?? "";
}

async function statusOf(region: string, path: string): Promise<number> {
  const response = await fetch(`${gateway.url(region)}${path}`);
  await response.arrayBuffer();
  return response.status;
}

async function statuses(region: string, path: string, count: number): Promise<number[]> {
  const seen: number[] = [];
  for (let index = 0; index < count; index++) seen.push(await statusOf(region, path));
  return seen;
}

/** An upstream's breaker in `of`, as `region` sees it. */
async function breakerSeenBy(region: string, of: string, name: string): Promise<unknown> {
  const { regions } = await tellAdmin(gateway, region, "GET", "state");
  return [of, "upstreams", name, "breaker"].reduce(memberOf, regions);
}

/** The phase of it. */
async function phaseSeenBy(region: string, of: string, name: string): Promise<unknown> {
  return memberOf(await breakerSeenBy(region, of, name), "phase");
}

function memberOf(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}

describe("an upstream that one region cannot reach", () => {
  it("is left alone by that region only, and every region knows", async ({ expect }) => {
    failing = new Set(["weur"]);
    for (const region of REGIONS) await statuses(region, "/shared/x", 8);
    await until("weur leaves it alone", 5_000, async () => (await statusOf("weur", "/shared/x")) === 503);
    for (const region of ["enam", "apac"]) {
      expect(await statuses(region, "/shared/x", 10)).toEqual(Array.from({ length: 10 }, () => 200));
      await until(
        `${region} sees that weur's breaker is open`,
        5_000,
        async () => (await phaseSeenBy(region, "weur", "shared")) === "open",
      );
      expect(await phaseSeenBy(region, region, "shared")).toBe("closed");
      expect(await breakerSeenBy(region, "weur", "shared")).toEqual(
        await breakerSeenBy("weur", "weur", "shared"),
      );
    }
    failing = new Set();
  });
});

describe("a breaker that its region has opened", () => {
  it("stays open over the death of the hub and of the process", async ({ expect }) => {
    failing = new Set(REGIONS);
    await statuses("enam", "/kept/x", 8);
    await until("enam leaves it alone", 5_000, async () => (await statusOf("enam", "/kept/x")) === 503);
    await until("the hub has it", 5_000, async () => (await phaseSeenBy("apac", "enam", "kept")) === "open");
    failing = new Set();
    await setFaults(gateway, { abort: ["enam"] });
    await until(
      "the hub is back",
      5_000,
      async () => (await askAdmin(gateway, "enam", "GET", "state")).status === 200,
    );
    expect(await phaseSeenBy("enam", "enam", "kept")).toBe("open");
    await gateway.kill();
    await gateway.restart();
    expect(await phaseSeenBy("enam", "enam", "kept")).toBe("open");
    // A new isolate knows nothing before its first sync, which its first request brings about, whatever for.
    expect(await statusOf("enam", "/shared/x")).toBe(200);
    await until("the new isolate has heard its hub", 5_000, async () => {
      const { isolate } = await tellAdmin(gateway, "enam", "GET", "state");
      return typeof isolate === "object" && isolate !== null && Reflect.get(isolate, "mode") === "synced";
    });
    upstream.requests.length = 0;
    expect(await statuses("enam", "/kept/x", 5)).toEqual([503, 503, 503, 503, 503]);
    expect(upstream.requests).toEqual([]);
    expect(await phaseSeenBy("enam", "enam", "kept")).toBe("open");
  });

  it("heals when the upstream does, step by step", async ({ expect }) => {
    failing = new Set(REGIONS);
    await statuses("apac", "/brief/x", 8);
    expect(await statusOf("apac", "/brief/x")).toBe(503);
    failing = new Set();
    await until("all passes again", 10_000, async () => {
      const seen = await statuses("apac", "/brief/x", 10);
      await new Promise((resolve) => setTimeout(resolve, 100));
      return seen.every((status) => status === 200);
    });
    await until("it is closed", 5_000, async () => {
      await statusOf("apac", "/brief/x");
      return (await phaseSeenBy("weur", "apac", "brief")) === "closed";
    });
    const answer = await askAdmin(gateway, "apac", "GET", "state");
    expect(jsonObject(answer.text)["region"]).toBe("apac");
  });

  it("says why in the log", ({ expect }) => {
    const lines = gateway
      .stderr()
      .split("\n")
      .filter((line) => line.includes('"region_breaker"'));
    const moves = gateway.stderr().split("\n");
    const isolates = moves.filter((line) => line.includes('"event":"breaker"')).map(jsonObject);
    expect(isolates.length).toBeGreaterThan(0);
    expect(isolates.filter(({ from, to }) => from === to)).toEqual([]);
    const opened = lines.map(jsonObject).filter(({ to }) => to === "open");
    expect(opened.length).toBeGreaterThan(0);
    for (const { region, upstream: name, reason, calls, failures } of opened) {
      expect(REGIONS).toContain(region);
      expect(["shared", "kept", "brief"]).toContain(name);
      expect(reason).toBeTypeOf("string");
      expect(Number(failures)).toBeLessThanOrEqual(Number(calls));
    }
  });
});
