// The gateway's own pages: who may see what, and that state and metrics are what tools expect.
import { afterAll, beforeAll, describe, it } from "vitest";
import {
  startGateway,
  startUpstream,
  until,
  type RunningGateway,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { expectProblem, jsonObject, readAnswer, type Answer } from "./support/problems.ts";
import { send } from "./support/raw-http.ts";
import { parsePrometheus, type Sample } from "./support/prometheus.ts";

const METRICS_TOKEN = "only-for-metrics";
const CODES = [
  "route_not_found",
  "method_not_allowed",
  "bad_path",
  "bad_request",
  "headers_too_large",
  "unauthorized",
  "forbidden",
  "rate_limited",
  "quota_exceeded",
  "backlog_full",
  "shed",
  "concurrency_limit",
  "circuit_open",
  "no_target",
  "upstream_unreachable",
  "upstream_invalid",
  "upstream_timeout",
  "deadline_exceeded",
  "body_too_large",
  "idempotency_conflict",
  "idempotency_in_flight",
  "idempotency_key_required",
  "not_accepted",
  "loop_detected",
  "internal_error",
];

let gateway: RunningGateway;
let upstream: RunningUpstream;
const held: (() => void)[] = [];

beforeAll(async () => {
  upstream = await startUpstream((request, response) => {
    request.resume();
    if (request.url?.includes("/hold") === true) held.push(() => response.end());
    else response.writeHead(request.url?.includes("/fails") === true ? 500 : 200).end("ok");
  });
  gateway = await startGateway({
    config: {
      upstreams: {
        // Who wants no such breaker writes a number that is never reached.
        main: { targets: [upstream.url], retry: false, breaker: { consecutive: 5_000_000_000 } },
        broken: {
          targets: [upstream.url],
          retry: false,
          breaker: { consecutive: 2, openFor: "60s", maxOpenFor: "60s" },
        },
      },
      counters: { constructor: { key: "route" } },
      subscriptions: { pulled: { events: ["*"], deliver: { pull: true } } },
      limits: { few: { key: "route", rate: 1, per: "1h" } },
      routes: [
        { name: "main-route", path: "/main/*", upstream: "main", count: ["constructor"] },
        { name: "broken-route", path: "/broken/*", upstream: "broken" },
        { name: "limited", path: "/limited", upstream: "main", limits: ["few"] },
      ],
    },
    args: ["--env", `METRICS_TOKEN=${METRICS_TOKEN}`],
  });
});

afterAll(async () => {
  for (const answer of held) answer();
  await gateway?.stop();
  await upstream?.stop();
});

async function ask(path: string, token?: string, init: RequestInit = {}): Promise<Answer> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return readAnswer(await fetch(gateway.url + path, { ...init, headers }));
}

describe("who may see what", () => {
  it("health is for everybody", async ({ expect }) => {
    const answer = await ask("/_gateway/health");
    expect(answer.status).toBe(200);
    expect(jsonObject(answer.text)).toEqual({ status: "ok" });
    expect(answer.header("x-request-id")).not.toBeNull();
  });

  it.for([
    "/_gateway/state",
    "/_gateway/metrics",
    "/_gateway/overrides",
    "/_gateway/nowhere",
    "/_gateway",
    "/_gateway/",
  ])("%s needs the token, existing or not", async (path, { expect }) => {
    for (const token of [undefined, "", "wrong", gateway.adminToken.slice(0, -1), `${gateway.adminToken}x`]) {
      const answer = await ask(path, token);
      expectProblem(expect, answer, { code: "unauthorized", status: 401, waits: false });
      expect(answer.header("www-authenticate")).toMatch(/^Bearer/);
    }
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
      expect((await ask(path, undefined, { method })).status, method).toBe(401);
    }
  });

  it.for(["/_gateway/health", "/_gateway/state", "/_gateway/problems/shed"])(
    "%s pays no heed to the body of a GET",
    async (target, { expect }) => {
      const fields = [["Authorization", `Bearer ${gateway.adminToken}`]] as const;
      expect((await send(gateway.url, { target, fields, body: "hello" })).status).toBe(200);
      expect((await send(gateway.url, { target, fields, body: "" })).status).toBe(200);
    },
  );

  it("the token in another form opens nothing", async ({ expect }) => {
    for (const authorization of [
      gateway.adminToken,
      `Basic ${gateway.adminToken}`,
      `Bearer${gateway.adminToken}`,
    ]) {
      const response = await fetch(`${gateway.url}/_gateway/state`, { headers: { authorization } });
      expect(response.status).toBe(401);
    }
    const elsewhere = await fetch(`${gateway.url}/_gateway/state?token=${gateway.adminToken}`, {
      headers: { "x-tidegate-admin": gateway.adminToken, "x-api-key": gateway.adminToken },
    });
    expect(elsewhere.status).toBe(401);
  });

  it("the metrics token opens metrics alone", async ({ expect }) => {
    expect((await ask("/_gateway/metrics", METRICS_TOKEN)).status).toBe(200);
    expect((await ask("/_gateway/metrics", gateway.adminToken)).status).toBe(200);
    for (const path of ["/_gateway/state", "/_gateway/nowhere"]) {
      expect((await ask(path, METRICS_TOKEN)).status, path).toBe(401);
    }
  });

  it("what does not exist is 404 with the token", async ({ expect }) => {
    const answer = await ask("/_gateway/nowhere", gateway.adminToken);
    const body = expectProblem(expect, answer, {
      code: "route_not_found",
      status: 404,
      waits: false,
    });
    expect(body["detail"]).toBeDefined();
  });

  it("nothing of it reaches an upstream", async ({ expect }) => {
    upstream.requests.length = 0;
    for (const path of ["/_gateway/state", "/_gateway/health", "/_gateway/problems/shed", "/_gateway/x"]) {
      await ask(path, gateway.adminToken);
    }
    expect(upstream.requests).toEqual([]);
  });
});

describe("problem pages", () => {
  it.for(CODES)("explain %s to everybody", async (code, { expect }) => {
    const answer = await ask(`/_gateway/problems/${code}`);
    expect(answer.status).toBe(200);
    expect(answer.header("content-type")).toMatch(/^text\/html/);
    expect(answer.text).toContain(code);
    expect(answer.text.length).toBeGreaterThan(300);
  });

  it.for(["nothing", "constructor", "__proto__", "toString", "%3Cscript%3E", "shed/more"])(
    "there is none for %s",
    async (code, { expect }) => {
      const answer = await ask(`/_gateway/problems/${code}`);
      expect([401, 404]).toContain(answer.status);
      expect(answer.text).not.toContain("<script>");
    },
  );
});

describe("state", () => {
  it("has the documented shape", async ({ expect }) => {
    // A scrape has the isolate speak to its hub.
    await ask("/_gateway/metrics", METRICS_TOKEN);
    const release = ask("/main/hold");
    await until("one is in flight", 3000, () => held.length === 1);
    const answer = await ask("/_gateway/state", gateway.adminToken);
    expect(answer.header("content-type")).toMatch(/^application\/json/);
    const state = jsonObject(answer.text);
    expect(state).toMatchObject({
      region: expect.any(String),
      isolate: { session: expect.any(String), snapshotAgeMs: expect.any(Number) },
      upstreams: {
        main: {
          breaker: { phase: "closed", generation: expect.any(Number), openUntil: null },
          cursor: 512,
          limit: 256,
          inflight: 1,
          waiting: 0,
          window: { ok: expect.any(Number), failRemote: 0, failLocal: 0, slow: 0 },
          targets: [expect.anything()],
        },
      },
      regions: { [String(state["region"])]: { upstreams: state["upstreams"] } },
      queues: {},
      subscriptions: {},
      sagas: {},
      config: expect.stringMatching(/^[0-9a-f]{8,}$/),
    });
    for (const finish of held.splice(0)) finish();
    await release;
  });

  it("shows an open breaker, until when, and what it saw", async ({ expect }) => {
    for (let count = 0; count < 3; count++) await ask("/broken/fails");
    const state = jsonObject((await ask("/_gateway/state", gateway.adminToken)).text);
    expect(state["upstreams"]).toMatchObject({
      broken: {
        breaker: { phase: "open", openUntil: expect.any(Number) },
        window: { failRemote: 2, failLocal: 0 },
      },
    });
  });

  it("holds no secret", async ({ expect }) => {
    const { text } = await ask("/_gateway/state", gateway.adminToken);
    expect(text).not.toContain(METRICS_TOKEN);
    expect(text).not.toContain(gateway.adminToken);
  });
});

async function samples(): Promise<readonly Sample[]> {
  const { header, text } = await ask("/_gateway/metrics", METRICS_TOKEN);
  if (header("content-type")?.startsWith("text/plain") !== true) throw new Error("not the text format");
  return parsePrometheus(text);
}

/** A sample's name with its labels. */
function keyOf({ name, labels }: Sample): string {
  const sorted = Object.entries(labels).toSorted(([one], [other]) => one.localeCompare(other));
  return `${name}${JSON.stringify(sorted)}`;
}

/** Requests that were answered, by the histogram of their durations (OpenTelemetry's name for it). */
function answeredCount(all: readonly Sample[]): number {
  const counts = all.filter(({ name }) => /^http_server_request_duration\w*_count$/.test(name));
  return counts.reduce((total, { value }) => total + value, 0);
}

describe("answers of the admin surface", () => {
  it("are kept by no cache, but for the pages that are the same for all", async ({ expect }) => {
    const admin = ["state", "metrics", "overrides", "counters/constructor?key=k", "dead-letters/pulled"];
    for (const path of admin) {
      const answer = await ask(`/_gateway/${path}`, gateway.adminToken);
      expect([answer.status, answer.header("cache-control")], path).toEqual([200, "no-store"]);
    }
    expect((await ask("/_gateway/health")).header("cache-control")).toBe("no-store");
    expect((await ask("/_gateway/problems/shed")).header("cache-control")).toMatch(/^public/);
  });

  it("to bodies that are too large are 413, said or not how large", async ({ expect }) => {
    const body = `{"key":"${"x".repeat(70_000)}","by":1}`;
    const streamed = new Blob([body]).stream();
    for (const init of [{ body }, { body: streamed, duplex: "half" as const }]) {
      const path = "/_gateway/counters/constructor";
      const answer = await ask(path, gateway.adminToken, { method: "POST", ...init });
      expect(expectProblem(expect, answer, { code: "body_too_large", status: 413 })["limitBytes"]).toBe(
        65_536,
      );
    }
    const unknown = await ask("/_gateway/counters/constructor", undefined, { method: "POST", body });
    expect(unknown.status).toBe(401);
  });

  it.for([
    ["a number beyond all", "overrides/main", '{"breaker":"open","forMs":1e400}'],
    ["lists in lists", "overrides/main", `${"[".repeat(30_000)}${"]".repeat(30_000)}`],
    ["a prototype", "overrides/main", '{"__proto__":{"forMs":1},"breaker":"open"}'],
    ["half a character", "counters/constructor", '{"key":"\\ud800","by":1}'],
    ["a list for a text", "counters/constructor", '{"key":["k"],"by":1}'],
    ["an operation that there is not", "events", '{"op":"x","source":{}}'],
    ["no JSON", "events", "NaN"],
  ])("to %s are 400 at %s", async ([, path, body], { expect }) => {
    const method = path.startsWith("overrides") ? "PUT" : "POST";
    const answer = await ask(`/_gateway/${path}`, gateway.adminToken, { method, body });
    expectProblem(expect, answer, { code: "bad_request", status: 400, waits: false });
    expect(answer.text).not.toContain("    at ");
  });

  it("say of a lease that cannot be one that it is over", async ({ expect }) => {
    const init = { method: "POST", body: '{"leaseIds":["1.\\ud800","zz"]}' };
    const answer = await ask("/_gateway/subscriptions/pulled/ack", gateway.adminToken, init);
    expect([answer.status, answer.text]).toEqual([200, '{"acked":[],"expired":["1.\\ud800","zz"]}']);
  });

  it("tell of a change from a database that is named in half a character", async ({ expect }) => {
    const body = '{"op":"c","source":{"name":"\\ud800"},"after":{}}';
    const answer = await ask("/_gateway/events", gateway.adminToken, { method: "POST", body });
    expect([answer.status, answer.text]).toEqual([202, expect.stringContaining('"status":"accepted"')]);
  });
});

describe("metrics", () => {
  it("are Prometheus text: typed, unique, no label is unsafe", async ({ expect }) => {
    await ask("/main/x");
    const all = await samples();
    expect(all.length).toBeGreaterThan(10);
    const names = all.map(keyOf);
    expect(new Set(names).size).toBe(names.length);
    expect(all.every(({ type }) => ["counter", "gauge", "histogram", "summary"].includes(type))).toBe(true);
  });

  it("count requests, and never go back", async ({ expect }) => {
    const before = await samples();
    for (let count = 0; count < 7; count++) await ask("/main/x");
    await ask("/nowhere/at/all");
    const after = await samples();
    expect(answeredCount(after) - answeredCount(before)).toBeGreaterThanOrEqual(8);
    const earlier = new Map(before.map((sample) => [keyOf(sample), sample.value]));
    for (const sample of after) {
      if (sample.type === "counter") {
        expect(sample.value, keyOf(sample)).toBeGreaterThanOrEqual(earlier.get(keyOf(sample)) ?? 0);
      }
    }
  });

  it("count usage under any name, whatever thresholds an upstream's breaker has", async ({ expect }) => {
    await ask("/main/counted");
    await until("it is counted", 10_000, async () => {
      const counted = (await samples()).find(({ name, labels }) => {
        return name === "tidegate_usage_total" && labels["counter"] === "constructor";
      });
      return (counted?.value ?? 0) > 0;
    });
    const refused = (await samples()).find(({ labels }) => labels["event"] === "refused");
    expect(refused).toMatchObject({ name: "tidegate_hub_events_total", value: 0 });
  });

  it("do not grow with what clients make up", async ({ expect }) => {
    await ask("/main/warm");
    await ask("/nowhere/warm");
    const before = (await samples()).length;
    for (let count = 0; count < 20; count++) {
      await ask(`/nowhere/${count}`);
      await ask(`/main/${count}`, undefined, { method: count % 2 === 0 ? "GET" : "PROPFIND" });
    }
    expect((await samples()).length - before).toBeLessThanOrEqual(40);
    const text = (await ask("/_gateway/metrics", METRICS_TOKEN)).text;
    expect(text).not.toContain("/nowhere/7");
  });

  it("show breakers by name", async ({ expect }) => {
    for (let count = 0; count < 3; count++) await ask("/broken/fails");
    const text = (await ask("/_gateway/metrics", METRICS_TOKEN)).text;
    expect(text).toMatch(/breaker[^\n]*broken[^\n]*\n/);
  });
});
