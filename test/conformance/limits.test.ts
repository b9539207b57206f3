// Rate limits in one region: who shares one, what it admits (a burst at once; GCRA drips where the limit is
// local), what a refused request costs (nothing), and the fields that tell
// (draft-ietf-httpapi-ratelimit-headers-11).
import { setTimeout as pause } from "node:timers/promises";
import { parseList } from "structured-headers";
import { afterAll, beforeAll, describe, it } from "vitest";
import {
  startGateway,
  startUpstream,
  until,
  type RunningGateway,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { hashOfKey } from "./support/origin.ts";
import { expectProblem, readAnswer, type Answer } from "./support/problems.ts";

const TWO = { rate: 2, per: "1m", burst: 2 };

let gateway: RunningGateway;
let upstream: RunningUpstream;
const held: (() => void)[] = [];

beforeAll(async () => {
  upstream = await startUpstream((request, response) => {
    request.resume();
    if (request.url?.endsWith("/slow") === true) held.push(() => response.end("late"));
    else if (request.url?.endsWith("/fails") === true) response.writeHead(500).end();
    else response.end("ok");
  });
  gateway = await startGateway({
    config: {
      upstreams: { main: { targets: [upstream.url], breaker: false, retry: false } },
      consumers: {
        a: { keys: [hashOfKey("a")], tenant: "t" },
        b: { keys: [hashOfKey("b")], tenant: "t" },
        c: { keys: [hashOfKey("c")] },
        alone: { keys: [hashOfKey("alone")], tenant: "single" },
      },
      tenants: { t: {}, single: { concurrency: 1 } },
      limits: {
        "by-consumer": { key: "consumer", ...TWO },
        "by-tenant": { key: "tenant", ...TWO },
        "by-ip": { key: "ip", ...TWO },
        "by-route": { key: "route", ...TWO },
        "by-header": { key: "header:X-Caller", ...TWO },
        wide: { key: "header:x-caller", rate: 100, per: "1h", burst: 100 },
        narrow: { key: "header:x-caller", rate: 1, per: "1h" },
        dear: { key: "header:x-caller", rate: 10, per: "1m", burst: 10, cost: 4 },
        quick: { key: "header:x-caller", rate: 5, per: "1s", burst: 2, consistency: "local" },
        soon: { key: "header:x-caller", rate: 3, per: "2s" },
        shadow: { key: "header:x-caller", rate: 1, per: "1h", burst: 1, shadow: true },
      },
      routes: [
        { path: "/consumer", upstream: "main", limits: ["by-consumer"] },
        { path: "/tenant", upstream: "main", limits: ["by-tenant"] },
        { path: "/ip", upstream: "main", limits: ["by-ip"] },
        { path: "/route/one/*", upstream: "main", limits: ["by-route"] },
        { path: "/route/two/*", upstream: "main", limits: ["by-route"] },
        { path: "/header", upstream: "main", limits: ["by-header"] },
        { path: "/wide/*", upstream: "main", limits: ["wide"] },
        { path: "/both", upstream: "main", limits: ["wide", "narrow"] },
        { path: "/dear", upstream: "main", limits: ["dear"] },
        { path: "/quick", upstream: "main", limits: ["quick"] },
        { path: "/soon", upstream: "main", limits: ["soon"] },
        { path: "/shadow", upstream: "main", limits: ["shadow", "wide"] },
        { path: "/bulkhead/*", upstream: "main", limits: ["wide"], concurrency: { max: 1 } },
        { path: "/tenant-permit/*", upstream: "main", limits: ["wide"] },
        { path: "/small/*", upstream: "main", limits: ["wide"], bodyLimit: 10 },
        { path: "/locked", upstream: "main", limits: ["wide"], auth: ["c"] },
      ],
    },
  });
});

afterAll(async () => {
  for (const answer of held) answer();
  await gateway?.stop();
  await upstream?.stop();
});

async function ask(
  path: string,
  headers: Record<string, string> = {},
  init: RequestInit = {},
): Promise<Answer> {
  return readAnswer(await fetch(gateway.url + path, { ...init, headers }));
}

async function statuses(
  count: number,
  path: string,
  headers: Record<string, string>,
): Promise<readonly number[]> {
  const seen: number[] = [];
  for (let index = 0; index < count; index++) seen.push((await ask(path, headers)).status);
  return seen;
}

interface Told {
  readonly policy: unknown;
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** A list of strings with parameters (RFC 9651). */
function told(value: string | null): readonly Told[] {
  return parseList(value ?? "").map(([policy, parameters]) => ({
    policy,
    parameters: Object.fromEntries(parameters),
  }));
}

function remaining(answer: Answer, policy: string): unknown {
  return told(answer.header("ratelimit")).find((item) => item.policy === policy)?.parameters["r"];
}

describe("what a limit admits", () => {
  it("is the burst at once, however many ask together", async ({ expect }) => {
    const headers = { "x-caller": "crowd" };
    const seen = await Promise.all(
      Array.from({ length: 30 }, async () => (await ask("/header", headers)).status),
    );
    expect(seen.filter((status) => status === 200)).toHaveLength(2);
    expect(seen.filter((status) => status === 429)).toHaveLength(28);
  });

  it("is one more after the time that one costs", async ({ expect }) => {
    const headers = { "x-caller": "patient" };
    expect(await statuses(3, "/quick", headers)).toEqual([200, 200, 429]);
    // One costs 200 ms.
    await pause(230);
    expect(await statuses(2, "/quick", headers)).toEqual([200, 429]);
    await pause(1000);
    expect(await statuses(3, "/quick", headers)).toEqual([200, 200, 429]);
  });

  it("counts what a request costs", async ({ expect }) => {
    expect(await statuses(3, "/dear", { "x-caller": "rich" })).toEqual([200, 200, 429]);
  });

  it("is everything in the shadow", async ({ expect }) => {
    expect(await statuses(4, "/shadow", { "x-caller": "shady" })).toEqual([200, 200, 200, 200]);
    const last = await ask("/shadow", { "x-caller": "shady" });
    expect(told(last.header("ratelimit")).map(({ policy }) => policy)).toEqual(["wide"]);
  });

  it("is counted in the shadow from the first request on", async ({ expect }) => {
    const explained = {
      "x-caller": "shadowed",
      "x-tidegate-admin": gateway.adminToken,
      "x-tidegate-explain": "1",
    };
    const decisions: (string | null)[] = [];
    for (let index = 0; index < 3; index++) {
      decisions.push((await ask("/shadow", explained)).header("x-tidegate-decision"));
    }
    const verdicts = decisions.map((decision) => /limit=(\w+);policy=shadow/.exec(decision ?? "")?.[1]);
    expect(verdicts).toEqual(["ok", "shadow", "shadow"]);
  });
});

describe("who shares a limit", () => {
  it("consumer: the keys of one, and addresses without a key", async ({ expect }) => {
    expect(await statuses(3, "/consumer", { "x-api-key": "a" })).toEqual([200, 200, 429]);
    expect(await statuses(2, "/consumer", { "x-api-key": "b" })).toEqual([200, 200]);
    expect(await statuses(3, "/consumer", { "cf-connecting-ip": "198.51.100.1" })).toEqual([200, 200, 429]);
    expect(await statuses(1, "/consumer", { "cf-connecting-ip": "198.51.100.2" })).toEqual([200]);
  });

  it("consumer: an unknown key is no consumer of its own", async ({ expect }) => {
    const address = { "cf-connecting-ip": "198.51.100.9" };
    const seen = [];
    for (const key of ["x1", "x2", "x3"]) {
      seen.push((await ask("/consumer", { ...address, "x-api-key": key })).status);
    }
    expect(seen).toEqual([200, 200, 429]);
  });

  it("tenant: all consumers of one", async ({ expect }) => {
    expect(await statuses(1, "/tenant", { "x-api-key": "a" })).toEqual([200]);
    expect(await statuses(1, "/tenant", { "x-api-key": "b" })).toEqual([200]);
    expect(await statuses(1, "/tenant", { "x-api-key": "a" })).toEqual([429]);
    expect(await statuses(1, "/tenant", { "x-api-key": "c" })).toEqual([200]);
  });

  it("ip: an IPv4 address, an IPv6 network of 64 bits", async ({ expect }) => {
    expect(await statuses(3, "/ip", { "cf-connecting-ip": "203.0.113.1" })).toEqual([200, 200, 429]);
    expect(await statuses(1, "/ip", { "cf-connecting-ip": "203.0.113.2" })).toEqual([200]);
    expect(await statuses(1, "/ip", { "cf-connecting-ip": "::ffff:203.0.113.1" })).toEqual([429]);
    expect(await statuses(1, "/ip", { "cf-connecting-ip": "2001:db8:1:2::1" })).toEqual([200]);
    expect(await statuses(1, "/ip", { "cf-connecting-ip": "2001:db8:1:2:ffff::9" })).toEqual([200]);
    expect(await statuses(1, "/ip", { "cf-connecting-ip": "2001:DB8:1:2:0:0:0:3" })).toEqual([429]);
    expect(await statuses(1, "/ip", { "cf-connecting-ip": "2001:db8:1:3::1" })).toEqual([200]);
  });

  it("ip: not what the client forwards", async ({ expect }) => {
    const seen = [];
    for (const forwarded of ["1.1.1.1", "2.2.2.2", "3.3.3.3"]) {
      seen.push(
        (
          await ask("/ip", {
            "cf-connecting-ip": "203.0.113.77",
            "x-forwarded-for": forwarded,
            "x-real-ip": forwarded,
          })
        ).status,
      );
    }
    expect(seen).toEqual([200, 200, 429]);
  });

  it("route: all callers of one", async ({ expect }) => {
    expect(await statuses(1, "/route/one/a", { "x-api-key": "a" })).toEqual([200]);
    expect(await statuses(1, "/route/one/b", { "x-api-key": "b" })).toEqual([200]);
    expect(await statuses(1, "/route/one/c", { "x-api-key": "c" })).toEqual([429]);
    expect(await statuses(1, "/route/two/a", { "x-api-key": "a" })).toEqual([200]);
  });

  it("header: its value", async ({ expect }) => {
    expect(await statuses(3, "/header", { "x-caller": "one" })).toEqual([200, 200, 429]);
    expect(await statuses(1, "/header", { "x-caller": "two" })).toEqual([200]);
  });
});

describe("a refused request uses nothing", () => {
  it("of an earlier limit, when a later one refuses", async ({ expect }) => {
    const headers = { "x-caller": "twice" };
    expect((await ask("/both", headers)).status).toBe(200);
    for (let count = 0; count < 5; count++) {
      const refused = await ask("/both", headers);
      expectProblem(expect, refused, { code: "rate_limited", status: 429, waits: true });
      expect(told(refused.header("ratelimit")).map(({ policy }) => policy)).toEqual(["narrow"]);
    }
    expect(remaining(await ask("/wide/x", headers), "wide")).toBe(98);
  });

  it("of its own limit: refused ones do not push the end away", async ({ expect }) => {
    const headers = { "x-caller": "stubborn" };
    const started = Date.now();
    await statuses(2, "/quick", headers);
    let passed = 0;
    while (Date.now() - started < 1100) passed += (await ask("/quick", headers)).status === 200 ? 1 : 0;
    // 5 a second.
    expect(passed).toBeGreaterThanOrEqual(4);
    expect(passed).toBeLessThanOrEqual(6);
  });

  it("when the route's bulkhead is full", async ({ expect }) => {
    const headers = { "x-caller": "bulky" };
    const open = ask("/bulkhead/slow", headers);
    await until("it is upstream", 3000, () => held.length > 0);
    for (let count = 0; count < 3; count++) expect((await ask("/bulkhead/x", headers)).status).toBe(503);
    for (const answer of held.splice(0)) answer();
    await open;
    expect(remaining(await ask("/wide/x", headers), "wide")).toBe(98);
  });

  it("when the tenant has no permit left", async ({ expect }) => {
    const headers = { "x-caller": "tenant", "x-api-key": "alone" };
    const open = ask("/tenant-permit/slow", headers);
    await until("it is upstream", 3000, () => held.length > 0);
    for (let count = 0; count < 3; count++) expect((await ask("/tenant-permit/x", headers)).status).toBe(429);
    for (const answer of held.splice(0)) answer();
    await open;
    expect(remaining(await ask("/wide/x", headers), "wide")).toBe(98);
  });

  it("when it is too large, has no time, or has no key", async ({ expect }) => {
    const headers = { "x-caller": "refused" };
    expect((await ask("/small/x", headers, { method: "POST", body: "x".repeat(11) })).status).toBe(413);
    expect((await ask("/wide/x", { ...headers, "x-tidegate-deadline-ms": "0" })).status).toBe(504);
    expect((await ask("/locked", headers)).status).toBe(401);
    expect((await ask("/locked", { ...headers, "x-api-key": "a" })).status).toBe(403);
    expect((await ask("/wide/a%2Fb", headers)).status).toBe(400);
    expect(remaining(await ask("/wide/x", headers), "wide")).toBe(99);
  });

  it("but one that the upstream fails has been served", async ({ expect }) => {
    const headers = { "x-caller": "failed" };
    expect((await ask("/wide/fails", headers)).status).toBe(500);
    expect(remaining(await ask("/wide/x", headers), "wide")).toBe(98);
  });
});

describe("what is told", () => {
  it("on success: every limit that applies, what remains and until when", async ({ expect }) => {
    const first = await ask("/both", { "x-caller": "told" });
    expect(first.status).toBe(200);
    expect(told(first.header("ratelimit-policy"))).toEqual([
      { policy: "wide", parameters: { q: 100, w: 3600 } },
      { policy: "narrow", parameters: { q: 1, w: 3600 } },
    ]);
    const [wide, narrow] = told(first.header("ratelimit"));
    expect(wide).toMatchObject({ policy: "wide", parameters: { r: 99 } });
    expect(narrow).toMatchObject({ policy: "narrow", parameters: { r: 0 } });
    for (const { parameters } of [wide, narrow]) {
      expect(Number.isInteger(parameters["t"])).toBe(true);
      expect(Number(parameters["t"])).toBeLessThanOrEqual(3600);
    }
    expect(first.header("retry-after")).toBeNull();
  });

  it("on refusal: the limit that refused, and when to come back", async ({ expect }) => {
    const headers = { "x-caller": "late" };
    await statuses(2, "/quick", headers);
    const refused = await ask("/quick", headers);
    const body = expectProblem(expect, refused, { code: "rate_limited", status: 429, waits: true });
    expect(body["policy"]).toBe("quick");
    expect(refused.header("retry-after")).toBe("1");
    expect(told(refused.header("ratelimit"))).toEqual([{ policy: "quick", parameters: { r: 0, t: 1 } }]);
    expect(told(refused.header("ratelimit-policy"))).toEqual([
      { policy: "quick", parameters: { q: 5, w: 1 } },
    ]);
  });

  it.for([
    ["quick", 2],
    ["soon", 3],
  ] as const)("after retry-after of %s there is room again", async ([limit, burst], { expect }) => {
    const headers = { "x-caller": `obedient-${limit}` };
    expect(await statuses(burst, `/${limit}`, headers)).toEqual(Array(burst).fill(200));
    const refused = await ask(`/${limit}`, headers);
    expect(refused.status).toBe(429);
    await pause(Number(refused.header("retry-after")) * 1000);
    expect((await ask(`/${limit}`, headers)).status).toBe(200);
  });

  it("right after a burst, the window: it was all used now", async ({ expect }) => {
    const headers = { "x-caller": "bursting" };
    expect(told((await ask("/header", headers)).header("ratelimit"))[0].parameters).toMatchObject({
      r: 1,
      t: 60,
    });
    await ask("/header", headers);
    const refused = await ask("/header", headers);
    expect(refused.status).toBe(429);
    expect(Number(refused.header("retry-after"))).toBeGreaterThanOrEqual(58);
    expect(told(refused.header("ratelimit"))[0].parameters).toEqual({
      r: 0,
      t: Number(refused.header("retry-after")),
    });
  });

  it("nothing where no limit applies", async ({ expect }) => {
    const answer = await ask("/nowhere");
    expect(answer.header("ratelimit")).toBeNull();
    expect(answer.header("ratelimit-policy")).toBeNull();
  });
});
