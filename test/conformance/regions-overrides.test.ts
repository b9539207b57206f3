// What an operator forces on an upstream in one region is in force in all of them, for its time, whatever
// happens to hubs meanwhile.
import { writeFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, it } from "vitest";
import {
  startRegions,
  startUpstream,
  until,
  type RunningRegions,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { expectProblem, jsonObject, readAnswer, type Answer } from "./support/problems.ts";
import { askAdmin, setFaults, tellAdmin } from "./support/region-calls.ts";

const REGIONS = ["weur", "enam", "apac"] as const;
/** Three rounds of gossip. */
const IN_FORCE_WITHIN_MS = 3_000;
const FOR_LONG = { forMs: 600_000 };

let gateway: RunningRegions;
let first: RunningUpstream;
let second: RunningUpstream;

beforeAll(async () => {
  first = await startUpstream((request, response) => {
    request.resume();
    response.writeHead(request.url?.includes("/fails") === true ? 500 : 200).end("first");
  });
  second = await startUpstream((_request, response) => response.end("second"));
  gateway = await startRegions({
    regions: REGIONS,
    config: configuration(),
  });
  await Promise.all(REGIONS.map((region) => ask(region, "/p1/first")));
});

afterAll(async () => {
  await gateway?.stop();
  await first?.stop();
  await second?.stop();
});

afterEach(async () => {
  await setFaults(gateway, {});
  for (const name of ["app", "single"]) await tellAdmin(gateway, "weur", "DELETE", `overrides/${name}`);
  await everywhere("nothing is forced any more", "/p1/x", 200);
});

function configuration(): object {
  return {
    upstreams: {
      app: {
        targets: [first.url, `${second.url}/base/`],
        retry: false,
        breaker: { consecutive: 2, openFor: "60s", maxOpenFor: "60s" },
      },
      single: {
        targets: [first.url],
        retry: false,
        breaker: { consecutive: 2, openFor: "60s", maxOpenFor: "60s" },
      },
    },
    routes: [
      { path: "/p0/*", upstream: "app", priority: "P0" },
      { path: "/p1/*", upstream: "app", priority: "P1" },
      { path: "/single/*", upstream: "single" },
    ],
  };
}

async function ask(region: string, path: string): Promise<Answer> {
  return readAnswer(await fetch(gateway.url(region) + path));
}

/** Polls with requests until every region answers so. */
async function everywhere(what: string, path: string, status: number): Promise<void> {
  await until(what, IN_FORCE_WITHIN_MS, async () => {
    const answers = await Promise.all(REGIONS.map((region) => ask(region, path)));
    return answers.every((answer) => answer.status === status);
  });
}

/** What 40 answers of a region say, each once. */
async function textsFrom(region: string): Promise<Set<string>> {
  const answers = await Promise.all(Array.from({ length: 40 }, () => ask(region, "/p1/x")));
  return new Set(answers.map(({ text }) => text));
}

function put(region: string, upstream: string, body: unknown): Promise<Answer> {
  return askAdmin(gateway, region, "PUT", `overrides/${upstream}`, body);
}

async function force(region: string, upstream: string, terms: object): Promise<void> {
  const answer = await put(region, upstream, { ...FOR_LONG, ...terms });
  if (answer.status !== 200) throw new Error(answer.text);
}

describe("an override", () => {
  it("opens a breaker in every region, and closes it again in every region", async ({ expect }) => {
    await force("enam", "app", { breaker: "open", note: "maintenance" });
    // At once where it was set.
    expectProblem(expect, await ask("enam", "/p1/x"), { status: 503, code: "circuit_open", waits: true });
    await everywhere("the breaker is open", "/p1/x", 503);
    const reading = await tellAdmin(gateway, "apac", "GET", "overrides/app");
    expect(reading).toMatchObject({ breaker: "open", note: "maintenance", region: "enam", concurrent: [] });
    expect(reading["until"]).toBeGreaterThan(Date.now() + 500_000);
    expect((await ask("weur", "/single/x")).status).toBe(200);
    await tellAdmin(gateway, "apac", "DELETE", "overrides/app");
    await everywhere("the breaker is closed", "/p1/x", 200);
    expect(await tellAdmin(gateway, "weur", "GET", "overrides")).toEqual({});
    expect((await askAdmin(gateway, "weur", "GET", "overrides/app")).status).toBe(404);
  });

  it("ends with all others in every region where all are cleared at once", async ({ expect }) => {
    await force("weur", "app", { breaker: "open" });
    await force("enam", "single", { cursor: 0 });
    await everywhere("app is refused everywhere", "/p1/x", 503);
    await everywhere("single is refused everywhere", "/single/x", 503);
    expect(await tellAdmin(gateway, "apac", "DELETE", "overrides")).toEqual({});
    await everywhere("app is asked everywhere", "/p1/x", 200);
    await everywhere("single is asked everywhere", "/single/x", 200);
    expect(await tellAdmin(gateway, "weur", "GET", "overrides")).toEqual({});
  });

  it("ends by itself", async ({ expect }) => {
    await force("weur", "app", { breaker: "open", forMs: 2_500 });
    const setAt = Date.now();
    await everywhere("the breaker is open", "/p1/x", 503);
    await until("it is over", 5_000, async () => {
      const answers = await Promise.all(REGIONS.map((region) => ask(region, "/p1/x")));
      return answers.every((answer) => answer.status === 200);
    });
    expect(Date.now() - setAt).toBeGreaterThanOrEqual(2_400);
    expect(await tellAdmin(gateway, "enam", "GET", "overrides")).toEqual({});
  });

  it("drains a target: nothing is sent there", async ({ expect }) => {
    await force("apac", "app", { drain: [first.url] });
    await until("the first target gets nothing", IN_FORCE_WITHIN_MS, async () => {
      const answers = await Promise.all(
        REGIONS.flatMap((region) => Array.from({ length: 5 }, () => ask(region, "/p1/x"))),
      );
      return answers.every(({ text }) => text === "second");
    });
    first.requests.length = 0;
    await Promise.all(REGIONS.flatMap((region) => Array.from({ length: 20 }, () => ask(region, "/p1/x"))));
    expect(first.requests).toHaveLength(0);
    const { upstreams } = await tellAdmin(gateway, "weur", "GET", "state");
    expect(upstreams).toMatchObject({
      app: { targets: [{ url: first.url, drained: true }, { drained: false }] },
    });
  });

  it("drains all targets: no_target", async ({ expect }) => {
    await force("weur", "app", { drain: [`${first.url}/`, `${second.url}/base`] });
    await everywhere("there is no target", "/p1/x", 503);
    const answers = await Promise.all(REGIONS.map((region) => ask(region, "/p1/x")));
    expect(answers.map(({ text }) => jsonObject(text)["code"])).toEqual(REGIONS.map(() => "no_target"));
    for (const answer of answers) expectProblem(expect, answer, { status: 503, code: "no_target" });
  });

  it("pins the cursor: P1 is shed, P0 passes", async ({ expect }) => {
    await force("weur", "app", { cursor: 128 });
    await everywhere("P1 is shed", "/p1/x", 503);
    for (const region of REGIONS) {
      expectProblem(expect, await ask(region, "/p1/x"), { status: 503, code: "shed", waits: true });
      expect((await ask(region, "/p0/x")).status).toBe(200);
    }
    await force("weur", "app", { cursor: 0 });
    expectProblem(expect, await ask("weur", "/p0/x"), { status: 503, code: "shed" });
  });

  it("forces a breaker closed: the upstream is asked though it fails", async ({ expect }) => {
    for (let count = 0; count < 3; count++) await ask("weur", "/single/fails");
    expectProblem(expect, await ask("weur", "/single/x"), { status: 503, code: "circuit_open" });
    await force("enam", "single", { breaker: "closed" });
    await everywhere("the failing upstream is asked", "/single/fails", 500);
    for (let count = 0; count < 5; count++) expect((await ask("weur", "/single/fails")).status).toBe(500);
    expect((await ask("weur", "/single/x")).status).toBe(200);
  });

  it("shows another that did not know of it, once regions hear each other again", async ({ expect }) => {
    await setFaults(gateway, { partition: [["weur"], ["enam"], ["apac"]] });
    await force("weur", "app", { cursor: 128, note: "from weur" });
    await pause(5);
    await force("enam", "app", { breaker: "open", note: "from enam" });
    expect((await ask("weur", "/p1/x")).status).toBe(503);
    expect(await tellAdmin(gateway, "weur", "GET", "overrides/app")).toMatchObject({ note: "from weur" });
    await setFaults(gateway, {});
    let readings: unknown[] = [];
    await until("both are shown", IN_FORCE_WITHIN_MS, async () => {
      readings = await Promise.all(
        REGIONS.map(async (region) => {
          const answer = await askAdmin(gateway, region, "GET", "overrides/app");
          return answer.status === 200 ? jsonObject(answer.text) : {};
        }),
      );
      const texts = readings.map((reading) => JSON.stringify(reading));
      return texts.every((text) => text.includes("from weur") && text.includes("from enam"));
    });
    for (const reading of readings) {
      expect(reading).toMatchObject({
        note: "from enam",
        region: "enam",
        concurrent: [{ note: "from weur", region: "weur", cursor: 128 }],
      });
    }
    await everywhere("the later one is in force", "/p0/x", 503);
    // A write that knows of both settles it.
    await force("apac", "app", { cursor: 512 });
    const settled = await tellAdmin(gateway, "apac", "GET", "overrides/app");
    expect(settled).toMatchObject({ region: "apac", cursor: 512, concurrent: [] });
  });

  it("teaches the shedding nothing: whoever is refused by it says nothing about the upstream", async ({
    expect,
  }) => {
    await force("weur", "app", { breaker: "open" });
    for (let ticks = 0; ticks < 3; ticks++) {
      const refused = await Promise.all(Array.from({ length: 80 }, () => ask("weur", "/p1/x")));
      expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([503]));
      await pause(510);
    }
    await tellAdmin(gateway, "weur", "DELETE", "overrides/app");
    const passed = await Promise.all(Array.from({ length: 40 }, () => ask("weur", "/p1/x")));
    expect(new Set(passed.map(({ status }) => status))).toEqual(new Set([200]));
    const { upstreams } = await tellAdmin(gateway, "weur", "GET", "state");
    expect(upstreams).toMatchObject({ app: { cursor: 512 } });
  });

  it("goes on over a change of the configuration, and ends after it", async ({ expect }) => {
    const reload = async (config: object): Promise<void> => {
      const before = gateway.stderr().split("configuration reloaded").length;
      await writeFile(gateway.configFile, JSON.stringify(config));
      await until("it is reloaded", 5_000, () => {
        return gateway.stderr().split("configuration reloaded").length > before;
      });
    };
    await force("weur", "app", { drain: [first.url] });
    expect(await textsFrom("weur")).toEqual(new Set(["second"]));
    await reload({ ...configuration(), name: "renamed" });
    expect(await textsFrom("weur")).toEqual(new Set(["second"]));
    await reload(configuration());
    await tellAdmin(gateway, "weur", "DELETE", "overrides/app");
    expect(await textsFrom("weur")).toEqual(new Set(["first", "second"]));
  });

  it("survives the end of everything", async ({ expect }) => {
    await force("enam", "app", { drain: [first.url], note: "stays" });
    await gateway.kill();
    await gateway.restart();
    for (const region of REGIONS) {
      const reading = await tellAdmin(gateway, region, "GET", "overrides/app");
      expect(reading).toMatchObject({ note: "stays", region: "enam" });
    }
    await until("it is in force again", IN_FORCE_WITHIN_MS, async () => {
      const answers = await Promise.all(REGIONS.map((region) => ask(region, "/p1/x")));
      return answers.every(({ text }) => text === "second");
    });
  });
});

describe("what the endpoint takes", () => {
  it.for([
    ["not json", /object/],
    ["[]", /object/],
    [{}, /forMs/],
    [{ breaker: "open" }, /forMs/],
    [{ breaker: "open", forMs: 0 }, /forMs/],
    [{ breaker: "open", forMs: -1 }, /forMs/],
    [{ breaker: "open", forMs: 31 * 86_400_000 }, /30 days/],
    [{ breaker: "open", forMs: "soon" }, /forMs/],
    [{ forMs: 1000 }, /breaker, cursor or drain/],
    [{ breaker: "ajar", forMs: 1000 }, /"open" or "closed"/],
    [{ cursor: 513, forMs: 1000 }, /0 to 512/],
    [{ cursor: 1.5, forMs: 1000 }, /0 to 512/],
    [{ cursor: "1", forMs: 1000 }, /0 to 512/],
    [{ drain: "http://x", forMs: 1000 }, /list/],
    [{ drain: [1], forMs: 1000 }, /list/],
    [{ breaker: "open", forMs: 1000, note: 7 }, /`note`/],
    [{ breaker: "open", forMs: 1000, until: 5 }, /no field until/],
  ] as const)("not %j", async ([body, detail], { expect }) => {
    const answer = await put("weur", "app", body);
    const problem = expectProblem(expect, answer, { status: 400, code: "bad_request" });
    expect(problem["detail"]).toMatch(detail);
  });

  it("not a target that the upstream does not have", async ({ expect }) => {
    const answer = await put("weur", "app", { ...FOR_LONG, drain: ["http://127.0.0.1:1/typo"] });
    const problem = expectProblem(expect, answer, { status: 400, code: "bad_request" });
    expect(problem["detail"]).toMatch(/\/_gateway\/state .*: there are 1 in `drain`/);
    expect(await tellAdmin(gateway, "weur", "GET", "overrides")).toEqual({});
  });

  it("no upstream that there is not", async ({ expect }) => {
    const answer = await put("weur", "nope", { ...FOR_LONG, breaker: "open" });
    expect(expectProblem(expect, answer, { status: 404, code: "route_not_found" })["detail"]).toContain(
      "app",
    );
  });

  it("a duration as a text", async ({ expect }) => {
    expect((await put("weur", "single", { breaker: "closed", forMs: "5m" })).status).toBe(200);
    const reading = await tellAdmin(gateway, "weur", "GET", "overrides/single");
    expect(Number(reading["until"]) - Date.now()).toBeGreaterThan(290_000);
  });
});
