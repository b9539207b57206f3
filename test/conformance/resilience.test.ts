// Breakers, retries, bulkheads and deadlines from outside: what an upstream gets to see, and what its
// clients do.
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import {
  startGateway,
  startUpstream,
  until,
  type RunningGateway,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { expectProblem, jsonObject, parseDecision, readAnswer, type Answer } from "./support/problems.ts";
import { upstreamView } from "./support/state.ts";

const SLOW_MS = 60;

let gateway: RunningGateway;
let upstream: RunningUpstream;
/** What the upstream does with the next requests; set by each test. */
let behave: (request: IncomingMessage, response: ServerResponse, body: string) => void;

const always = (status: number) => (_: IncomingMessage, response: ServerResponse) =>
  void response.writeHead(status).end(`${status}`);

beforeAll(async () => {
  upstream = await startUpstream((request, response) => {
    const chunks: Buffer[] = [];
    request.on("error", () => {});
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => behave(request, response, Buffer.concat(chunks).toString()));
  });
  const quickly = { openFor: "150ms", maxOpenFor: "300ms", rampUp: "300ms" };
  const forLong = { openFor: "60s", maxOpenFor: "60s" };
  const breakers: Record<string, object | false> = {
    consecutive: { ...forLong, consecutive: 3, minimumCalls: 1000 },
    rate: { ...forLong, consecutive: 1000, minimumCalls: 10, failureRate: 0.5 },
    harmless: { ...forLong, consecutive: 2, minimumCalls: 2, failureRate: 0.1 },
    slow: { ...forLong, slowCall: "30ms", slowCallRate: 0.8, minimumCalls: 10 },
    "not-slow": { ...forLong, slowCall: "30ms", slowCallRate: 0.8, minimumCalls: 10 },
    healing: { ...quickly, consecutive: 3, probes: 2 },
    relapsing: { ...quickly, consecutive: 3, probes: 2 },
    timing: { ...forLong, consecutive: 3 },
    off: false,
  };
  const calm = Object.entries(breakers).map(([name, breaker]) => [
    name,
    { targets: [upstream.url], breaker, retry: false, ...(name === "timing" ? { timeout: "100ms" } : {}) },
  ]);
  const retrying = { targets: [upstream.url], breaker: false };
  const upstreams: Record<string, object> = {
    ...Object.fromEntries(calm),
    retrying,
    thrice: { ...retrying, retry: { attempts: 3, delay: "5ms" } },
    tight: { ...retrying, retry: { attempts: 2, delay: 0, budget: 0.1 } },
    lingering: retrying,
    queueing: {
      targets: [upstream.url],
      retry: false,
      concurrency: { max: 1, adaptive: false, waiting: 2, maxWait: "3s" },
    },
    impatient: {
      targets: [upstream.url],
      retry: false,
      concurrency: { max: 1, adaptive: false, waiting: 5, maxWait: "80ms" },
    },
  };
  gateway = await startGateway({
    config: {
      upstreams,
      routes: Object.keys(upstreams).map((name) => ({ path: `/${name}/*`, upstream: name, priority: "P0" })),
    },
  });
});

afterAll(async () => {
  await gateway?.stop();
  await upstream?.stop();
});

beforeEach(() => {
  upstream.requests.length = 0;
  behave = always(200);
});

async function ask(path: string, init: RequestInit = {}): Promise<Answer> {
  return readAnswer(await fetch(gateway.url + path, init));
}

async function statuses(count: number, path: string, init: RequestInit = {}): Promise<readonly number[]> {
  const seen: number[] = [];
  for (let index = 0; index < count; index++) seen.push((await ask(path, init)).status);
  return seen;
}

function codeOf(answer: Answer): unknown {
  return answer.header("content-type") === "application/problem+json"
    ? jsonObject(answer.text)["code"]
    : null;
}

describe("a breaker", () => {
  it("opens after so many failures in a row, whatever the minimum of calls says", async ({ expect }) => {
    await ask("/consecutive/x");
    behave = always(500);
    expect(await statuses(2, "/consecutive/x")).toEqual([500, 500]);
    behave = always(200);
    await ask("/consecutive/x");
    behave = always(503);
    expect(await statuses(3, "/consecutive/x")).toEqual([503, 503, 503]);
    upstream.requests.length = 0;
    expectProblem(expect, await ask("/consecutive/x"), {
      code: "circuit_open",
      status: 503,
      waits: true,
      upstream: "consecutive",
    });
    expect(upstream.requests).toEqual([]);
  });

  it("opens on the share of failures, and not before the minimum of calls", async ({ expect }) => {
    let count = 0;
    behave = (request, response) => always(count++ % 2 === 0 ? 500 : 200)(request, response);
    const seen = await statuses(9, "/rate/x");
    expect(seen.filter((status) => status === 500)).toHaveLength(5);
    expect((await upstreamView(gateway, "rate")).breaker.phase).toBe("closed");
    await statuses(3, "/rate/x");
    expect(codeOf(await ask("/rate/x"))).toBe("circuit_open");
  });

  it.for([400, 401, 403, 404, 408, 409, 422, 425, 429, 499])(
    "takes %i for an answer",
    async (status, { expect }) => {
      behave = always(status);
      expect(await statuses(6, "/harmless/x")).toEqual(Array.from({ length: 6 }, () => status));
      expect((await upstreamView(gateway, "harmless")).breaker.phase).toBe("closed");
    },
  );

  it("opens on timeouts", async ({ expect }) => {
    behave = (_, response) => void setTimeout(() => response.end(), 400);
    expect(await statuses(3, "/timing/x")).toEqual([504, 504, 504]);
    expect(codeOf(await ask("/timing/x"))).toBe("circuit_open");
    expect((await upstreamView(gateway, "timing")).window).toMatchObject({ failLocal: 3, failRemote: 0 });
  });

  it("opens on slow calls without errors, where it is told to", async ({ expect }) => {
    behave = (_, response) => void setTimeout(() => response.end("ok"), SLOW_MS);
    const answers = await Promise.all(Array.from({ length: 12 }, () => ask("/slow/x")));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(codeOf(await ask("/slow/x"))).toBe("circuit_open");
    behave = always(200);
    await statuses(12, "/not-slow/x");
    expect((await ask("/not-slow/x")).status).toBe(200);
  });

  it("stays away where it is switched off", async ({ expect }) => {
    behave = always(500);
    expect(await statuses(25, "/off/x")).toEqual(Array.from({ length: 25 }, () => 500));
    expect((await upstreamView(gateway, "off")).breaker.phase).toBe("closed");
  });

  it("heals with an upstream that only takes POST", async ({ expect }) => {
    let isDown = true;
    behave = (request, response) => {
      if (isDown) request.socket.destroy();
      else always(request.method === "POST" ? 200 : 405)(request, response);
    };
    const post = { method: "POST", body: "{}" };
    expect(await statuses(3, "/healing/x", post)).toEqual([502, 502, 502]);
    expect((await upstreamView(gateway, "healing")).breaker.phase).toBe("open");
    isDown = false;
    await until("all traffic passes", 10_000, async () => {
      const seen = await statuses(20, "/healing/x", post);
      return seen.every((status) => status === 200);
    });
    expect((await upstreamView(gateway, "healing")).breaker.phase).toBe("closed");
    expect(upstream.requests.every(({ method }) => method === "POST")).toBe(true);
  });

  it("asks an upstream that is still down by single probes", async ({ expect }) => {
    behave = always(500);
    await statuses(3, "/relapsing/x");
    upstream.requests.length = 0;
    const endAt = Date.now() + 1500;
    while (Date.now() < endAt) await Promise.all(Array.from({ length: 5 }, () => ask("/relapsing/x")));
    // Open for 150 to 300 ms, a half at the least with jitter, and one probe each time.
    expect(upstream.requests.length).toBeGreaterThan(1);
    expect(upstream.requests.length).toBeLessThanOrEqual(20);
    const { generation, phase } = (await upstreamView(gateway, "relapsing")).breaker;
    expect(["open", "half-open"]).toContain(phase);
    expect(generation).toBeGreaterThan(2);
  });
});

/** Fails the first `failures` requests in this way and answers the rest with the body that came. */
function failing(failures: number, fail: (request: IncomingMessage, response: ServerResponse) => void): void {
  let count = 0;
  behave = (request, response, body) => {
    if (count++ < failures) fail(request, response);
    else response.end(`${request.method} ${body}`);
  };
}

function streamed(text: string): RequestInit {
  return { method: "PUT", body: new Blob([text]).stream(), duplex: "half" };
}

describe("a retry", () => {
  it.for([502, 503, 504])("follows a GET that got %i", async (status, { expect }) => {
    failing(1, always(status));
    expect((await ask("/retrying/x")).text).toBe("GET ");
    expect(upstream.requests).toHaveLength(2);
  });

  it.for(["PUT", "DELETE", "OPTIONS"])(
    "follows a lost connection of a %s, with the same body",
    async (method, { expect }) => {
      failing(1, (request) => request.socket.destroy());
      const body = method === "OPTIONS" ? {} : { body: "the same" };
      const answer = await ask("/retrying/x", { method, ...body });
      expect([answer.status, answer.text]).toEqual([
        200,
        `${method} ${method === "OPTIONS" ? "" : "the same"}`,
      ]);
      expect(upstream.requests).toHaveLength(2);
    },
  );

  it.for(["POST", "PATCH"])("does not follow a %s", async (method, { expect }) => {
    failing(1, always(503));
    expect((await ask("/retrying/x", { method, body: "once" })).status).toBe(503);
    expect(upstream.requests).toHaveLength(1);
  });

  it("follows a POST with an Idempotency-Key", async ({ expect }) => {
    failing(1, always(503));
    const answer = await ask("/retrying/x", {
      method: "POST",
      body: "keyed",
      headers: { "idempotency-key": '"k1"' },
    });
    expect(answer.text).toBe("POST keyed");
    expect(upstream.requests.map(({ headers }) => headers["idempotency-key"])).toEqual(['"k1"', '"k1"']);
    expect(new Set(upstream.requests.map(({ headers }) => headers["x-request-id"])).size).toBe(1);
  });

  it("repeats a streamed body exactly, while it is small", async ({ expect }) => {
    failing(1, always(503));
    const small = "äöü".repeat(1000);
    expect((await ask("/retrying/x", streamed(small))).text).toBe(`PUT ${small}`);
    failing(1, always(503));
    upstream.requests.length = 0;
    expect((await ask("/retrying/x", streamed("x".repeat(70_000)))).status).toBe(503);
    expect(upstream.requests).toHaveLength(1);
  });

  it("does not repeat a large body", async ({ expect }) => {
    failing(1, always(503));
    expect((await ask("/retrying/x", { method: "PUT", body: "x".repeat(65_537) })).status).toBe(503);
    expect(upstream.requests).toHaveLength(1);
    failing(1, always(503));
    upstream.requests.length = 0;
    expect((await ask("/retrying/x", { method: "PUT", body: "x".repeat(65_536) })).status).toBe(200);
    expect(upstream.requests).toHaveLength(2);
  });

  it.for([500, 501, 505, 400, 404, 429])("does not follow %i", async (status, { expect }) => {
    failing(1, always(status));
    expect((await ask("/retrying/x")).status).toBe(status);
    expect(upstream.requests).toHaveLength(1);
  });

  it("hands the last answer on as it came, after as many tries as are allowed", async ({ expect }) => {
    await statuses(30, "/thrice/x");
    upstream.requests.length = 0;
    behave = (_, response) => void response.writeHead(503, { "x-own": "1" }).end("own");
    const answer = await ask("/thrice/x");
    expect([answer.status, answer.text, answer.header("x-own")]).toEqual([503, "own", "1"]);
    expect(upstream.requests).toHaveLength(3);
  });

  it("never makes more than a tenth of the requests again", async ({ expect }) => {
    const originals = 300;
    const started = Date.now();
    behave = always(503);
    for (let round = 0; round < originals; round += 10) {
      await Promise.all(Array.from({ length: 10 }, () => ask("/tight/x")));
    }
    const seconds = (Date.now() - started) / 1000;
    // A tenth, and what the budget holds for quiet times: one a second over the 10 s that it looks back.
    expect(upstream.requests.length - originals).toBeLessThanOrEqual(originals * 0.1 + 10 + seconds);
  });

  it("is explained", async ({ expect }) => {
    await statuses(20, "/retrying/x");
    failing(1, always(503));
    const headers = { "x-tidegate-admin": gateway.adminToken, "x-tidegate-explain": "1" };
    const stages = parseDecision((await ask("/retrying/x", { headers })).header("x-tidegate-decision"));
    expect(stages.filter(({ stage }) => stage === "try").map(({ numbers }) => numbers["status"])).toEqual([
      "503",
      "200",
    ]);
    expect(stages.some(({ stage }) => stage === "retry")).toBe(true);
  });
});

function queued(name: string, urgency: number): Promise<Answer> {
  return ask("/queueing/x", { headers: { "x-name": name, priority: `u=${urgency}` } });
}

function untilWaiting(count: number): Promise<void> {
  return until("they wait", 3000, async () => (await upstreamView(gateway, "queueing")).waiting === count);
}

describe("a bulkhead", () => {
  it("lets the important wait, and the others make room", async ({ expect }) => {
    const release: (() => void)[] = [];
    const order: string[] = [];
    behave = (request, response) => {
      order.push(String(request.headers["x-name"]));
      release.push(() => response.end());
    };
    const first = queued("first", 0);
    await until("the permit is taken", 3000, () => order.length === 1);
    const old = queued("old-p2", 5);
    await untilWaiting(1);
    const young = queued("young-p2", 5);
    await untilWaiting(2);
    const important = queued("p0", 0);
    // Room for two: the newest of the least important goes.
    const evicted = await young;
    expectProblem(expect, evicted, { code: "concurrency_limit", status: 503, waits: true });
    const unimportant = await queued("p3", 7);
    expect(codeOf(unimportant)).toBe("concurrency_limit");
    for (let count = 1; count <= 3; count++) {
      await until("the next is upstream", 3000, () => order.length === count);
      release[count - 1]();
    }
    expect((await Promise.all([first, old, important])).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(order).toEqual(["first", "p0", "old-p2"]);
  });

  it("lets nobody wait longer than it says", async ({ expect }) => {
    behave = (_, response) => void setTimeout(() => response.end(), 600);
    const first = ask("/impatient/x");
    await until("the permit is taken", 3000, () => upstream.requests.length === 1);
    const started = performance.now();
    const second = await ask("/impatient/x");
    expect(performance.now() - started).toBeLessThan(400);
    expect(codeOf(second)).toBe("concurrency_limit");
    expect((await first).status).toBe(200);
    expect((await ask("/impatient/x")).status).toBe(200);
  });
});

describe("a deadline", () => {
  it("of the client's shortens the wait, and the upstream is told", async ({ expect }) => {
    behave = (_, response) => void setTimeout(() => response.end(), 1500);
    const started = performance.now();
    const answer = await ask("/off/x", { headers: { "x-tidegate-deadline-ms": "200" } });
    const tookMs = performance.now() - started;
    expectProblem(expect, answer, { code: "deadline_exceeded", status: 504, upstream: "off" });
    expect(tookMs).toBeGreaterThan(150);
    expect(tookMs).toBeLessThan(700);
    expect(Number(upstream.requests[0].headers["x-tidegate-deadline-ms"])).toBeLessThanOrEqual(200);
  });

  it("covers waiting and retries", async ({ expect }) => {
    behave = always(503);
    const started = performance.now();
    await ask("/thrice/x", { headers: { "x-tidegate-deadline-ms": "100" } });
    expect(performance.now() - started).toBeLessThan(500);
    const remaining = upstream.requests.map(({ headers }) => Number(headers["x-tidegate-deadline-ms"]));
    expect(remaining).toEqual(remaining.toSorted((one, other) => other - one));
  });

  it("ends at the response headers", async ({ expect }) => {
    behave = (_, response) => {
      response.write("begun ");
      setTimeout(() => response.end("and done"), 500);
    };
    const answer = await ask("/off/x", { headers: { "x-tidegate-deadline-ms": "200" } });
    expect([answer.status, answer.text]).toEqual([200, "begun and done"]);
  });

  it("that cannot be met costs the upstream nothing", async ({ expect }) => {
    behave = (_, response) => void setTimeout(() => response.end("ok"), 200);
    // Enough, and for long enough, to know the median.
    for (let round = 0; round < 4; round++) {
      await Promise.all(Array.from({ length: 20 }, () => ask("/lingering/x")));
    }
    upstream.requests.length = 0;
    const hopeless = await Promise.all(
      Array.from({ length: 5 }, () => ask("/lingering/x", { headers: { "x-tidegate-deadline-ms": "20" } })),
    );
    expect(hopeless.map(codeOf)).toEqual(Array.from({ length: 5 }, () => "deadline_exceeded"));
    expect(upstream.requests.length).toBeLessThan(5);
  });
});
