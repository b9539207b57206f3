// The URL of a stored request, and what operators do with those that could not be delivered. Through the
// gateway as a black box.
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type RunningGateway } from "../integration/rig/index.ts";
import { expectProblem, jsonObject, type ProblemBody } from "./support/problems.ts";
import {
  askOperator,
  jobOf,
  jobWith,
  queueState,
  readJob,
  send,
  startWorkUpstream,
  type WorkUpstream,
} from "./support/queues.ts";

let upstream: WorkUpstream;
let gateway: RunningGateway;

function keyOf(name: string): { keys: string[] } {
  return { keys: [`sha256:${createHash("sha256").update(`${name}-key`).digest("hex")}`] };
}

beforeAll(async () => {
  upstream = await startWorkUpstream();
  gateway = await startGateway({
    config: {
      upstreams: {
        work: { targets: [upstream.url], breaker: false },
        gone: { targets: ["http://127.0.0.1:9"], retry: false },
      },
      consumers: { acme: keyOf("acme"), other: keyOf("other") },
      queues: {
        work: { upstream: "work" },
        later: { upstream: "gone", retry: { delay: "1h" } },
        brittle: { upstream: "work", retry: { attempts: 1 }, orderBy: "header:x-order" },
        sweepable: { upstream: "work", retry: { attempts: 1 } },
      },
      routes: [
        { path: "/tasks/*", methods: ["POST"], queue: "work" },
        { path: "/later/*", methods: ["POST"], queue: "later" },
        { path: "/brittle/*", methods: ["POST"], queue: "brittle" },
        { path: "/sweep/*", methods: ["POST"], queue: "sweepable" },
        { path: "/members/*", methods: ["POST"], queue: "work", auth: true },
      ],
    },
  });
});

afterAll(async () => {
  await gateway.stop();
  await upstream.stop();
});

describe("the URL of a job", () => {
  it("tells its status without any credentials, and how to come again", async () => {
    const id = jobOf(await send(gateway, "/later/1"));
    const answer = await readJob(gateway, id);
    expect(answer.status).toBe(200);
    expect(answer.header("retry-after")).toMatch(/^[1-9]\d*$/);
    expect(answer.header("etag")).toMatch(/^"[0-9a-f]+"$/);
    expect(jsonObject(answer.text)).toEqual({
      id,
      status: expect.stringMatching(/^(queued|running|deferred)$/),
      attempts: expect.any(Number),
      nextAttemptAt: expect.toSatisfy((at: unknown) => at === null || typeof at === "number"),
      acceptedAt: expect.any(Number),
      endedAt: null,
      expiresAt: expect.any(Number),
      deferrals: expect.any(Number),
      links: { self: `/_gateway/jobs/${id}`, result: `/_gateway/jobs/${id}/result` },
    });
  });

  it("waits with it, and says until when", async () => {
    const id = jobOf(await send(gateway, "/later/2"));
    const job = await jobWith(gateway, id, "deferred");
    expect(Number(job["nextAttemptAt"])).toBeGreaterThan(Number(job["acceptedAt"]));
    const answer = await readJob(gateway, id);
    expect(Number(answer.header("retry-after"))).toBeLessThanOrEqual(300);
  });

  it("has an ETag that changes with the status", async () => {
    const id = jobOf(await send(gateway, "/tasks/etag"));
    await jobWith(gateway, id, "succeeded");
    const done = await readJob(gateway, id);
    expect(done.header("retry-after")).toBeNull();
    const etag = done.header("etag") ?? "";
    for (const known of [etag, `"x", W/${etag}`, "*"]) {
      const same = await readJob(gateway, id, { "if-none-match": known });
      expect([same.status, same.text, same.header("etag")]).toEqual([304, "", etag]);
    }
    expect((await readJob(gateway, id, { "if-none-match": '"x"' })).status).toBe(200);
    const waiting = await readJob(gateway, jobOf(await send(gateway, "/later/3")));
    expect(waiting.header("etag")).not.toBe(etag);
  });

  it("has the upstream's answer, once there is one", async () => {
    upstream.answers.set("/tasks/result", 418);
    const id = jobOf(await send(gateway, "/tasks/result"));
    await jobWith(gateway, id, "failed");
    const result = await send(gateway, `/_gateway/jobs/${id}/result`, { method: "GET" });
    expect([result.status, result.text, result.header("x-worked")]).toEqual([
      418,
      "done /tasks/result",
      "yes",
    ]);
    const waiting = jobOf(await send(gateway, "/later/4"));
    const none = await send(gateway, `/_gateway/jobs/${waiting}/result`, { method: "GET" });
    const body = expectProblem(expect, none, { status: 404, code: "route_not_found", waits: true });
    expect(["queued", "running", "deferred"]).toContain(body["jobStatus"]);
  });

  it.for([
    "0".repeat(32) + "-1-work",
    "0".repeat(32) + "-1-nosuchqueue",
    "0".repeat(32) + "-1-work.1",
    "nothing",
  ])("is unknown: %s", async (id) => {
    const answer = await readJob(gateway, id);
    expect(answer.header("etag")).toBeNull();
    expectProblem(expect, answer, { status: 404, code: "route_not_found", waits: false });
  });

  it("is unknown with a secret that is wrong by one digit", async () => {
    const id = jobOf(await send(gateway, "/tasks/secret"));
    const wrong = `${id.startsWith("0") ? "1" : "0"}${id.slice(1)}`;
    const asked = await readJob(gateway, wrong);
    expect(asked.text).not.toContain(id.slice(1));
    expectProblem(expect, asked, { status: 404, code: "route_not_found" });
    const cancelled = await send(gateway, `/_gateway/jobs/${wrong}`, { method: "DELETE" });
    expectProblem(expect, cancelled, { status: 404, code: "route_not_found" });
  });
});

describe("a job of a route with auth", () => {
  it("is shown to the consumer that sent it, and to operators", async () => {
    const own = { "x-api-key": "acme-key" };
    const id = jobOf(await send(gateway, "/members/1", { headers: own }));
    expect((await readJob(gateway, id, own)).status).toBe(200);
    expect((await askOperator(gateway, "GET", `jobs/${id}`)).status).toBe(200);
    await jobWith(gateway, id, "succeeded", own);
    const result = `/_gateway/jobs/${id}/result`;
    expect((await send(gateway, result, { method: "GET", headers: own })).status).toBe(200);
    const paths = [`/_gateway/jobs/${id}`, result];
    for (const path of paths) {
      const nobody = await send(gateway, path, { method: "GET" });
      expectProblem(expect, nobody, { status: 401, code: "unauthorized", waits: false });
      expect(nobody.header("www-authenticate")).toMatch(/^ApiKey /);
      const wrong = await send(gateway, path, { method: "GET", headers: { "x-api-key": "no-key" } });
      expectProblem(expect, wrong, { status: 401, code: "unauthorized" });
      const other = await send(gateway, path, { method: "GET", headers: { "x-api-key": "other-key" } });
      expectProblem(expect, other, { status: 403, code: "forbidden" });
      const token = { authorization: "Bearer wrong" };
      expect((await send(gateway, path, { method: "GET", headers: token })).status).toBe(401);
    }
  });
});

describe("cancelling", () => {
  it("ends a request that waits, once and for all", async () => {
    const delayed = jobOf(await send(gateway, "/later/cancel"));
    await jobWith(gateway, delayed, "deferred");
    const answer = await askOperator(gateway, "DELETE", `jobs/${delayed}`);
    expect([answer.status, jsonObject(answer.text)["status"]]).toEqual([200, "cancelled"]);
    const again = await askOperator(gateway, "DELETE", `jobs/${delayed}`);
    expect([again.status, jsonObject(again.text)["status"]]).toEqual([200, "cancelled"]);
    expect(jsonObject((await readJob(gateway, delayed)).text)["status"]).toBe("cancelled");
    const none = await send(gateway, `/_gateway/jobs/${delayed}/result`, { method: "GET" });
    expectProblem(expect, none, { status: 404, code: "route_not_found", waits: false });
  });

  it("comes too late for one that is done", async () => {
    const id = jobOf(await send(gateway, "/tasks/too-late"));
    await jobWith(gateway, id, "succeeded");
    const answer = await send(gateway, `/_gateway/jobs/${id}`, { method: "DELETE" });
    const body = expectProblem(expect, answer, { status: 409, code: "job_started", waits: false });
    expect(body["jobStatus"]).toBe("succeeded");
  });

  it("by a client ends one that was never tried", async () => {
    // Behind another request of its key, which is dead, it waits untried.
    upstream.answers.set("/brittle/cancel-head", 500);
    const headers = { "x-order": "cancel" };
    const head = jobOf(await send(gateway, "/brittle/cancel-head", { headers }));
    const behind = jobOf(await send(gateway, "/brittle/cancel-behind", { headers }));
    await jobWith(gateway, head, "dead");
    const answer = await send(gateway, `/_gateway/jobs/${behind}`, { method: "DELETE" });
    expect([answer.status, jsonObject(answer.text)["status"]]).toEqual([200, "cancelled"]);
  });
});

interface Page {
  readonly items: readonly ProblemBody[];
  readonly next: string | null;
}

async function deadLetters(queue: string, query = ""): Promise<Page> {
  const answer = await askOperator(gateway, "GET", `dead-letters/${queue}${query}`);
  if (answer.status !== 200) throw new Error(answer.text);
  const { items, next } = jsonObject(answer.text);
  if (!Array.isArray(items)) throw new Error(answer.text);
  return {
    items: items.map((item) => jsonObject(JSON.stringify(item))),
    next: typeof next === "string" ? next : null,
  };
}

describe("dead letters", () => {
  it("are listed with their tries, and delivered once they are replayed", async () => {
    upstream.answers.set("/brittle/dead", 500);
    const id = jobOf(await send(gateway, "/brittle/dead"));
    await jobWith(gateway, id, "dead");
    const { items } = await deadLetters("brittle");
    expect(items.find((item) => item["id"] === id)).toMatchObject({
      reason: expect.any(String),
      attempts: [{ at: expect.any(Number), status: 500, error: null, ms: expect.any(Number) }],
    });
    expect(Number((await queueState(gateway, "brittle"))["dead"])).toBeGreaterThanOrEqual(1);
    upstream.answers.delete("/brittle/dead");
    const strange = "0".repeat(32) + "-9-brittle";
    const answer = await askOperator(gateway, "POST", "dead-letters/brittle/replay", { ids: [id, strange] });
    expect(answer.status).toBe(200);
    expect(jsonObject(answer.text)).toEqual({ replayed: [id], notDead: [strange] });
    await jobWith(gateway, id, "succeeded");
    expect((await deadLetters("brittle")).items.some((item) => item["id"] === id)).toBe(false);
  });

  it("block those behind them for their key, until an operator skips them", async () => {
    upstream.answers.set("/brittle/head", 500);
    const headers = { "x-order": "o-1" };
    const head = jobOf(await send(gateway, "/brittle/head", { headers }));
    const behind = jobOf(await send(gateway, "/brittle/behind", { headers }));
    const elsewhere = jobOf(await send(gateway, "/brittle/elsewhere", { headers: { "x-order": "o-2" } }));
    await jobWith(gateway, head, "dead");
    await jobWith(gateway, elsewhere, "succeeded");
    expect(jsonObject((await readJob(gateway, behind)).text)["status"]).toBe("queued");
    const skip = "dead-letters/brittle/skip";
    const notDead = await askOperator(gateway, "POST", skip, { id: behind });
    expectProblem(expect, notDead, { status: 400, code: "bad_request" });
    const skipped = await askOperator(gateway, "POST", skip, { id: head });
    expect([skipped.status, jsonObject(skipped.text)]).toEqual([200, { skipped: head }]);
    await jobWith(gateway, behind, "succeeded");
    expect(jsonObject((await readJob(gateway, head)).text)["status"]).toBe("dead");
  });

  it("are replayed by the time at which they died, at a rate", async () => {
    const since = Date.now() - 1_000;
    const paths = [1, 2, 3].map((index) => `/sweep/${index}`);
    for (const path of paths) upstream.answers.set(path, 503);
    const ids: string[] = [];
    for (const path of paths) ids.push(jobOf(await send(gateway, path)));
    for (const id of ids) await jobWith(gateway, id, "dead");
    upstream.answers.clear();
    const body = { since, until: new Date(Date.now() + 1_000).toISOString(), rate: 100 };
    const answer = await askOperator(gateway, "POST", "dead-letters/sweepable/replay", body);
    expect([answer.status, jsonObject(answer.text)]).toEqual([202, { matching: 3 }]);
    for (const id of ids) await jobWith(gateway, id, "succeeded");
  });

  it("come in pages", async () => {
    const paths = [1, 2, 3].map((index) => `/sweep/page-${index}`);
    for (const path of paths) upstream.answers.set(path, 500);
    const ids: string[] = [];
    for (const path of paths) ids.push(jobOf(await send(gateway, path)));
    for (const id of ids) await jobWith(gateway, id, "dead");
    const listed: unknown[] = [];
    let next: string | null = null;
    do {
      const page: Page = await deadLetters("sweepable", `?max=2${next === null ? "" : `&after=${next}`}`);
      expect(page.items.length).toBeLessThanOrEqual(2);
      listed.push(...page.items.map((item) => item["id"]));
      next = page.next;
    } while (next !== null);
    expect(listed).toEqual(ids);
  });

  it("are for operators alone", async () => {
    for (const [method, path] of [
      ["GET", "dead-letters/brittle"],
      ["POST", "dead-letters/brittle/replay"],
      ["POST", "dead-letters/brittle/skip"],
    ] as const) {
      const answer = await send(gateway, `/_gateway/${path}`, { method, body: "{}" });
      expect(answer.header("www-authenticate")).toMatch(/^Bearer /);
      expectProblem(expect, answer, { status: 401, code: "unauthorized" });
    }
  });

  it.for([
    ["GET", "dead-letters/nosuch", undefined, 404],
    ["GET", "dead-letters/brittle?max=0", undefined, 400],
    ["GET", "dead-letters/brittle?max=101", undefined, 400],
    ["GET", "dead-letters/brittle?after=x", undefined, 400],
    ["POST", "dead-letters/nosuch/replay", { ids: ["x"] }, 404],
    ["POST", "dead-letters/brittle/replay", {}, 400],
    ["POST", "dead-letters/brittle/replay", { ids: [] }, 400],
    ["POST", "dead-letters/brittle/replay", { ids: [1] }, 400],
    ["POST", "dead-letters/brittle/replay", { ids: "x".repeat(101).split("") }, 400],
    ["POST", "dead-letters/brittle/replay", { ids: ["x"], since: 0 }, 400],
    ["POST", "dead-letters/brittle/replay", { since: 5, until: 4, rate: 1 }, 400],
    ["POST", "dead-letters/brittle/replay", { since: 0, until: 4, rate: 0 }, 400],
    ["POST", "dead-letters/brittle/replay", { since: 0, until: 4, rate: 1001 }, 400],
    ["POST", "dead-letters/brittle/replay", { since: "yesterday", until: 4, rate: 1 }, 400],
    ["POST", "dead-letters/brittle/skip", {}, 400],
    ["POST", "dead-letters/brittle/skip", { id: "x" }, 404],
  ] as const)("refuse %s %s %j", async ([method, path, body, status]) => {
    const answer = await askOperator(gateway, method, path, body);
    expect(answer.header("cache-control")).toBe("no-store");
    expectProblem(expect, answer, { status, code: status === 404 ? "route_not_found" : "bad_request" });
  });
});

describe("metrics of a queue", () => {
  it("stand beside the others", async () => {
    jobOf(await send(gateway, "/later/metrics"));
    await send(gateway, "/tasks/metrics", { headers: { prefer: "wait=10" } });
    const { text } = await askOperator(gateway, "GET", "metrics");
    for (const line of [
      /^tidegate_queue_depth\{tidegate_queue="later"\} [1-9]/m,
      /^tidegate_queue_lag\{tidegate_queue="later"\} [1-9]/m,
      /^tidegate_queue_oldest_age_seconds\{tidegate_queue="later"\} \d/m,
      /^tidegate_queue_rejecting\{tidegate_queue="work"\} 0$/m,
      /^tidegate_queue_dead_requests\{tidegate_queue="work"\} \d/m,
      /^tidegate_queue_events_total\{tidegate_queue="work",event="accepted"\} [1-9]/m,
      /^tidegate_queue_events_total\{tidegate_queue="work",event="delivered"\} [1-9]/m,
    ]) {
      expect(text).toMatch(line);
    }
  });
});
