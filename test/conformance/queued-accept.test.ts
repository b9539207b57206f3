// Queued routes: 202 and what it says, idempotency keys, preferences, bodies, watermarks. Through the gateway
// as a black box; what is stored reaches a real upstream.
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, until, type RunningGateway } from "../integration/rig/index.ts";
import { expectProblem, jsonObject } from "./support/problems.ts";
import {
  DELIVERY_MS,
  JOB_URL,
  askOperator,
  jobOf,
  jobWith,
  queueState,
  send,
  startWorkUpstream,
  type WorkUpstream,
} from "./support/queues.ts";

const KIB = 1024;

let upstream: WorkUpstream;
let gateway: RunningGateway;

beforeAll(async () => {
  upstream = await startWorkUpstream();
  // Nothing listens there: what is stored for it stays.
  const nowhere = "http://127.0.0.1:9";
  gateway = await startGateway({
    config: {
      upstreams: {
        work: { targets: [`${upstream.url}/base`] },
        gone: { targets: [nowhere], retry: false },
      },
      consumers: {
        acme: { keys: [`sha256:${createHash("sha256").update("acme-key").digest("hex")}`], tenant: "acme" },
      },
      queues: {
        work: { upstream: "work" },
        moved: { upstream: "work", path: "/in/*" },
        strict: { upstream: "work", idempotencyKey: "required" },
        small: { upstream: "gone", highWatermark: 4, resumeAt: 0.5 },
        critical: { upstream: "gone", highWatermark: 4 },
      },
      limits: { few: { key: "header:x-who", rate: 1, per: "1h", consistency: "local" } },
      counters: { taken: { key: "route" } },
      routes: [
        { name: "work", path: "/tasks/*", methods: ["POST", "PUT"], queue: "work", count: ["taken"] },
        {
          path: "/moved/*",
          methods: ["POST"],
          queue: "moved",
          request: { path: "/m/*", set: { "x-set": "1" }, remove: ["x-gone"] },
          response: { set: { "x-answer": "edited" } },
        },
        { path: "/strict", methods: ["POST"], queue: "strict" },
        { path: "/small", methods: ["POST"], queue: "small" },
        { path: "/small/p2", methods: ["POST"], queue: "small", priority: "P2" },
        { path: "/critical", methods: ["POST"], queue: "critical", priority: "P0" },
        { path: "/ordinary", methods: ["POST"], queue: "critical" },
        { path: "/tight", methods: ["POST"], queue: "work", bodyLimit: "1KiB" },
        { path: "/limited", methods: ["POST"], queue: "work", limits: ["few"] },
        { path: "/members", methods: ["POST"], queue: "work", auth: true },
        { path: "/live", upstream: "work" },
      ],
    },
  });
});

afterAll(async () => {
  await gateway.stop();
  await upstream.stop();
});

async function deliveredTo(target: string): Promise<WorkUpstream["delivered"][number]> {
  const find = () => upstream.delivered.find((request) => request.target === target);
  await until(`${target} is delivered`, DELIVERY_MS, () => find() !== undefined);
  const found = find();
  if (found === undefined) throw new Error(target);
  return found;
}

describe("202", () => {
  it("says where the job is, when to come again, and its status", async () => {
    const answer = await send(gateway, "/tasks/1");
    expect(answer.status).toBe(202);
    const location = answer.header("location") ?? "";
    expect(location).toMatch(JOB_URL);
    expect(answer.header("retry-after")).toMatch(/^[1-9]\d*$/);
    expect(answer.header("content-type")).toBe("application/json");
    expect(answer.header("x-request-id")).toMatch(/^[0-9a-f]{32}$/);
    expect(answer.header("preference-applied")).toBeNull();
    const id = location.split("/").at(-1);
    expect(jsonObject(answer.text)).toEqual({
      id,
      status: "queued",
      links: { self: location, result: `${location}/result` },
    });
  });

  it("stands for a request that is delivered as it came, by the rules of a live one", async () => {
    const headers = {
      "x-request-id": "mine-1",
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "x-api-key": "acme-key",
      "x-tidegate-consumer": "somebody",
      "content-type": "application/x-thing",
      prefer: "respond-async",
      "x-kept": "kept",
    };
    const id = jobOf(
      await send(gateway, "/tasks/as%2Dit?a=1&b=%20", { method: "PUT", headers, body: "\u0001body" }),
    );
    const sent = await deliveredTo("/base/tasks/as%2Dit?a=1&b=%20");
    expect(sent).toMatchObject({ method: "PUT", body: "\u0001body" });
    expect(sent.headers).toMatchObject({
      "content-type": "application/x-thing",
      "content-length": "5",
      "x-kept": "kept",
      "x-request-id": "mine-1",
      "x-tidegate-consumer": "acme",
      "x-tidegate-tenant": "acme",
      "x-tidegate-class": "P1",
      via: "1.1 tidegate",
      "x-forwarded-proto": "http",
      "x-forwarded-host": new URL(gateway.url).host,
      "idempotency-key": id.slice(0, 32),
    });
    expect(sent.headers["traceparent"]).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)/);
    expect(sent.headers["x-api-key"]).toBeUndefined();
    expect(sent.headers["prefer"]).toBeUndefined();
    expect(Number(sent.headers["x-tidegate-deadline-ms"])).toBeGreaterThan(0);
  });

  it("stands for one that the route and then the queue rewrites", async () => {
    const headers = { "x-gone": "1" };
    const answer = await send(gateway, "/moved/a/b?q=1", { headers });
    expect(answer.header("x-answer")).toBe("edited");
    const sent = await deliveredTo("/base/in/m/a/b?q=1");
    expect(sent.headers["x-set"]).toBe("1");
    expect(sent.headers["x-gone"]).toBeUndefined();
  });

  it("is given to each of many at once, each with its own job", async () => {
    const before = Number((await queueCounts("work"))["accepted"]);
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, index) => send(gateway, `/tasks/many-${index}`, { body: `b${index}` })),
    );
    const ids = new Set(answers.map(jobOf));
    expect(ids.size).toBe(300);
    expect(Number((await queueCounts("work"))["accepted"])).toBe(before + 300);
    await until("all are delivered", DELIVERY_MS, () => manyDelivered().length >= 300);
    const bodies = manyDelivered().map(({ target, body }) => `${target.split("-")[1]}=${body.slice(1)}`);
    expect(new Set(bodies)).toEqual(new Set(Array.from({ length: 300 }, (_, index) => `${index}=${index}`)));
  });

  it("is given although another client of the same batch hangs up", async () => {
    const asked = Array.from({ length: 60 }, async (_, index) => {
      const signal = index % 3 === 0 ? AbortSignal.timeout(1 + (index % 5)) : null;
      const init = { method: "POST", body: "x", signal };
      return fetch(`${gateway.url}/tasks/hang-${index}`, init).then(
        (response) => response.status,
        () => 0,
      );
    });
    const statuses = await Promise.all(asked);
    const steady = statuses.filter((_, index) => index % 3 !== 0);
    expect(steady).toEqual(steady.map(() => 202));
  });

  it("counts as usage once it is stored", async () => {
    const read = async (): Promise<number> => {
      const path = "counters/taken?key=work";
      return Number(jsonObject((await askOperator(gateway, "GET", path)).text)["value"]);
    };
    const before = await settledCount(read);
    await send(gateway, "/tasks/counted");
    await until("it is counted", 5_000, async () => (await read()) > before);
    expect(await read()).toBe(before + 1);
  });
});

describe("idempotency keys", () => {
  it("give the same job for the same request, quoted or not, also when it is done", async () => {
    const first = await send(gateway, "/tasks/once", { headers: { "idempotency-key": '"once"' } });
    const again = await send(gateway, "/tasks/once", { headers: { "idempotency-key": "once" } });
    expect(again.status).toBe(202);
    expect(again.header("location")).toBe(first.header("location"));
    await jobWith(gateway, jobOf(first), "succeeded");
    const late = await send(gateway, "/tasks/once", { headers: { "idempotency-key": "once" } });
    expect(late.header("location")).toBe(first.header("location"));
    expect(jsonObject(late.text)).toMatchObject({ id: jobOf(first), status: "succeeded" });
    expect(late.header("retry-after")).toBeNull();
    expect(upstream.delivered.filter(({ target }) => target === "/base/tasks/once")).toHaveLength(1);
  });

  it("store one job for many at once; the others get it too, or are told to come again", async () => {
    const headers = { "idempotency-key": "burst" };
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => send(gateway, "/tasks/burst", { headers })),
    );
    const accepted = answers.filter(({ status }) => status === 202);
    expect(new Set(accepted.map(jobOf)).size).toBe(1);
    for (const answer of answers.filter(({ status }) => status !== 202)) {
      expectProblem(expect, answer, { status: 409, code: "idempotency_in_flight", waits: true });
    }
    await jobWith(gateway, jobOf(accepted[0]), "succeeded");
    expect(upstream.delivered.filter(({ target }) => target === "/base/tasks/burst")).toHaveLength(1);
  });

  it.for([
    ["another body", "/tasks/conflict", { body: "other" }],
    ["another path", "/tasks/conflict?x=1", {}],
    ["another method", "/tasks/conflict", { method: "PUT" }],
  ] as const)("refuse %s", async ([, path, changes]) => {
    const headers = { "idempotency-key": "conflict" };
    await send(gateway, "/tasks/conflict", { headers });
    const answer = await send(gateway, path, { headers, ...changes });
    expect(answer.header("location")).toBeNull();
    expectProblem(expect, answer, { status: 422, code: "idempotency_conflict", waits: false });
  });

  it("count within their route and tenant", async () => {
    const headers = { "idempotency-key": "scoped" };
    const own = { ...headers, "x-api-key": "acme-key" };
    const ids = [
      jobOf(await send(gateway, "/tasks/scoped", { headers })),
      jobOf(await send(gateway, "/tasks/scoped", { headers: own })),
      jobOf(await send(gateway, "/tight", { headers })),
    ];
    expect(new Set(ids).size).toBe(3);
  });

  it("are required where the queue says so", async () => {
    const answer = await send(gateway, "/strict");
    expectProblem(expect, answer, { status: 400, code: "idempotency_key_required", waits: false });
    expect((await send(gateway, "/strict", { headers: { "idempotency-key": "k" } })).status).toBe(202);
  });

  it.for(["", '""', '"a', "a, b", "x".repeat(257)])("are malformed: %s", async (key) => {
    const answer = await send(gateway, "/tasks/malformed", { headers: { "idempotency-key": key } });
    expect(answer.header("location")).toBeNull();
    expectProblem(expect, answer, { status: 400, code: "bad_request", waits: false });
  });
});

describe("preferences", () => {
  it("are confirmed: respond-async", async () => {
    const answer = await send(gateway, "/tasks/async", { headers: { prefer: "respond-async" } });
    expect([answer.status, answer.header("preference-applied")]).toEqual([202, "respond-async"]);
  });

  it("are confirmed: wait, with the upstream's answer where it is there in time", async () => {
    upstream.answers.set("/base/tasks/waited", 201);
    const answer = await send(gateway, "/tasks/waited", { headers: { prefer: "respond-async, wait=60" } });
    expect(answer.status).toBe(201);
    expect(answer.text).toBe("done /base/tasks/waited");
    expect(answer.header("x-worked")).toBe("yes");
    expect(answer.header("content-type")).toBe("text/plain");
    expect(answer.header("preference-applied")).toBe("wait=10");
  });

  it("are confirmed: wait, with an answer of the upstream that refuses", async () => {
    upstream.answers.set("/base/tasks/refused", 422);
    const answer = await send(gateway, "/tasks/refused", { headers: { prefer: "wait=10" } });
    expect([answer.status, answer.text]).toEqual([422, "done /base/tasks/refused"]);
  });

  it("end with 202 where the result is not there in time", async () => {
    const startedAt = performance.now();
    const answer = await send(gateway, "/critical", { headers: { prefer: "respond-async, wait=1" } });
    expect(performance.now() - startedAt).toBeGreaterThan(900);
    expect(answer.status).toBe(202);
    expect(answer.header("preference-applied")).toBe("respond-async, wait=1");
  });

  it("are passed over on a route to an upstream", async () => {
    const answer = await send(gateway, "/live", { headers: { prefer: "respond-async, wait=1" } });
    expect([answer.status, answer.header("preference-applied")]).toEqual([200, null]);
  });
});

describe("bodies", () => {
  it("beyond 96 KiB arrive whole", async () => {
    const body = Buffer.alloc(300 * KIB, "large and larger ");
    const id = jobOf(await send(gateway, "/tasks/large", { body }));
    const sent = await deliveredTo("/base/tasks/large");
    expect(sent.headers["content-length"]).toBe(String(body.length));
    expect(sent.body === body.toString("latin1")).toBe(true);
    await jobWith(gateway, id, "succeeded");
  });

  it("may be none", async () => {
    jobOf(await send(gateway, "/tasks/none", { body: "" }));
    expect((await deliveredTo("/base/tasks/none")).body).toBe("");
  });

  it("are bounded by the route", async () => {
    expect((await send(gateway, "/tight", { body: "x".repeat(KIB) })).status).toBe(202);
    const answer = await send(gateway, "/tight", { body: "x".repeat(KIB + 1) });
    const body = expectProblem(expect, answer, { status: 413, code: "body_too_large", waits: false });
    expect(body["limitBytes"]).toBe(KIB);
  });

  it("of unknown length are bounded by the route too", async () => {
    expect((await chunked(KIB)).status).toBe(202);
    expect((await chunked(KIB + 1)).status).toBe(413);
  });
});

describe("what every route has", () => {
  it("holds for queued ones: auth, limits, methods", async () => {
    const stranger = await send(gateway, "/members");
    expectProblem(expect, stranger, { status: 401, code: "unauthorized", waits: false });
    expect((await send(gateway, "/members", { headers: { "x-api-key": "acme-key" } })).status).toBe(202);
    const headers = { "x-who": "me" };
    const first = await send(gateway, "/limited", { headers });
    expect([first.status, first.header("ratelimit")]).toEqual([202, expect.stringMatching(/^"few";r=0/)]);
    const second = await send(gateway, "/limited", { headers });
    expectProblem(expect, second, { status: 429, code: "rate_limited", waits: true });
    const other = await send(gateway, "/strict", { method: "PUT" });
    expectProblem(expect, other, { status: 405, code: "method_not_allowed", waits: false });
  });

  it("explains itself to an operator", async () => {
    const headers = { "x-tidegate-admin": gateway.adminToken, "x-tidegate-explain": "1" };
    const answer = await send(gateway, "/tasks/why", { headers });
    expect(answer.header("x-tidegate-decision")).toMatch(
      /match=ok;.*queue=work.*,deadline=ok;remainingMs=30000.*,queue=accepted;queue=work/,
    );
    const refused = await send(gateway, "/strict", { headers });
    expect(refused.header("x-tidegate-decision")).toMatch(/,queue=idempotency_key_required;queue=strict/);
  });

  it("stores nothing for a client that has no time left", async () => {
    const answer = await send(gateway, "/tasks/late", { headers: { "x-tidegate-deadline-ms": "0" } });
    expectProblem(expect, answer, { status: 504, code: "deadline_exceeded", waits: false });
    expect(answer.header("location")).toBeNull();
  });
});

describe("a full queue", () => {
  it("refuses all but P0 from exactly its watermark on, and says for how long", async () => {
    for (let index = 0; index < 4; index++) expect((await send(gateway, "/small")).status).toBe(202);
    for (const path of ["/small", "/small/p2"]) {
      const answer = await send(gateway, path);
      const body = expectProblem(expect, answer, { status: 429, code: "backlog_full", waits: true });
      expect(Number(body["retryAfter"])).toBeGreaterThanOrEqual(1);
      expect(Number(body["retryAfter"])).toBeLessThanOrEqual(300);
    }
    expect(await queueState(gateway, "small")).toMatchObject({ depth: 4, lag: 4, rejecting: true });
  });

  it("costs few calls and stores nothing, and counts what was refused", async () => {
    await until("it refuses", 5_000, async () => (await send(gateway, "/small")).status === 429);
    const answers = await Promise.all(Array.from({ length: 50 }, () => send(gateway, "/small")));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 429));
    await until("it has heard of them", 5_000, async () => {
      await send(gateway, "/small");
      return Number((await queueCounts("small"))["rejected"]) >= 50;
    });
    expect(await queueState(gateway, "small")).toMatchObject({ depth: 4 });
  });

  it("takes again what it has room for", async () => {
    const jobs: string[] = [];
    const filled = async (): Promise<boolean> => {
      const answer = await send(gateway, "/ordinary");
      if (answer.status === 202) jobs.push(jobOf(answer));
      return answer.status === 429;
    };
    await until("it is full", 5_000, filled);
    // P0 has a quarter more room, which one request fills.
    const critical = [await send(gateway, "/critical"), await send(gateway, "/critical")];
    expect(critical.map(({ status }) => status)).toEqual([202, 429]);
    for (const id of jobs) {
      const answer = await askOperator(gateway, "DELETE", `jobs/${id}`);
      expect([200, 409]).toContain(answer.status);
    }
    await until("it takes again", 10_000, async () => (await send(gateway, "/ordinary")).status === 202);
  });
});

function manyDelivered(): WorkUpstream["delivered"] {
  return upstream.delivered.filter(({ target }) => target.startsWith("/base/tasks/many-"));
}

async function queueCounts(queue: string): Promise<ReturnType<typeof jsonObject>> {
  return jsonObject(JSON.stringify((await queueState(gateway, queue))["counts"]));
}

/** Twice the same: what was begun has arrived. */
async function settledCount(read: () => Promise<number>): Promise<number> {
  let last = -1;
  await until("the counter stands still", 10_000, async () => {
    const before = last;
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    last = await read();
    return last === before;
  });
  return last;
}

function chunked(bytes: number): Promise<Response> {
  const stream = new Blob(["x".repeat(bytes)]).stream();
  const init: RequestInit & { duplex: "half" } = { method: "POST", body: stream, duplex: "half" };
  return fetch(`${gateway.url}/tight`, init);
}
