// Every problem that a client can meet, provoked for real: its status, its body, the fields that come with
// it, and what the gateway tells an operator about the stage that decided.
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { afterAll, beforeAll, describe, it } from "vitest";
import {
  startGateway,
  startUpstream,
  until,
  type RunningGateway,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { hashOfKey } from "./support/origin.ts";
import {
  expectProblem,
  parseDecision,
  readAnswer,
  type Answer,
  type ExpectedProblem,
} from "./support/problems.ts";
import { fieldOf, send, sendBytes, type RawAnswer } from "./support/raw-http.ts";

interface Init {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

const BODY_LIMIT = 1000;
const FALLBACK = {
  status: 200,
  headers: { "content-type": "application/json", "x-from": "fallback" },
  body: "[]",
};

let gateway: RunningGateway;
let upstream: RunningUpstream;
let odd: Server;
/** Answers of the slow upstream that are still out. */
const waiting: (() => void)[] = [];

beforeAll(async () => {
  upstream = await startUpstream((request, response) => {
    request.resume();
    const { pathname } = new URL(request.url ?? "/", "http://upstream");
    if (pathname.includes("/slow")) waiting.push(() => response.end("late"));
    else if (pathname.includes("/broken")) response.writeHead(500, { "x-own": "1" }).end("own error");
    else request.on("end", () => response.end("ok"));
  });
  odd = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (bytes) => {
      if (String(bytes).includes("/reset")) socket.resetAndDestroy();
      else if (String(bytes).includes("/garbage")) socket.end("SSH-2.0-OpenSSH_9.6\r\n");
      else if (String(bytes).includes("/empty")) socket.end();
      else socket.end("HTTP/1.1 600 Odd\r\nContent-Length: 3\r\nConnection: close\r\n\r\nodd");
    });
  });
  odd.listen(0, "127.0.0.1");
  await once(odd, "listening");
  gateway = await startGateway({ config: config(upstream.url, portOf(odd)) });
});

afterAll(async () => {
  for (const answer of waiting) answer();
  await gateway?.stop();
  await upstream?.stop();
  odd?.close();
});

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return address.port;
}

function config(url: string, oddPort: number): object {
  const once1 = { max: 1, adaptive: false, waiting: 0 };
  const calm = { breaker: false, retry: false };
  const withFallback = (path: string, name: string): object[] => [
    { path: `/fallback${path}`, upstream: name, fallback: FALLBACK, request: { path: "/*" } },
    { path, upstream: name, request: { path: "/*" } },
  ];
  return {
    upstreams: {
      main: { targets: [url], ...calm },
      slow: { targets: [url], timeout: "300ms", ...calm },
      patient: { targets: [url], ...calm },
      dead: { targets: ["http://127.0.0.1:1"], ...calm },
      unknown: { targets: ["http://no-such-host.invalid"], ...calm },
      odd: { targets: [`http://127.0.0.1:${oddPort}`], ...calm },
      narrow: { targets: [url], concurrency: once1, ...calm },
      tripped: {
        targets: [url],
        retry: false,
        breaker: { consecutive: 2, openFor: "60s", maxOpenFor: "60s" },
      },
      shared: { targets: [url], concurrency: { max: 4, adaptive: false, waiting: 0 }, ...calm },
    },
    consumers: {
      acme: { keys: [hashOfKey("acme")] },
      other: { keys: [hashOfKey("other")] },
      small: { keys: [hashOfKey("small")], tenant: "small" },
      sharer: { keys: [hashOfKey("sharer")], tenant: "sharer" },
    },
    tenants: { small: { concurrency: 1 }, sharer: { share: 0.25 } },
    limits: { few: { key: "header:x-caller", rate: 2, per: "1m", burst: 2 } },
    routes: [
      { path: "/locked/*", upstream: "main", auth: ["acme"] },
      { path: "/read", upstream: "main", methods: ["GET"] },
      { path: "/read", upstream: "main", methods: ["POST"] },
      { path: "/limited", upstream: "main", limits: ["few"], fallback: FALLBACK },
      { path: "/small-body/*", upstream: "main", bodyLimit: BODY_LIMIT, fallback: FALLBACK },
      { path: "/bulkhead/*", upstream: "patient", concurrency: { max: 1 }, request: { path: "/*" } },
      { path: "/tenant/*", upstream: "patient", auth: true, request: { path: "/*" } },
      { path: "/shared/*", upstream: "shared", request: { path: "/*" } },
      {
        path: "/deadline/*",
        upstream: "patient",
        deadline: "200ms",
        fallback: FALLBACK,
        request: { path: "/*" },
      },
      { path: "/short/*", upstream: "patient", deadline: "200ms", request: { path: "/*" } },
      ...["slow", "dead", "unknown", "odd", "narrow", "tripped", "main"].flatMap((name) =>
        withFallback(`/${name}/*`, name),
      ),
    ],
  };
}

async function ask(path: string, init: Init = {}): Promise<Answer> {
  return readAnswer(await fetch(gateway.url + path, init));
}

/** The same request, explained to an operator; gives the answer. */
async function askWhy(path: string, init: Init = {}): Promise<Answer> {
  const explain = { "x-tidegate-admin": gateway.adminToken, "x-tidegate-explain": "1" };
  return ask(path, { ...init, headers: { ...init.headers, ...explain } });
}

function fromRaw(answer: RawAnswer): Answer {
  return { status: answer.status, header: (name) => fieldOf(answer, name), text: answer.body.toString() };
}

/** Opens a request that the upstream does not answer yet; call the result to let it end. */
async function holdOpen(path: string, init: Init = {}): Promise<() => Promise<void>> {
  const before = waiting.length;
  const held = fetch(gateway.url + path, init);
  await until("the held request is upstream", 3000, () => waiting.length > before);
  return async () => {
    for (const answer of waiting.splice(0)) answer();
    await (await held).text();
  };
}

interface Case extends ExpectedProblem {
  readonly path: string;
  readonly init?: Init;
  /** Whether the deciding stage has numbers to show. */
  readonly numbers?: boolean;
}

const CASES: readonly Case[] = [
  { code: "bad_path", status: 400, waits: false, path: "/main/%2e%2e%2fx" },
  { code: "route_not_found", status: 404, waits: false, path: "/nowhere" },
  { code: "method_not_allowed", status: 405, waits: false, path: "/read", init: { method: "DELETE" } },
  { code: "unauthorized", status: 401, waits: false, path: "/locked/x" },
  {
    code: "unauthorized",
    status: 401,
    waits: false,
    path: "/locked/x",
    init: { headers: { "x-api-key": "nobody" } },
  },
  {
    code: "forbidden",
    status: 403,
    waits: false,
    path: "/locked/x",
    init: { headers: { "x-api-key": "other" } },
  },
  {
    code: "loop_detected",
    status: 508,
    waits: false,
    path: "/main/x",
    init: { headers: { via: "1.1 tidegate" } },
  },
  {
    code: "headers_too_large",
    status: 431,
    waits: false,
    path: "/main/x",
    init: { headers: { "x-big": "x".repeat(70_000) } },
    numbers: true,
  },
  {
    code: "body_too_large",
    status: 413,
    waits: false,
    path: "/small-body/x",
    init: { method: "POST", body: "x".repeat(BODY_LIMIT + 1) },
    numbers: true,
  },
  { code: "upstream_unreachable", status: 502, upstream: "dead", path: "/dead/x" },
  { code: "upstream_unreachable", status: 502, upstream: "unknown", path: "/unknown/x" },
  { code: "upstream_unreachable", status: 502, upstream: "odd", path: "/odd/reset" },
  { code: "upstream_unreachable", status: 502, upstream: "odd", path: "/odd/empty" },
  { code: "upstream_unreachable", status: 502, upstream: "odd", path: "/odd/garbage" },
  { code: "upstream_invalid", status: 502, upstream: "odd", path: "/odd/status" },
  { code: "upstream_timeout", status: 504, upstream: "slow", path: "/slow/slow", numbers: true },
  { code: "deadline_exceeded", status: 504, upstream: "patient", path: "/short/slow", numbers: true },
  {
    code: "deadline_exceeded",
    status: 504,
    path: "/main/x",
    init: { headers: { "x-tidegate-deadline-ms": "0" } },
    numbers: true,
  },
];

describe("problems", () => {
  it.for(CASES)("$code ($status): $path", async (expected, { expect }) => {
    const answer = await ask(expected.path, expected.init);
    expectProblem(expect, answer, expected);
    expect(answer.header("x-tidegate-decision")).toBeNull();
  });

  it.for(CASES)("$code ($status) explains itself: $path", async (expected, { expect }) => {
    const answer = await askWhy(expected.path, expected.init);
    expectProblem(expect, answer, expected);
    const deciding = parseDecision(answer.header("x-tidegate-decision")).at(-1);
    expect(deciding?.verdict).toBe(expected.code);
    if (expected.numbers === true) expect(Object.keys(deciding?.numbers ?? {})).not.toEqual([]);
  });

  it("bad_request: a Host that is no host", async ({ expect }) => {
    const fields = [
      ["X-Tidegate-Admin", gateway.adminToken],
      ["X-Tidegate-Explain", "1"],
    ] as const;
    const answer = fromRaw(
      await send(gateway.url, { target: "/main/x", host: "x/_gateway/health?", fields }),
    );
    expectProblem(expect, answer, { code: "bad_request", status: 400, waits: false });
    expect(parseDecision(answer.header("x-tidegate-decision")).at(-1)?.verdict).toBe("bad_request");
  });

  it("headers_too_large: many small fields", async ({ expect }) => {
    const fields = Array.from({ length: 2000 }, (_, index) => [`x-field-${index}`, "x".repeat(40)] as const);
    const answer = fromRaw(await send(gateway.url, { target: "/main/x", fields }));
    expectProblem(expect, answer, { code: "headers_too_large", status: 431, waits: false });
    // 16 KiB are as much as the upstream takes.
    const fits = await send(gateway.url, { target: "/main/x", fields: fields.slice(0, 250) });
    expect(fits.status).toBe(200);
  });

  it("method_not_allowed says what is allowed", async ({ expect }) => {
    const answer = await ask("/read", { method: "DELETE" });
    const allowed =
      answer
        .header("allow")
        ?.split(",")
        .map((method) => method.trim()) ?? [];
    expect(allowed.toSorted()).toEqual(["GET", "HEAD", "POST"]);
  });

  it("unauthorized says how to ask", async ({ expect }) => {
    const answer = await ask("/locked/x");
    expect(answer.header("www-authenticate")).toMatch(/^[A-Za-z-]+( |$)/);
    expect((await ask("/locked/x", { headers: { "x-api-key": "acme" } })).status).toBe(200);
  });

  it("a problem of a HEAD request has the fields and no body", async ({ expect }) => {
    const answer = await send(gateway.url, { method: "HEAD", target: "/nowhere" });
    expect(answer.status).toBe(404);
    expect(fieldOf(answer, "content-type")).toBe("application/problem+json");
    expect(fieldOf(answer, "x-request-id")).not.toBeNull();
  });

  it("keeps the client's request id", async ({ expect }) => {
    const answer = await ask("/nowhere", { headers: { "x-request-id": "mine-1" } });
    expectProblem(expect, answer, { code: "route_not_found", status: 404, waits: false });
    expect(answer.header("x-request-id")).toBe("mine-1");
  });
});

describe("body_too_large", () => {
  it("is counted while it streams", async ({ expect }) => {
    const chunk = `${(400).toString(16)}\r\n${"x".repeat(400)}\r\n`;
    const head = "POST /small-body/x HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n";
    const over = fromRaw(await sendBytes(gateway.url, Buffer.from(`${head}${chunk.repeat(3)}0\r\n\r\n`)));
    expectProblem(expect, over, { code: "body_too_large", status: 413, waits: false });
    const fits = await sendBytes(gateway.url, Buffer.from(`${head}${chunk.repeat(2)}0\r\n\r\n`));
    expect(fits.status).toBe(200);
  });

  it("takes exactly the limit", async ({ expect }) => {
    expect((await ask("/small-body/x", { method: "POST", body: "x".repeat(BODY_LIMIT) })).status).toBe(200);
  });

  it("reaches nobody when the length says it", async ({ expect }) => {
    upstream.requests.length = 0;
    await ask("/small-body/x", { method: "POST", body: "x".repeat(BODY_LIMIT + 1) });
    expect(upstream.requests).toEqual([]);
  });
});

describe("rate_limited", () => {
  it("names the limit, when to come back, and counts", async ({ expect }) => {
    const headers = { "x-caller": "problems" };
    for (let count = 0; count < 2; count++) expect((await ask("/limited", { headers })).status).toBe(200);
    const answer = await askWhy("/limited", { headers });
    const body = expectProblem(expect, answer, { code: "rate_limited", status: 429, waits: true });
    expect(body["policy"]).toBe("few");
    // Both were used just now, so the window has to pass.
    expect(Number(answer.header("retry-after"))).toBeGreaterThanOrEqual(58);
    expect(Number(answer.header("retry-after"))).toBeLessThanOrEqual(60);
    expect(answer.header("ratelimit")).toMatch(/^"few";r=0;t=\d+$/);
    expect(answer.header("ratelimit-policy")).toBe('"few";q=2;w=60');
    const deciding = parseDecision(answer.header("x-tidegate-decision")).at(-1);
    expect(deciding).toMatchObject({ verdict: "rate_limited", numbers: { policy: "few" } });
  });
});

describe("concurrency_limit", () => {
  const full = { code: "concurrency_limit", status: 503, waits: true } as const;

  it("of the upstream", async ({ expect }) => {
    const release = await holdOpen("/narrow/slow");
    const answer = await askWhy("/narrow/x");
    const fallback = await ask("/fallback/narrow/x");
    await release();
    expectProblem(expect, answer, { ...full, upstream: "narrow" });
    const deciding = parseDecision(answer.header("x-tidegate-decision")).at(-1);
    expect(deciding).toMatchObject({ verdict: "concurrency_limit", numbers: { inflight: "1", limit: "1" } });
    expectFallback(expect, fallback);
    expect((await ask("/narrow/x")).status).toBe(200);
  });

  it("of the route", async ({ expect }) => {
    const release = await holdOpen("/bulkhead/slow");
    const answer = await askWhy("/bulkhead/x");
    await release();
    expectProblem(expect, answer, full);
    expect(parseDecision(answer.header("x-tidegate-decision")).at(-1)?.verdict).toBe("concurrency_limit");
    expect((await ask("/bulkhead/x")).status).toBe(200);
  });

  it("of the tenant is 429 and the caller's own doing", async ({ expect }) => {
    const headers = { "x-api-key": "small" };
    const release = await holdOpen("/tenant/slow", { headers });
    const answer = await askWhy("/tenant/x", { headers });
    const others = await ask("/tenant/x", { headers: { "x-api-key": "acme" } });
    await release();
    expectProblem(expect, answer, { ...full, status: 429 });
    expect(parseDecision(answer.header("x-tidegate-decision")).at(-1)?.verdict).toBe("concurrency_limit");
    expect(others.status).toBe(200);
    expect((await ask("/tenant/x", { headers })).status).toBe(200);
  });

  it("of the tenant's share of an upstream is 429 too", async ({ expect }) => {
    const headers = { "x-api-key": "sharer" };
    // A quarter of 4 permits.
    const release = await holdOpen("/shared/slow", { headers });
    const answer = await ask("/shared/x", { headers });
    const nobody = await ask("/shared/x");
    await release();
    expectProblem(expect, answer, { ...full, status: 429 });
    expect(nobody.status).toBe(200);
  });
});

describe("circuit_open", () => {
  it("comes after the upstream's own errors, which pass, and says how long", async ({ expect }) => {
    for (let count = 0; count < 2; count++) {
      const own = await ask("/tripped/broken");
      expect([own.status, own.text, own.header("x-own")]).toEqual([500, "own error", "1"]);
    }
    const answer = await askWhy("/tripped/x");
    expectProblem(expect, answer, { code: "circuit_open", status: 503, waits: true, upstream: "tripped" });
    const seconds = Number(answer.header("retry-after"));
    expect(seconds).toBeGreaterThan(20);
    expect(seconds).toBeLessThanOrEqual(90);
    const deciding = parseDecision(answer.header("x-tidegate-decision")).at(-1);
    expect(deciding).toMatchObject({ verdict: "circuit_open", numbers: { phase: "open" } });
    expectFallback(expect, await ask("/fallback/tripped/x"));
  });
});

describe("shed", () => {
  it("refuses the less important when the upstream is full", async ({ expect }) => {
    let shed: Answer | null = null;
    const hurry = { priority: "u=7" };
    // Each tick that sees many more arrivals than answers lowers the cursor; 3 s are half a dozen ticks.
    const release = await holdOpen("/narrow/slow");
    await until("something is shed", 8000, async () => {
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => askWhy("/narrow/x", { headers: hurry })),
      );
      shed = answers.find(({ text }) => text.includes('"shed"')) ?? null;
      return shed !== null;
    });
    await release();
    if (shed === null) throw new Error("nothing was shed");
    const answer: Answer = shed;
    expectProblem(expect, answer, { code: "shed", status: 503, waits: true, upstream: "narrow" });
    const { verdict, numbers = {} } = parseDecision(answer.header("x-tidegate-decision")).at(-1) ?? {};
    expect(verdict).toBe("shed");
    expect(Number(numbers["level"])).toBeGreaterThanOrEqual(Number(numbers["cursor"]));
  });
});

function expectFallback(expect: Parameters<typeof expectProblem>[0], answer: Answer): void {
  expect([answer.status, answer.text]).toEqual([200, "[]"]);
  expect(answer.header("content-type")).toBe("application/json");
  expect(answer.header("x-from")).toBe("fallback");
  expect(answer.header("x-request-id")).toMatch(/^[A-Za-z0-9._-]{1,128}$/);
}

describe("fallback", () => {
  it.for([
    "/fallback/dead/x",
    "/fallback/odd/status",
    "/fallback/odd/reset",
    "/fallback/slow/slow",
    "/deadline/slow",
  ])("answers for %s", async (path, { expect }) => {
    const answer = await askWhy(path);
    expectFallback(expect, answer);
    const verdicts = parseDecision(answer.header("x-tidegate-decision")).map(({ verdict }) => verdict);
    expect(verdicts.some((verdict) => /^(upstream_|deadline_)/.test(verdict))).toBe(true);
  });

  it("does not hide what the caller did, nor the upstream's own errors", async ({ expect }) => {
    const headers = { "x-caller": "fallback" };
    for (let count = 0; count < 2; count++) await ask("/limited", { headers });
    expect((await ask("/limited", { headers })).status).toBe(429);
    expect((await ask("/small-body/x", { method: "POST", body: "x".repeat(BODY_LIMIT + 1) })).status).toBe(
      413,
    );
    expect((await ask("/fallback/main/broken")).status).toBe(500);
  });

  it("answers HEAD without a body", async ({ expect }) => {
    const answer = await send(gateway.url, { method: "HEAD", target: "/fallback/dead/x" });
    expect(answer.status).toBe(200);
    expect(fieldOf(answer, "x-from")).toBe("fallback");
  });
});

describe("explaining", () => {
  it("tells nothing without the right token", async ({ expect }) => {
    for (const token of ["", "wrong", `${gateway.adminToken}x`, gateway.adminToken.slice(1)]) {
      for (const path of ["/main/x", "/nowhere"]) {
        const answer = await ask(path, { headers: { "x-tidegate-admin": token, "x-tidegate-explain": "1" } });
        expect(answer.header("x-tidegate-decision"), token).toBeNull();
      }
    }
    const unasked = await ask("/main/x", { headers: { "x-tidegate-admin": gateway.adminToken } });
    expect(unasked.header("x-tidegate-decision")).toBeNull();
  });

  it("tells of every stage that a good request passed", async ({ expect }) => {
    const answer = await askWhy("/limited", { headers: { "x-caller": "explained" } });
    expect(answer.status).toBe(200);
    const stages = parseDecision(answer.header("x-tidegate-decision"));
    expect(stages.length).toBeGreaterThanOrEqual(6);
    expect(stages.find(({ stage }) => stage === "limit")?.numbers).toMatchObject({
      policy: "few",
      remaining: "1",
    });
    expect(stages.find(({ stage }) => stage === "shed")?.numbers).toHaveProperty("cursor");
    expect(stages.find(({ stage }) => stage === "match")?.numbers).toHaveProperty("upstream", "main");
  });
});
