// Header fields on their way: what belongs to a connection goes (RFC 9110 7.6.1), what a client may not say
// goes, the gateway's own come, and all else passes untouched.
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import { startGateway, startUpstream, type RecordedRequest, type RunningGateway, type RunningUpstream } from "../integration/rig/index.ts";
import { hashOfKey, lastOf, linesOf, membersOf } from "./support/origin.ts";
import { fieldOf, send, type RawAnswer } from "./support/raw-http.ts";

type Fields = readonly (readonly [name: string, value: string])[];

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
      {
        path: "/edited/*",
        upstream: "main",
        request: {
          set: { "x-plain": "as written", "x-secret": "env:UPSTREAM_SECRET", Authorization: "env:UPSTREAM_SECRET" },
          remove: ["x-drop", "Cookie"],
        },
        response: { set: { "x-added": "1", "cache-control": "no-store" }, remove: ["server", "X-Internal", "set-cookie"] },
      },
      { path: "/locked/*", upstream: "main", auth: true },
      { path: "/*", upstream: "main", deadline: ROUTE_DEADLINE_MS },
    ],
  };
  const secrets = ["--env", "UPSTREAM_SECRET=s3cret-value", "--env", "LOUD_KEY=loud-key"];
  gateway = await startGateway({ config, args: secrets });
});

afterAll(async () => {
  await gateway?.stop();
  await upstream?.stop();
});

beforeEach(() => {
  answerFields = {};
  upstream.requests.length = 0;
});

/** Sends these fields and gives what arrived upstream. */
async function arriving(fields: Fields, target = "/x", method = "GET"): Promise<RecordedRequest & { answer: RawAnswer }> {
  const answer = await send(gateway.url, { method, target, fields });
  return { ...lastOf(upstream.requests), answer };
}

describe("hop-by-hop fields", () => {
  it("do not reach the upstream", async ({ expect }) => {
    const { headers } = await arriving([
      ["Keep-Alive", "timeout=5"],
      ["Proxy-Connection", "keep-alive"],
      ["Proxy-Authorization", "Basic secret"],
      ["Proxy-Authenticate", "Basic"],
      ["TE", "trailers"],
      ["Trailer", "x-sum"],
      ["Upgrade", "h2c"],
      ["Connection", "keep-alive, upgrade, te"],
    ]);
    const gone = ["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "trailer", "upgrade"];
    for (const name of gone) expect(headers[name], name).toBeUndefined();
    expect(headers["connection"] ?? "keep-alive").toBe("keep-alive");
  });

  it("include whatever Connection names, in any case and on several lines", async ({ expect }) => {
    const { headers } = await arriving([
      ["Connection", "Authorization, x-FOO"],
      ["Connection", " , x-bar ,"],
      ["Authorization", "Bearer abc"],
      ["X-Foo", "1"],
      ["x-bar", "2"],
      ["x-stays", "3"],
    ]);
    expect(headers["authorization"]).toBeUndefined();
    expect(headers["x-foo"]).toBeUndefined();
    expect(headers["x-bar"]).toBeUndefined();
    expect(headers["x-stays"]).toBe("3");
  });

  it("never include the gateway's own, whatever Connection names", async ({ expect }) => {
    const own = "via, x-request-id, traceparent, x-forwarded-for, x-forwarded-proto, x-forwarded-host, x-tidegate-class, x-tidegate-deadline-ms, x-tidegate-consumer, x-tidegate-tenant, host";
    const { headers } = await arriving([
      ["Connection", own],
      ["X-Api-Key", "acme-key"],
      ["CF-Connecting-IP", "203.0.113.7"],
      ["X-Forwarded-For", "10.0.0.1"],
    ]);
    expect(headers).toMatchObject({
      via: "1.1 tidegate",
      "x-forwarded-for": "203.0.113.7",
      "x-forwarded-host": "gateway.test",
      "x-tidegate-class": "P1",
      "x-tidegate-consumer": "acme",
      "x-tidegate-tenant": "acme",
    });
    for (const name of ["x-request-id", "traceparent", "x-forwarded-proto", "x-tidegate-deadline-ms", "host"]) {
      expect(headers[name], name).toBeDefined();
    }
  });

  it("do not take a key away before it is checked", async ({ expect }) => {
    const { answer, headers } = await arriving([["Connection", "x-api-key"], ["X-Api-Key", "acme-key"]], "/locked/x");
    expect(answer.status).toBe(200);
    expect(headers["x-tidegate-consumer"]).toBe("acme");
  });

  it("do not reach the client", async ({ expect }) => {
    answerFields = {
      connection: "x-private, keep-alive",
      "x-private": "1",
      "keep-alive": "timeout=77",
      "proxy-authenticate": "Basic",
      "proxy-connection": "keep-alive",
      upgrade: "h2c",
      "x-stays": "2",
    };
    const { answer } = await arriving([]);
    for (const name of ["x-private", "keep-alive", "proxy-authenticate", "proxy-connection", "upgrade"]) {
      expect(fieldOf(answer, name), name).toBeNull();
    }
    expect(fieldOf(answer, "x-stays")).toBe("2");
  });
});

describe("where the request came from", () => {
  it("is what Cloudflare says, and nothing where it says nothing", async ({ expect }) => {
    const told = await arriving([["CF-Connecting-IP", "203.0.113.7"]]);
    expect(told.headers["x-forwarded-for"]).toBe("203.0.113.7");
    const untold = await arriving([]);
    expect(untold.headers["x-forwarded-for"]).toBeUndefined();
  });

  it("is appended to what other proxies said", async ({ expect }) => {
    const request = await arriving([
      ["X-Forwarded-For", "198.51.100.1, 10.0.0.1"],
      ["X-Forwarded-Proto", "https"],
      ["X-Forwarded-Host", "shop.example"],
      ["CF-Connecting-IP", "2001:db8::1"],
    ]);
    expect(membersOf(request, "x-forwarded-for")).toEqual(["198.51.100.1", "10.0.0.1", "2001:db8::1"]);
    expect(membersOf(request, "x-forwarded-proto")).toEqual(["https", "http"]);
    expect(membersOf(request, "x-forwarded-host")).toEqual(["shop.example", "gateway.test"]);
  });

  it("names the host that the client asked for, and asks the target for its own", async ({ expect }) => {
    const answer = await send(gateway.url, { target: "/x", host: "API.Example.com:8443" });
    expect(answer.status).toBe(200);
    const request = lastOf(upstream.requests);
    expect(request.headers["x-forwarded-host"]?.toString().toLowerCase()).toBe("api.example.com:8443");
    expect(linesOf(request, "host")).toEqual([`127.0.0.1:${upstream.port}`]);
  });

  it("is written once into via, after the hops before", async ({ expect }) => {
    const first = await arriving([]);
    expect(linesOf(first, "via")).toEqual(["1.1 tidegate"]);
    const later = await arriving([
      ["Via", "1.0 fred, 1.1 p.example.net (Apache/1.1)"],
      ["Via", "2 edge"],
    ]);
    expect(membersOf(later, "via")).toEqual(["1.0 fred", "1.1 p.example.net (Apache/1.1)", "2 edge", "1.1 tidegate"]);
  });

  it.for(["1.1 tidegate", "1.0 a, HTTP/2 tidegate (x), 1.1 b", "1.1 a,\t1.1\ttidegate"])(
    "is a loop with via: %s",
    async (via, { expect }) => {
      const answer = await send(gateway.url, { target: "/x", fields: [["Via", via]] });
      expect(answer.status).toBe(508);
      expect(upstream.requests).toHaveLength(0);
    },
  );

  it.for(["1.1 tidegate2", "1.1 x (1.1 tidegate)", "1.1 my-tidegate", "tidegate 1.1"])(
    "is no loop with via: %s",
    async (via, { expect }) => {
      const { answer } = await arriving([["Via", via]]);
      expect(answer.status).toBe(200);
    },
  );
});

describe("the request's id", () => {
  it.for(["a", "abc.DEF_1-2", "x".repeat(128)])("is kept: %s", async (id, { expect }) => {
    const { headers, answer } = await arriving([["X-Request-Id", id]]);
    expect(headers["x-request-id"]).toBe(id);
    expect(fieldOf(answer, "x-request-id")).toBe(id);
  });

  it.for(["", "x".repeat(129), "a b", "a,b", "a/b", 'a"', "ä", "<script>"])("is made anew for %j", async (id, { expect }) => {
    const { headers, answer } = await arriving([["X-Request-Id", id]]);
    expect(headers["x-request-id"]).toMatch(/^[A-Za-z0-9._-]{8,128}$/);
    expect(fieldOf(answer, "x-request-id")).toBe(headers["x-request-id"]);
  });

  it("is one, where a client sends two or the upstream answers with its own", async ({ expect }) => {
    answerFields = { "x-request-id": "of-the-upstream" };
    const request = await arriving([["X-Request-Id", "one"], ["X-Request-Id", "two"]]);
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
    const { headers } = await arriving([["Traceparent", traceparent], ["Tracestate", "congo=t61rcWkgMzE,rojo=1"]]);
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
    const request = await arriving([["Traceparent", traceparent], ["Tracestate", "congo=t61rcWkgMzE"]]);
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
    const { headers } = await arriving([["X-Api-Key", "acme-key"], ["X-Tidegate-Consumer", "root"]]);
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
    const keyed = await arriving([["Authorization", "Bearer acme-key"], ["X-Api-Key", "acme-key"]], "/locked/x");
    expect(keyed.headers["authorization"]).toBe("Bearer acme-key");
  });

  it("removes the admin token and explains to its owner", async ({ expect }) => {
    const { headers, answer } = await arriving([["X-Tidegate-Admin", gateway.adminToken], ["X-Tidegate-Explain", "1"]]);
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
    ["/p0/x", [["Priority", "u=7"], ["Priority", "u=0"]], "P0"],
    ["/p0/x", [["X-Api-Key", "batch-key"]], "P2"],
    ["/p3/x", [["X-Api-Key", "loud-key"]], "P3"],
    ["/p0/x", [["X-Api-Key", "acme-key"]], "P0"],
    ["/p0/x", [["X-Api-Key", "batch-key"], ["Priority", "u=7"]], "P3"],
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

describe("the deadline", () => {
  async function sentFor(inbound: Fields, target = "/x"): Promise<number> {
    const request = await arriving(inbound, target);
    const lines = linesOf(request, "x-tidegate-deadline-ms");
    if (lines.length !== 1 || !/^\d+$/.test(lines[0])) throw new Error(`not one number: ${lines.join(" | ")}`);
    return Number(lines[0]);
  }

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

describe("everything else", () => {
  it("passes as it came", async ({ expect }) => {
    const fields: Fields = [
      ["User-Agent", "curl/8 (with; comments)"],
      ["Accept", "*/*;q=0.1, text/html"],
      ["Cookie", "a=1; b=2"],
      ["X-Empty", ""],
      ["If-None-Match", 'W/"1", "2"'],
      ["Range", "bytes=0-1"],
      ["Forwarded", "for=192.0.2.60;proto=http"],
      ["Origin", "null"],
      ["Idempotency-Key", '"abc"'],
      ["Max-Forwards", "3"],
      ["X-Latin", "\u00e9"],
    ];
    const { headers } = await arriving(fields);
    for (const [name, value] of fields) expect(headers[name.toLowerCase()], name).toBe(value);
  });

  it("passes back as it came", async ({ expect }) => {
    const fields = {
      "content-type": "text/plain; charset=utf-8",
      "cache-control": "public, max-age=5",
      vary: "accept, origin",
      server: "origin/1.0",
      link: '<a>; rel="next"',
      warning: '299 - "old"',
      "retry-after": "7",
      "www-authenticate": 'Basic realm="of the upstream"',
      date: "Mon, 23 Nov 2026 05:00:00 GMT",
    };
    answerFields = fields;
    const { answer } = await arriving([]);
    for (const [name, value] of Object.entries(fields)) expect(fieldOf(answer, name), name).toBe(value);
  });
});

describe("a route's own edits", () => {
  it("set and remove fields of the request, secrets filled in", async ({ expect }) => {
    const { headers } = await arriving(
      [
        ["X-Drop", "1"],
        ["Cookie", "a=1"],
        ["X-Plain", "of the client"],
        ["Authorization", "of the client"],
        ["X-Stays", "1"],
      ],
      "/edited/x",
    );
    expect(headers).toMatchObject({ "x-plain": "as written", "x-secret": "s3cret-value", authorization: "s3cret-value", "x-stays": "1" });
    expect(headers["x-drop"]).toBeUndefined();
    expect(headers["cookie"]).toBeUndefined();
  });

  it("set and remove fields of the answer", async ({ expect }) => {
    answerFields = { server: "origin/1.0", "x-internal": "1", "set-cookie": ["a=1", "b=2"], "cache-control": "public", "x-stays": "1" };
    const { answer } = await arriving([], "/edited/x");
    expect(fieldOf(answer, "x-added")).toBe("1");
    expect(fieldOf(answer, "cache-control")).toBe("no-store");
    expect(fieldOf(answer, "x-stays")).toBe("1");
    for (const name of ["server", "x-internal", "set-cookie"]) expect(fieldOf(answer, name), name).toBeNull();
  });
});
