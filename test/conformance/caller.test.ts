// Who asks, how it is called, how much it matters and how long it may take: what the gateway finds out about
// a request and tells the upstream, and that no client can say it in its place.
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import {
  startGateway,
  startUpstream,
  type RunningGateway,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { arrivingAt, type Arrival, type Fields } from "./support/arrival.ts";
import { hashOfKey, linesOf } from "./support/origin.ts";
import { fieldOf } from "./support/raw-http.ts";

const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID = "00f067aa0ba902b7";
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-0[0-3]$/;
const ROUTE_DEADLINE_MS = 20_000;

let gateway: RunningGateway;
let upstream: RunningUpstream;
/** What the upstream adds to its next answers. */
let answerFields: Record<string, string | string[]> = {};

beforeAll(async () => {
  upstream = await startUpstream((request: IncomingMessage, response: ServerResponse) => {
    request.resume();
    response.writeHead(200, answerFields).end("ok");
  });
  const config = {
    upstreams: { main: { targets: [upstream.url] } },
    consumers: {
      acme: { keys: [hashOfKey("acme-key")], tenant: "acme" },
      batch: { keys: [hashOfKey("batch-key")], priority: "P2" },
      loud: { keys: ["env:LOUD_KEY"], priority: "P0" },
    },
    tenants: { acme: { share: 0.5 } },
    routes: [
      { path: "/p0/*", upstream: "main", priority: "P0" },
      { path: "/p3/*", upstream: "main", priority: "P3" },
      { path: "/locked/*", upstream: "main", auth: true },
      { path: "/*", upstream: "main", deadline: ROUTE_DEADLINE_MS },
    ],
  };
  gateway = await startGateway({ config, args: ["--env", "LOUD_KEY=loud-key"] });
});

afterAll(async () => {
  await gateway?.stop();
  await upstream?.stop();
});

beforeEach(() => {
  answerFields = {};
  upstream.requests.length = 0;
});

function arriving(fields: Fields, target?: string, method?: string): Promise<Arrival> {
  return arrivingAt(gateway, upstream, fields, target, method);
}

describe("the request's id", () => {
  it.for(["a", "abc.DEF_1-2", "x".repeat(128)])("is kept: %s", async (id, { expect }) => {
    const { headers, answer } = await arriving([["X-Request-Id", id]]);
    expect(headers["x-request-id"]).toBe(id);
    expect(fieldOf(answer, "x-request-id")).toBe(id);
  });

  it.for(["", "x".repeat(129), "a b", "a,b", "a/b", 'a"', "ä", "<script>"])(
    "is made anew for %j",
    async (id, { expect }) => {
      const { headers, answer } = await arriving([["X-Request-Id", id]]);
      expect(headers["x-request-id"]).toMatch(/^[A-Za-z0-9._-]{8,128}$/);
      expect(fieldOf(answer, "x-request-id")).toBe(headers["x-request-id"]);
    },
  );

  it("is one, where a client sends two or the upstream answers with its own", async ({ expect }) => {
    answerFields = { "x-request-id": "of-the-upstream" };
    const request = await arriving([
      ["X-Request-Id", "one"],
      ["X-Request-Id", "two"],
    ]);
    expect(linesOf(request, "x-request-id")).toHaveLength(1);
    expect(fieldOf(request.answer, "x-request-id")).toBe(linesOf(request, "x-request-id")[0]);
  });

  it("differs from request to request", async ({ expect }) => {
    const ids = new Set<unknown>();
    for (let count = 0; count < 20; count++) ids.add((await arriving([])).headers["x-request-id"]);
    expect(ids.size).toBe(20);
  });
});

// https://www.w3.org/TR/trace-context-1/
describe("the trace", () => {
  it.for([
    [`00-${TRACE_ID}-${PARENT_ID}-01`, "01"],
    [`00-${TRACE_ID}-${PARENT_ID}-00`, "00"],
    [`cc-${TRACE_ID}-${PARENT_ID}-01-what-the-future-brings`, "01"],
  ])("goes on with %s", async ([traceparent, flags], { expect }) => {
    const { headers } = await arriving([
      ["Traceparent", traceparent],
      ["Tracestate", "congo=t61rcWkgMzE,rojo=1"],
    ]);
    const sent = String(headers["traceparent"]);
    expect(TRACEPARENT.exec(sent)?.[1]).toBe(TRACE_ID);
    expect(sent.endsWith(flags)).toBe(true);
    expect(headers["tracestate"]).toBe("congo=t61rcWkgMzE,rojo=1");
  });

  it.for([
    "",
    "nonsense",
    `00-${TRACE_ID}-${PARENT_ID}`,
    `ff-${TRACE_ID}-${PARENT_ID}-01`,
    `00-${"0".repeat(32)}-${PARENT_ID}-01`,
    `00-${TRACE_ID}-${"0".repeat(16)}-01`,
    `00-${TRACE_ID.toUpperCase()}-${PARENT_ID}-01`,
    `00-${TRACE_ID}-${PARENT_ID}-01-extra`,
    `00-${TRACE_ID}-${PARENT_ID}-01, 00-${TRACE_ID}-${PARENT_ID}-01`,
  ])("begins anew with %j", async (traceparent, { expect }) => {
    const request = await arriving([
      ["Traceparent", traceparent],
      ["Tracestate", "congo=t61rcWkgMzE"],
    ]);
    const [sent, ...more] = linesOf(request, "traceparent");
    expect(more).toEqual([]);
    const [, traceId, spanId] = TRACEPARENT.exec(sent) ?? [];
    expect(traceId).not.toBe(TRACE_ID);
    expect([traceId, spanId]).not.toContain(undefined);
    // 4.3: a trace that could not be read takes its state along.
    expect(linesOf(request, "tracestate")).toEqual([]);
  });

  it("is made where there is none", async ({ expect }) => {
    const { headers } = await arriving([]);
    expect(headers["traceparent"]).toMatch(TRACEPARENT);
    expect(headers["tracestate"]).toBeUndefined();
  });
});

describe("what the gateway says about the caller", () => {
  it("cannot be said by the client", async ({ expect }) => {
    const { headers } = await arriving([
      ["X-Tidegate-Consumer", "root"],
      ["X-Tidegate-Tenant", "root"],
      ["X-Tidegate-Class", "P0"],
      ["X-Tidegate-Anything", "1"],
      ["X-Tidegate-Admin", "guess"],
      ["X-Tidegate-Explain", "1"],
    ]);
    const own = Object.entries(headers).filter(([name]) => name.startsWith("x-tidegate-"));
    expect(own).toEqual([
      ["x-tidegate-class", "P1"],
      ["x-tidegate-deadline-ms", expect.stringMatching(/^\d+$/)],
    ]);
  });

  it("is the consumer with its tenant, once the key matches; the key goes", async ({ expect }) => {
    const { headers } = await arriving([
      ["X-Api-Key", "acme-key"],
      ["X-Tidegate-Consumer", "root"],
    ]);
    expect(headers["x-tidegate-consumer"]).toBe("acme");
    expect(headers["x-tidegate-tenant"]).toBe("acme");
    expect(headers["x-api-key"]).toBeUndefined();
  });

  it("knows a consumer by a key that is a secret of the Worker", async ({ expect }) => {
    const { headers } = await arriving([["X-Api-Key", "loud-key"]]);
    expect(headers["x-tidegate-consumer"]).toBe("loud");
    expect(headers["x-tidegate-tenant"]).toBeUndefined();
    expect(headers["x-api-key"]).toBeUndefined();
  });

  it("is nothing for a key of nobody, which passes", async ({ expect }) => {
    const { headers, answer } = await arriving([["X-Api-Key", "of-the-upstream"]]);
    expect(answer.status).toBe(200);
    expect(headers["x-api-key"]).toBe("of-the-upstream");
    expect(headers["x-tidegate-consumer"]).toBeUndefined();
  });

  it("leaves authorization to the upstream", async ({ expect }) => {
    const plain = await arriving([["Authorization", "Bearer of-the-upstream"]]);
    expect(plain.headers["authorization"]).toBe("Bearer of-the-upstream");
    const keyed = await arriving(
      [
        ["Authorization", "Bearer acme-key"],
        ["X-Api-Key", "acme-key"],
      ],
      "/locked/x",
    );
    expect(keyed.headers["authorization"]).toBe("Bearer acme-key");
  });

  it("removes the admin token and explains to its owner", async ({ expect }) => {
    const { headers, answer } = await arriving([
      ["X-Tidegate-Admin", gateway.adminToken],
      ["X-Tidegate-Explain", "1"],
    ]);
    expect(headers["x-tidegate-admin"]).toBeUndefined();
    expect(headers["x-tidegate-explain"]).toBeUndefined();
    expect(fieldOf(answer, "x-tidegate-decision")).toMatch(/^\w+=/);
    expect(fieldOf(answer, "x-tidegate-decision")).not.toContain(gateway.adminToken);
  });
});

describe("the class", () => {
  it.for([
    ["/x", [], "P1"],
    ["/p0/x", [], "P0"],
    ["/p3/x", [], "P3"],
    ["/p0/x", [["Priority", "u=0"]], "P0"],
    ["/p0/x", [["Priority", "u=1, i"]], "P0"],
    ["/p0/x", [["Priority", "u=2"]], "P1"],
    ["/p0/x", [["Priority", "u=3"]], "P1"],
    ["/p0/x", [["Priority", "u=4"]], "P2"],
    ["/p0/x", [["Priority", "i, u=5"]], "P2"],
    ["/p0/x", [["Priority", "u=6"]], "P3"],
    ["/p0/x", [["Priority", "u=7"]], "P3"],
    ["/x", [["Priority", "u=0"]], "P1"],
    ["/p3/x", [["Priority", "u=0"]], "P3"],
    ["/p0/x", [["Priority", "i"]], "P0"],
    ["/p0/x", [["Priority", "u=9"]], "P0"],
    ["/p0/x", [["Priority", "not ; valid ="]], "P0"],
    [
      "/p0/x",
      [
        ["Priority", "u=7"],
        ["Priority", "u=0"],
      ],
      "P0",
    ],
    ["/p0/x", [["X-Api-Key", "batch-key"]], "P2"],
    ["/p3/x", [["X-Api-Key", "loud-key"]], "P3"],
    ["/p0/x", [["X-Api-Key", "acme-key"]], "P0"],
    [
      "/p0/x",
      [
        ["X-Api-Key", "batch-key"],
        ["Priority", "u=7"],
      ],
      "P3",
    ],
    ["/p0/x", [["X-Tidegate-Class", "P3"]], "P0"],
  ] as const)("of %s with %j is %s", async ([target, fields, expected], { expect }) => {
    const { headers } = await arriving(fields, target);
    expect(headers["x-tidegate-class"]).toBe(expected);
  });

  it("leaves the client's Priority to the upstream", async ({ expect }) => {
    const { headers } = await arriving([["Priority", "u=5, i"]]);
    expect(headers["priority"]).toBe("u=5, i");
  });
});

/** The remaining ms that arrive upstream. */
async function sentFor(inbound: Fields, target = "/x"): Promise<number> {
  const request = await arriving(inbound, target);
  const lines = linesOf(request, "x-tidegate-deadline-ms");
  if (lines.length !== 1 || !/^\d+$/.test(lines[0])) {
    throw new Error(`not one number: ${lines.join(" | ")}`);
  }
  return Number(lines[0]);
}

describe("the deadline", () => {
  it("is the route's, counted down", async ({ expect }) => {
    const sent = await sentFor([]);
    expect(sent).toBeLessThanOrEqual(ROUTE_DEADLINE_MS);
    expect(sent).toBeGreaterThan(ROUTE_DEADLINE_MS - 2000);
  });

  it("is shortened by the client and never lengthened", async ({ expect }) => {
    const short = await sentFor([["X-Tidegate-Deadline-Ms", "5000"]]);
    expect(short).toBeLessThanOrEqual(5000);
    expect(short).toBeGreaterThan(4000);
    const long = await sentFor([["X-Tidegate-Deadline-Ms", "999999999"]]);
    expect(long).toBeLessThanOrEqual(ROUTE_DEADLINE_MS);
  });

  it.for(["soon", "", "-", "5s", "NaN", "0x10", "5000, 10"])("ignores %j", async (value, { expect }) => {
    expect(await sentFor([["X-Tidegate-Deadline-Ms", value]])).toBeGreaterThan(ROUTE_DEADLINE_MS - 2000);
  });
});
