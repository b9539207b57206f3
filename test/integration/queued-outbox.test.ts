// Queued routes beside an outbox and a bucket that fail, refuse or say nothing. The gateway runs on Node's
// own web standards; only the two bindings are played.

import { describe, it } from "vitest";
import { createGateway } from "../../src/edge/gateway.ts";
import type {
  AcceptItem,
  AcceptReply,
  AcceptRequest,
  JobRequest,
  JobView,
  Pressure,
} from "../../src/delivery/core/protocol.ts";
import { defineGateway } from "../../src/tidegate.ts";

const KIB = 1024;
const CALM: Pressure = {
  depth: 1,
  watermark: 100,
  rejecting: false,
  rejectingCritical: false,
  retryAfterMs: 0,
};
const CONFIG = defineGateway({
  upstreams: { a: { targets: ["http://127.0.0.1:9"] } },
  queues: { q: { upstream: "a", orderBy: "header:x-order" } },
  routes: [
    { path: "/p0", methods: ["POST"], queue: "q", priority: "P0" },
    { path: "/*", methods: ["POST"], queue: "q" },
  ],
});

function requestOf({ target }: AcceptItem): JobRequest {
  if (target.kind !== "request") throw new Error("no request");
  return target.request;
}

type Accept = (request: AcceptRequest) => Promise<AcceptReply>;

function accepted(pressure: Pressure = CALM): Accept {
  return async ({ items }) => ({
    kind: "answered",
    outcomes: items.map(() => ({ kind: "accepted", id: `${"a".repeat(32)}-1-q`, status: "queued" })),
    pressure,
  });
}

function full(pressure: Partial<Pressure> = {}): Accept {
  return async ({ items }) => ({
    kind: "answered",
    outcomes: items.map(() => ({ kind: "backlog-full", retryAfterMs: 7_000 })),
    pressure: { ...CALM, rejecting: true, retryAfterMs: 7_000, ...pressure },
  });
}

function viewOf(id: string): JobView {
  return {
    id,
    status: "queued",
    attempts: 0,
    nextAttemptAt: null,
    acceptedAt: 1,
    endedAt: null,
    expiresAt: 2,
    deferrals: 0,
    reason: null,
    hasResult: false,
    blocked: false,
    consumer: null,
    tenant: null,
    route: "/*",
  };
}

interface Bucket {
  readonly keys: Set<string>;
  put(key: string, value: Uint8Array, options: { sha256: string }): Promise<void>;
  delete(key: string): Promise<void>;
}

function bucket(put: () => Promise<void> = async () => {}): Bucket {
  const keys = new Set<string>();
  return {
    keys,
    async put(key) {
      await put();
      keys.add(key);
    },
    async delete(key) {
      keys.delete(key);
    },
  };
}

/** A gateway whose only outbox does that. */
function open(accept: Accept | null, claims: Bucket | null = null) {
  const requests: AcceptRequest[] = [];
  const kept: Promise<unknown>[] = [];
  const outbox = {
    accept: (request: AcceptRequest): Promise<AcceptReply> => {
      requests.push(request);
      return accept === null ? Promise.reject(new Error("no outbox")) : accept(request);
    },
  };
  const OUTBOX = { idFromName: (name: string) => name, get: () => outbox };
  const bindings = { ...(accept === null ? {} : { OUTBOX }), ...(claims === null ? {} : { CLAIMS: claims }) };
  const context = {
    waitUntil: (work: Promise<unknown>) => void kept.push(work),
    passThroughOnException: () => {},
    props: {},
  };
  const { handler } = createGateway(CONFIG);
  const post = async (
    path: string,
    headers: Record<string, string> = {},
    body = "hello",
  ): Promise<Response> => {
    const init = { method: "POST", headers: { host: "gateway.test", ...headers }, body };
    return handler.fetch(new Request(`http://gateway.test${path}`, init), bindings, context);
  };
  return { post, requests, kept };
}

async function problemOf(response: Response): Promise<{ status: number; code: unknown; detail: unknown }> {
  const body: unknown = await response.json();
  const { code, detail }: { code?: unknown; detail?: unknown } = typeof body === "object" ? { ...body } : {};
  return { status: response.status, code, detail };
}

describe("an outbox that does not store", () => {
  it("is 503 not_accepted where it fails", async ({ expect }) => {
    const { post } = open(() => Promise.reject(new Error("broken")));
    const response = await post("/x");
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await problemOf(response)).toMatchObject({ status: 503, code: "not_accepted" });
  });

  it("is 503 not_accepted where it says nothing by the request's deadline", async ({ expect }) => {
    const { post } = open(() => new Promise(() => {}));
    const response = await post("/x", { "x-tidegate-deadline-ms": "30" });
    expect(await problemOf(response)).toMatchObject({ status: 503, code: "not_accepted" });
  });

  it("is 503 not_accepted where there is none", async ({ expect }) => {
    const { post } = open(null);
    expect(await problemOf(await post("/x"))).toMatchObject({ status: 503, code: "not_accepted" });
  });

  it("is 500 where it did not understand the request: that is a bug", async ({ expect }) => {
    const { post } = open(async () => ({ kind: "malformed", field: "items" }));
    expect(await problemOf(await post("/x"))).toMatchObject({ status: 500, code: "internal_error" });
  });

  it("is 409 with a time to come again while the first of its key is under way", async ({ expect }) => {
    const { post } = open(async ({ items }) => ({
      kind: "answered",
      outcomes: items.map(() => ({ kind: "in-flight", id: `${"a".repeat(32)}-1-q` })),
      pressure: CALM,
    }));
    const response = await post("/x", { "idempotency-key": "k" });
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await problemOf(response)).toMatchObject({ status: 409, code: "idempotency_in_flight" });
  });
});

describe("what an outbox is told", () => {
  it("is all that a delivery needs", async ({ expect }) => {
    const { post, requests } = open(accepted());
    await post("/a%20b?x=1", {
      "x-order": "o-1",
      "idempotency-key": '"k"',
      "x-request-id": "r-1",
      priority: "u=7",
      connection: "x-hop",
      "x-hop": "1",
    });
    const [{ items, terms, refused, region }] = requests;
    expect({ refused, region }).toEqual({ refused: 0, region: "weur" });
    expect(terms).toMatchObject({ highWatermark: 20_000, retry: { attempts: 10 }, onDeadHead: "block" });
    expect(items).toMatchObject([
      {
        priority: 3,
        consumer: null,
        tenant: null,
        route: "/*",
        key: "o-1",
        idempotency: { key: "k", fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/) },
        traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/),
        requestId: "r-1",
        target: { kind: "request", request: { method: "POST", path: "/a%20b?x=1" } },
      },
    ]);
    const names = requestOf(items[0]).headers.map(([name]) => name);
    expect(names).toEqual(
      expect.arrayContaining(["via", "x-request-id", "x-tidegate-class", "x-forwarded-host"]),
    );
    for (const gone of ["x-hop", "connection", "host", "content-length", "traceparent"]) {
      expect(names).not.toContain(gone);
    }
  });

  it("has a fingerprint of method, path and body, and of nothing else", async ({ expect }) => {
    const { post, requests } = open(accepted());
    const key = { "idempotency-key": "k" };
    await post("/x", key);
    await post("/x", { ...key, "x-other": "1" });
    await post("/x?y", key);
    await post("/x", key, "other");
    const prints = requests.flatMap(({ items }) => items.map(({ idempotency }) => idempotency?.fingerprint));
    expect(prints[1]).toBe(prints[0]);
    expect(new Set(prints).size).toBe(3);
  });
});

describe("an outbox that is full", () => {
  it("is asked once a second at most, and told how many were refused since", async ({ expect }) => {
    const { post, requests } = open(full());
    const responses = [
      await post("/x"),
      ...(await Promise.all(Array.from({ length: 50 }, () => post("/x")))),
    ];
    expect(responses.map(({ status }) => status)).toEqual(responses.map(() => 429));
    expect(new Set(responses.map(({ headers }) => headers.get("retry-after")))).toEqual(new Set(["7"]));
    expect(requests).toHaveLength(1);
  });

  it("answers for what it has accepted before, and for nothing else", async ({ expect }) => {
    const id = `${"a".repeat(32)}-1-q`;
    const { post, requests } = open(async (request) => ({
      kind: "answered",
      outcomes: request.items.map(() => ({ kind: "backlog-full", retryAfterMs: 7_000 })),
      pressure: { ...CALM, rejecting: true, retryAfterMs: 7_000 },
      known: (request.lookups ?? []).map(({ idempotency }) =>
        idempotency.key === "known"
          ? { kind: "replayed", id, job: viewOf(id) }
          : { kind: "backlog-full", retryAfterMs: 8_000 },
      ),
    }));
    await post("/x");
    const [known, unknown, bare] = await Promise.all([
      post("/x", { "idempotency-key": "known" }),
      post("/x", { "idempotency-key": "new" }),
      post("/x"),
    ]);
    expect([known.status, known.headers.get("location")]).toEqual([202, `/_gateway/jobs/${id}`]);
    expect([unknown.status, unknown.headers.get("retry-after")]).toEqual([429, "8"]);
    expect(bare.status).toBe(429);
    expect(requests).toHaveLength(2);
    expect(requests[1].items).toEqual([]);
    const print = requests[1].lookups?.[0].idempotency.fingerprint;
    expect(print).toMatch(/^[0-9a-f]{64}$/);
  });

  it("is still asked for P0, until it is full for P0 too", async ({ expect }) => {
    const ordinary = open(full());
    await ordinary.post("/x");
    await ordinary.post("/p0");
    expect(ordinary.requests).toHaveLength(2);
    const critical = open(full({ rejectingCritical: true }));
    await critical.post("/x");
    expect((await critical.post("/p0")).status).toBe(429);
    expect(critical.requests).toHaveLength(1);
  });
});

describe("larger bodies", () => {
  const inline = "x".repeat(96 * KIB);

  it("are 413 without a bucket, with a sentence that says why", async ({ expect }) => {
    const { post, requests } = open(accepted());
    expect((await post("/x", {}, inline)).status).toBe(202);
    const refused = await problemOf(await post("/x", {}, `${inline}x`));
    expect(refused).toMatchObject({ status: 413, code: "body_too_large" });
    expect(refused.detail).toMatch(/98304 bytes.*no bucket/);
    expect(requests).toHaveLength(1);
  });

  it("are in the bucket before the outbox is asked, and its job holds their name", async ({ expect }) => {
    const claims = bucket();
    let stored = 0;
    const { post, requests } = open((request) => {
      stored = claims.keys.size;
      return accepted()(request);
    }, claims);
    expect((await post("/x", {}, `${inline}x`)).status).toBe(202);
    expect(stored).toBe(1);
    expect(requestOf(requests[0].items[0]).body).toEqual({
      ref: [...claims.keys][0],
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      length: inline.length + 1,
    });
  });

  it("leave the bucket again when the outbox refuses", async ({ expect }) => {
    const claims = bucket();
    const { post, kept } = open(full(), claims);
    expect((await post("/x", {}, `${inline}x`)).status).toBe(429);
    await Promise.all(kept);
    expect(claims.keys.size).toBe(0);
  });

  it("are 503 when the bucket fails, and the outbox is not asked", async ({ expect }) => {
    const { post, requests } = open(
      accepted(),
      bucket(() => Promise.reject(new Error("down"))),
    );
    expect(await problemOf(await post("/x", {}, `${inline}x`))).toMatchObject({
      status: 503,
      code: "not_accepted",
    });
    expect(requests).toHaveLength(0);
  });
});

describe("what no row holds", () => {
  it("is refused before anything is stored", async ({ expect }) => {
    const { post, requests } = open(accepted());
    const path = `/${"p".repeat(16 * KIB)}`;
    expect(await problemOf(await post(path))).toMatchObject({ status: 400, code: "bad_request" });
    const headers = { "x-large": "h".repeat(63.9 * KIB) };
    expect(await problemOf(await post("/x", headers))).toMatchObject({
      status: 431,
      code: "headers_too_large",
    });
    expect(await problemOf(await post("/x", { "x-order": "o".repeat(257) }))).toMatchObject({ status: 400 });
    expect(requests).toHaveLength(0);
  });
});
