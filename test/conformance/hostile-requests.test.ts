// Random hostile requests against several routes: each is either refused with a known problem, or reaches
// exactly the upstream of the route that the rules name, with the path that was sent, without a field of
// the client's connection, and with every field of the gateway's own.
import { afterAll, beforeAll, describe, it, type ExpectStatic } from "vitest";
import {
  startGateway,
  startUpstream,
  type RecordedRequest,
  type RunningGateway,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { opinionOn, type RouteRule } from "./support/contract-router.ts";
import { hashOfKey, linesOf, membersOf } from "./support/origin.ts";
import { jsonObject } from "./support/problems.ts";
import { fc } from "./support/random.ts";
import { fieldOf, send, type RawAnswer } from "./support/raw-http.ts";

const RUNS = 1000;
const KEY = "the-key";
const KNOWN_CODES = new Set([
  "route_not_found",
  "method_not_allowed",
  "bad_path",
  "bad_request",
  "unauthorized",
  "loop_detected",
  "deadline_exceeded",
]);
const HOP_BY_HOP = [
  "keep-alive",
  "proxy-connection",
  "proxy-authorization",
  "te",
  "trailer",
  "upgrade",
  "expect",
];
const ALWAYS_ONE = [
  "x-request-id",
  "traceparent",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-tidegate-class",
  "x-tidegate-deadline-ms",
  "via",
];

interface Route extends RouteRule {
  readonly upstream: (typeof UPSTREAMS)[number];
}

const UPSTREAMS = ["admin", "pay", "catalog", "files", "users", "other"] as const;
/** `pay` lives below a base path, as services behind a shared host do. */
const BASE_PATHS: Partial<Record<string, string>> = { pay: "/base/v2" };

const ROUTES: readonly Route[] = [
  { path: "/admin/*", upstream: "admin", auth: true },
  { path: "/v1/payments/*", methods: ["POST", "PUT"], upstream: "pay" },
  { path: "/v1/payments/*", methods: ["GET"], upstream: "catalog" },
  { path: "/files/*", upstream: "files", encodedSlashes: true },
  { path: "/users/:id", upstream: "users" },
  { path: "/users/:id/photo", upstream: "other", encodedSlashes: true },
  { path: "/hosted/*", hosts: ["api.example.com"], upstream: "other" },
  { path: "/versioned/*", headers: { "x-version": "2" }, upstream: "pay" },
  { path: "/versioned/*", upstream: "catalog" },
];

let gateway: RunningGateway;
const upstreams = new Map<string, RunningUpstream>();

beforeAll(async () => {
  for (const name of UPSTREAMS) {
    const upstream = await startUpstream((request, response) => {
      request.resume();
      request.on("end", () => response.end(name));
    });
    upstreams.set(name, upstream);
  }
  const targets = [...upstreams].map(([name, { url }]) => [
    name,
    { targets: [url + (BASE_PATHS[name] ?? "")] },
  ]);
  gateway = await startGateway({
    config: {
      upstreams: Object.fromEntries(targets),
      consumers: { known: { keys: [hashOfKey(KEY)] } },
      routes: ROUTES,
    },
  });
});

afterAll(async () => {
  await gateway?.stop();
  for (const upstream of upstreams.values()) await upstream.stop();
});

const SEGMENTS = [
  "v1",
  "payments",
  "p%61yments",
  "admin",
  "%61dmin",
  "files",
  "users",
  "photo",
  "hosted",
  "versioned",
  "x",
  "a.b",
  "~",
  "%7E",
  "a;b=1",
  "..",
  ".",
  "%2e",
  "%2E%2e",
  ".%2e",
  "...",
  "..;",
  "..%2f",
  "%2e%2e%2fadmin",
  "a%2Fb",
  "a%5Cb",
  "%252e%252e",
  "%c0%ae%c0%ae",
  "%2F",
  "\\",
  "..\\admin",
  "%00",
  "%0a",
  "%7f",
  "_gateway",
  "%5fgateway",
  "state",
  "",
  "%",
  "%zz",
  "%e4%bd%a0",
  "*",
  ":id",
  "@",
  "$&",
  "+",
  "a,b",
];
const PREFIXES = [
  "/admin",
  "/%61dmin",
  "/v1/payments",
  "/v1/%70ayments",
  "/files",
  "/users",
  "/users/7",
  "/hosted",
  "/versioned",
  "/_gateway",
  "",
];
const GOOD_TAILS = ["", "/x", "/a/b", "/a//b", "/7/photo", "/%41", "/a%20b"];

const tail = fc
  .array(fc.constantFrom(...SEGMENTS), { maxLength: 4 })
  .map((parts) => parts.map((part) => `/${part}`).join(""));
const path = fc
  .tuple(
    fc.constantFrom(...PREFIXES),
    fc.oneof({ weight: 1, arbitrary: fc.constantFrom(...GOOD_TAILS) }, { weight: 2, arbitrary: tail }),
  )
  .map(([prefix, rest]) => (prefix + rest).replace(/^(?!\/)/, "/"));
const query = fc.constantFrom(
  "",
  "",
  "?",
  "?a=1&a=2",
  "?/../x",
  "?%2e%2e%2f",
  "??",
  "?q=\\",
  "?x=http://h/_gateway/state",
);
const host = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      "gateway.test",
      "API.example.com:80",
      "api.example.com",
      "[::1]:8080",
      "127.0.0.1",
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom("x/_gateway/health?", "a@b", "a:b", "h\\x", "h?x", "api.example.com/"),
  },
);
const field = fc.constantFrom<readonly [string, string]>(
  ["Connection", "authorization, x-foo"],
  ["Connection", "via, x-request-id, x-forwarded-host, x-tidegate-class, traceparent"],
  ["Connection", 'close, keep-alive,, "odd", x-foo'],
  ["Keep-Alive", "timeout=1"],
  ["Proxy-Connection", "keep-alive"],
  ["Proxy-Authorization", "Basic eDp5"],
  ["TE", "trailers, deflate"],
  ["Trailer", "x-foo"],
  ["Upgrade", "h2c, foo/2"],
  ["Via", "1.0 one, 1.1 two (comment, 1.1 tidegate)"],
  ["Via", "1.1 tidegate"],
  ["X-Forwarded-For", "1.2.3.4, unknown"],
  ["X-Forwarded-Host", "evil.test"],
  ["X-Forwarded-Proto", "https"],
  ["CF-Connecting-IP", "203.0.113.9"],
  ["X-Request-Id", "kept-1"],
  ["X-Request-Id", "not kept, at all"],
  ["Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
  ["Traceparent", "00-zz"],
  ["X-Tidegate-Consumer", "root"],
  ["X-Tidegate-Tenant", "root"],
  ["X-Tidegate-Class", "P0"],
  ["X-Tidegate-Deadline-Ms", "9000"],
  ["X-Tidegate-Deadline-Ms", "-1"],
  ["X-Tidegate-Explain", "1"],
  ["X-Tidegate-Admin", "guess"],
  ["X-Version", "2"],
  ["X-Api-Key", KEY],
  ["X-Api-Key", "nobody's"],
  ["Authorization", "Bearer of-the-upstream"],
  ["Priority", "u=0"],
  ["Expect", "100-continue"],
  ["X-Foo", "foo"],
);

const request = fc.record({
  method: fc.constantFrom("GET", "GET", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"),
  path,
  query,
  host,
  fields: fc.uniqueArray(field, { maxLength: 6, selector: ([name]) => name }),
  body: fc.option(fc.string({ maxLength: 40 }), { nil: null }),
});

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly host: string;
  readonly fields: readonly (readonly [string, string])[];
  readonly body: string | null;
}

async function check(expect: ExpectStatic, sent: Sent): Promise<void> {
  for (const upstream of upstreams.values()) upstream.requests.length = 0;
  const { method, fields } = sent;
  const hasBody = sent.body !== null && ["POST", "PUT", "PATCH"].includes(method);
  const answer = await send(gateway.url, {
    method,
    target: sent.path + sent.query,
    host: sent.host,
    fields,
    ...(hasBody ? { body: sent.body ?? "" } : {}),
  });
  const arrived = [...upstreams].flatMap(([name, { requests }]) =>
    requests.map((recorded) => ({ name, recorded })),
  );
  const headers = new Map(fields.map(([name, value]) => [name.toLowerCase(), value]));
  const opinion = opinionOn(ROUTES, { method, path: sent.path, host: sent.host, headers });
  const isLoop = headers.get("via") === "1.1 tidegate";
  const isLocked = opinion.kind === "route" && opinion.rule.auth === true && headers.get("x-api-key") !== KEY;
  expect(fieldOf(answer, "x-request-id")).toMatch(/^[A-Za-z0-9._-]{1,128}$/);
  expect(fieldOf(answer, "x-tidegate-decision")).toBeNull();

  if (opinion.kind === "refused" || isLoop || isLocked || (arrived.length === 0 && opinion.mayRefuse)) {
    expect(arrived).toEqual([]);
    const codes =
      opinion.kind === "refused" ? opinion.codes : isLocked ? ["unauthorized", "bad_path"] : ["bad_path"];
    expectRefusal(expect, answer, method, isLoop ? [...codes, "loop_detected"] : codes);
    return;
  }
  expect(answer.status).toBe(200);
  expect(arrived.map(({ name }) => name)).toEqual([opinion.rule.upstream]);
  const base = BASE_PATHS[opinion.rule.upstream] ?? "";
  expectArrival(expect, arrived[0].recorded, sent, headers);
  expect(arrived[0].recorded.target).toBe(base + sent.path + sent.query);
}

function expectRefusal(
  expect: ExpectStatic,
  answer: RawAnswer,
  method: string,
  codes: readonly string[],
): void {
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(fieldOf(answer, "content-type")).toBe("application/problem+json");
  if (method === "HEAD") return;
  const { code, status } = jsonObject(answer.body.toString());
  expect(KNOWN_CODES).toContain(code);
  expect(codes).toContain(code);
  expect(status).toBe(answer.status);
}

function expectArrival(
  expect: ExpectStatic,
  recorded: RecordedRequest,
  sent: Sent,
  headers: ReadonlyMap<string, string>,
): void {
  expect(recorded.method).toBe(sent.method);
  for (const name of HOP_BY_HOP) expect(linesOf(recorded, name), name).toEqual([]);
  const named = new Set((headers.get("connection") ?? "").split(",").map((option) => option.trim()));
  for (const name of ["authorization", "x-foo"]) {
    const value = headers.get(name);
    expect(linesOf(recorded, name), name).toEqual(value === undefined || named.has(name) ? [] : [value]);
  }
  for (const name of ALWAYS_ONE) expect(linesOf(recorded, name), name).toHaveLength(1);
  const hops = membersOf(recorded, "via");
  expect(hops.filter((hop) => hop === "1.1 tidegate")).toHaveLength(1);
  expect(hops.at(-1)).toBe("1.1 tidegate");
  expect(membersOf(recorded, "x-forwarded-host").at(-1)?.toLowerCase()).toBe(sent.host.toLowerCase());
  const isKnown = headers.get("x-api-key") === KEY;
  expect(linesOf(recorded, "x-tidegate-consumer")).toEqual(isKnown ? ["known"] : []);
  expect(linesOf(recorded, "x-api-key")).toEqual(isKnown ? [] : headers.has("x-api-key") ? ["nobody's"] : []);
  const own = Object.keys(recorded.headers).filter((name) => name.startsWith("x-tidegate-"));
  const allowed = new Set(["x-tidegate-class", "x-tidegate-deadline-ms", "x-tidegate-consumer"]);
  expect(own.filter((name) => !allowed.has(name))).toEqual([]);
  expect(recorded.headers["x-tidegate-class"]).toBe("P1");
}

describe("random hostile requests", () => {
  it("are refused with a known problem, or arrive where the rules say, clean", async ({ expect }) => {
    const run = await fc.check(
      fc.asyncProperty(request, (sent) => check(expect, sent)),
      fc.settings(RUNS),
    );
    expect(run.failed, fc.defaultReportMessage(run)).toBe(false);
  }, 60_000);
});
