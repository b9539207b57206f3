// Header fields on their way: what belongs to a connection goes (RFC 9110 7.6.1), what a client may not say
// goes, the gateway's own come, and all else passes untouched.
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import {
  startGateway,
  startUpstream,
  type RunningGateway,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { arrivingAt, type Arrival, type Fields } from "./support/arrival.ts";
import { hashOfKey, lastOf, linesOf, membersOf } from "./support/origin.ts";
import { fieldOf, send } from "./support/raw-http.ts";

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
    },
    tenants: { acme: { share: 0.5 } },
    routes: [
      {
        path: "/edited/*",
        upstream: "main",
        request: {
          set: {
            "x-plain": "as written",
            "x-secret": "env:UPSTREAM_SECRET",
            Authorization: "env:UPSTREAM_SECRET",
          },
          remove: ["x-drop", "Cookie"],
        },
        response: {
          set: { "x-added": "1", "cache-control": "no-store" },
          remove: ["server", "X-Internal", "set-cookie"],
        },
      },
      { path: "/locked/*", upstream: "main", auth: true },
      { path: "/*", upstream: "main" },
    ],
  };
  gateway = await startGateway({ config, args: ["--env", "UPSTREAM_SECRET=s3cret-value"] });
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
    const gone = [
      "keep-alive",
      "proxy-connection",
      "proxy-authorization",
      "proxy-authenticate",
      "te",
      "trailer",
      "upgrade",
    ];
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
    const own =
      "via, x-request-id, traceparent, x-forwarded-for, x-forwarded-proto, x-forwarded-host, x-tidegate-class, x-tidegate-deadline-ms, x-tidegate-consumer, x-tidegate-tenant, host";
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
    for (const name of [
      "x-request-id",
      "traceparent",
      "x-forwarded-proto",
      "x-tidegate-deadline-ms",
      "host",
    ]) {
      expect(headers[name], name).toBeDefined();
    }
  });

  it("do not take a key away before it is checked", async ({ expect }) => {
    const { answer, headers } = await arriving(
      [
        ["Connection", "x-api-key"],
        ["X-Api-Key", "acme-key"],
      ],
      "/locked/x",
    );
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
    expect(membersOf(later, "via")).toEqual([
      "1.0 fred",
      "1.1 p.example.net (Apache/1.1)",
      "2 edge",
      "1.1 tidegate",
    ]);
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
    expect(headers).toMatchObject({
      "x-plain": "as written",
      "x-secret": "s3cret-value",
      authorization: "s3cret-value",
      "x-stays": "1",
    });
    expect(headers["x-drop"]).toBeUndefined();
    expect(headers["cookie"]).toBeUndefined();
  });

  it("set and remove fields of the answer", async ({ expect }) => {
    answerFields = {
      server: "origin/1.0",
      "x-internal": "1",
      "set-cookie": ["a=1", "b=2"],
      "cache-control": "public",
      "x-stays": "1",
    };
    const { answer } = await arriving([], "/edited/x");
    expect(fieldOf(answer, "x-added")).toBe("1");
    expect(fieldOf(answer, "cache-control")).toBe("no-store");
    expect(fieldOf(answer, "x-stays")).toBe("1");
    for (const name of ["server", "x-internal", "set-cookie"]) expect(fieldOf(answer, name), name).toBeNull();
  });
});
