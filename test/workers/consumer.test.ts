// The consumer with real outboxes: what reaches the upstream, what becomes of jobs and of messages.

import { abortAllDurableObjects } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MAX_RESULT_BODY_BYTES } from "../../src/delivery/deliver-result.ts";
import type { ClaimRequest, SettleRequest } from "../../src/delivery/core/protocol.ts";
import { newConsumer, pointers } from "./consumer-rig.ts";
import { acceptAll, item, items, newOutbox, stopClock, viewOf } from "./outbox-rig.ts";

beforeEach(() => {
  vi.spyOn(console, "log").mockImplementation(() => {});
});

afterEach(async () => {
  vi.restoreAllMocks();
  await abortAllDurableObjects();
});

describe("a delivery", () => {
  it("sends what was accepted with the job's key, and keeps the answer", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox] });
    rig.answer = () => new Response("created", { status: 201, headers: { "x-answer": "1" } });
    const body = new TextEncoder().encode('{"sku":1}');
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const [id] = await acceptAll(outbox, [
      item({ path: "/orders?x=1", body, traceparent, requestId: "r-1" }),
    ]);
    expect(await rig.consume(pointers(outbox, [id]))).toEqual({ acked: ["0"], retried: [] });
    const [{ method, url, headers, body: sent }] = rig.seen;
    expect([method, new URL(url).pathname, new URL(url).search, sent]).toEqual([
      "POST",
      "/orders",
      "?x=1",
      '{"sku":1}',
    ]);
    expect(headers.get("idempotency-key")).toBe(id.slice(0, 32));
    expect(headers.get("x-a")).toBe("1");
    expect(headers.get("x-request-id")).toBe("r-1");
    expect(headers.get("traceparent")).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$/);
    expect(Number(headers.get("x-tidegate-deadline-ms"))).toBeGreaterThan(1_000);
    expect(await viewOf(outbox, id)).toMatchObject({ status: "succeeded", attempts: 1 });
    expect(await outbox.result({ id, waitMs: 0 })).toMatchObject({
      result: {
        status: 201,
        headers: expect.arrayContaining([["x-answer", "1"]]),
        body: new TextEncoder().encode("created"),
      },
    });
  });

  it("passes the client's own key on and repeats it with every try", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox] });
    const target = {
      kind: "request" as const,
      request: { method: "PUT", path: "/a", headers: [["Idempotency-Key", '"mine"']] as const, body: null },
    };
    const [id] = await acceptAll(outbox, [item({ target })]);
    rig.answer = () => new Response(null, { status: rig.seen.length === 1 ? 503 : 204 });
    const clock = stopClock();
    await rig.consume(pointers(outbox, [id]));
    clock.advance(60_000);
    await rig.consume(pointers(outbox, [id]));
    expect(rig.seen.map(({ headers }) => headers.get("idempotency-key"))).toEqual(['"mine"', '"mine"']);
    expect(await viewOf(outbox, id)).toMatchObject({ status: "succeeded", attempts: 2 });
  });

  it.for([
    [200, "succeeded"],
    [204, "succeeded"],
    [303, "failed"],
    [404, "failed"],
    [422, "failed"],
    [408, "deferred"],
    [425, "deferred"],
    [429, "deferred"],
    [500, "deferred"],
    [503, "deferred"],
  ] as const)("that is answered %i is %s after one attempt", async ([status, expected]) => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox] });
    rig.answer = () => new Response(null, { status, headers: { location: "/elsewhere" } });
    const [id] = await acceptAll(outbox, [item()]);
    await rig.consume(pointers(outbox, [id]));
    expect(await viewOf(outbox, id)).toMatchObject({ status: expected, attempts: 1 });
    expect(rig.seen).toHaveLength(1);
  });

  it("waits for as long as the upstream asks", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox] });
    rig.answer = () => new Response(null, { status: 429, headers: { "retry-after": "40" } });
    const clock = stopClock();
    const [id] = await acceptAll(outbox, [item()]);
    await rig.consume(pointers(outbox, [id]));
    const { nextAttemptAt } = await viewOf(outbox, id);
    expect(nextAttemptAt).toBe(Date.now() + 40_000);
    clock.advance(39_999);
    expect(await rig.consume(pointers(outbox, [id]))).toEqual({ acked: ["0"], retried: [] });
    expect(rig.seen).toHaveLength(1);
  });

  it("counts an attempt when the connection breaks and when the answer does not come", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox], upstream: { timeout: "100ms" } });
    const [broken, late] = await acceptAll(outbox, items(2));
    rig.answer = () => Promise.reject(new Error("connection lost"));
    await rig.consume(pointers(outbox, [broken]));
    rig.answer = () => new Promise(() => {});
    await rig.consume(pointers(outbox, [late]));
    expect(await viewOf(outbox, broken)).toMatchObject({
      status: "deferred",
      attempts: 1,
      reason: "the try failed: upstream_unreachable",
    });
    expect(await viewOf(outbox, late)).toMatchObject({
      attempts: 1,
      reason: "the try failed: upstream_timeout",
    });
  });

  it("keeps the first 64 KiB of a longer answer and says so", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox] });
    rig.answer = () => new Response("x".repeat(MAX_RESULT_BODY_BYTES + 1));
    const [long] = await acceptAll(outbox, [item()]);
    await rig.consume(pointers(outbox, [long]));
    rig.answer = () => new Response("x".repeat(MAX_RESULT_BODY_BYTES));
    const [fits] = await acceptAll(outbox, [item()]);
    await rig.consume(pointers(outbox, [fits]));
    const results = await Promise.all([long, fits].map((id) => outbox.result({ id, waitMs: 0 })));
    const kept = results.map((reply) => (reply.kind === "result" ? reply.result : null));
    expect(kept.map((result) => (result?.body instanceof Uint8Array ? result.body.byteLength : 0))).toEqual([
      MAX_RESULT_BODY_BYTES,
      MAX_RESULT_BODY_BYTES,
    ]);
    const marks = kept.map(
      (result) => new Headers(result?.headers.map(([n, v]): [string, string] => [n, v])),
    );
    expect(marks.map((headers) => headers.get("x-tidegate-truncated"))).toEqual(["65536", null]);
  });

  it("reads a large body from the bucket, and only what was accepted", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox] });
    const bytes = new TextEncoder().encode("large".repeat(50_000));
    const digest = await crypto.subtle.digest("SHA-256", bytes);
    const sha256 = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const claimOf = (ref: string) => ({
      target: {
        kind: "request" as const,
        request: { method: "POST", path: "/", headers: [], body: { ref, sha256, length: bytes.byteLength } },
      },
    });
    await env.CLAIMS.put("good", bytes, { sha256 });
    await env.CLAIMS.put("other", bytes.with(0, 0));
    const refs = ["good", "other", "missing"];
    const ids = await acceptAll(
      outbox,
      refs.map((ref) => item(claimOf(ref))),
    );
    expect(await rig.consume(pointers(outbox, ids))).toEqual({ acked: ["0", "1", "2"], retried: [] });
    expect(rig.seen.map(({ body }) => body.length)).toEqual([bytes.byteLength]);
    const views = await Promise.all(ids.map((id) => viewOf(outbox, id)));
    expect(views.map(({ status, attempts }) => [status, attempts])).toEqual([
      ["succeeded", 1],
      ["deferred", 0],
      ["deferred", 0],
    ]);
    expect(views[2].reason).toContain("not in the bucket");
  });
});

describe("a batch", () => {
  it("has one effect for each job, however often its pointers come", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox] });
    const ids = await acceptAll(outbox, items(40));
    const thrice = pointers(outbox, ids).flatMap((pointer) => [pointer, pointer, pointer]);
    const batches = [thrice.slice(0, 60), thrice.slice(60), thrice.toReversed(), thrice];
    const consumed = await Promise.all(batches.map((batch) => rig.consume(batch)));
    expect(consumed.map(({ acked }) => acked.length)).toEqual(batches.map((batch) => batch.length));
    expect(rig.seen).toHaveLength(40);
    expect(new Set(rig.seen.map(({ headers }) => headers.get("idempotency-key"))).size).toBe(40);
    expect((await outbox.describe()).depth).toBe(0);
  });

  it("opens six connections at a time, also to several queues", async () => {
    const outboxes = await Promise.all([newOutbox(), newOutbox(), newOutbox()]);
    const rig = newConsumer({ queues: outboxes });
    rig.answer = async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      return new Response();
    };
    const all: unknown[] = [];
    for (const outbox of outboxes) all.push(...pointers(outbox, await acceptAll(outbox, items(30))));
    const { acked } = await rig.consume(all);
    expect(acked).toHaveLength(90);
    expect(rig.seen).toHaveLength(90);
    expect(rig.most()).toBe(6);
  });

  it("claims no more jobs at a time than its queue says", async () => {
    const outbox = await newOutbox();
    const claimed: number[] = [];
    const OUTBOX = {
      idFromName: (name: string) => env.OUTBOX.idFromName(name),
      get: (id: DurableObjectId) => ({
        claim(request: ClaimRequest) {
          claimed.push(request.ids.length);
          return env.OUTBOX.get(id).claim(request);
        },
        settle: (request: SettleRequest) => env.OUTBOX.get(id).settle(request),
      }),
    };
    const rig = newConsumer({ queues: [outbox], queue: { batch: 20 }, bindings: { OUTBOX } });
    await rig.consume(pointers(outbox, await acceptAll(outbox, items(50))));
    expect([rig.seen.length, claimed]).toEqual([50, [20, 20, 10]]);
  });

  it("is not stopped by a job that is no request", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox] });
    const request = { method: "NO METHOD", path: "/", headers: [], body: null };
    const clock = stopClock();
    const [odd, ...rest] = await acceptAll(outbox, [
      item({ target: { kind: "request", request } }),
      ...items(99),
    ]);
    expect((await rig.consume(pointers(outbox, [odd, ...rest]))).acked).toHaveLength(100);
    expect(rig.seen).toHaveLength(99);
    expect(await viewOf(outbox, odd)).toMatchObject({ status: "deferred", attempts: 0 });
    clock.advance(60_000);
    await rig.consume(pointers(outbox, [odd]));
    expect(await viewOf(outbox, odd)).toMatchObject({ status: "dead", attempts: 0 });
    const page = await outbox.dead({ after: null, max: 10 });
    expect(page.kind === "dead" && page.items[0].reason).toContain("could not read it");
  });

  it("is not stopped by a message that is none", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox] });
    const [a, b] = await acceptAll(outbox, items(2));
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const [first, second] = pointers(outbox, [a, b]);
    const odd = [{ ...first, v: 2 }, null, "text", { ...first, outbox: "hub:weur:0" }];
    const consumed = await rig.consume([first, ...odd, second]);
    expect(consumed).toEqual({ acked: ["0", "5"], retried: ["1", "2", "3", "4"] });
    expect(rig.seen).toHaveLength(2);
    expect(log).toHaveBeenCalledTimes(4);
  });

  it("is retried by the queue as far as an outbox does not answer", async () => {
    const good = await newOutbox();
    const broken = await newOutbox();
    vi.spyOn(console, "error").mockImplementation(() => {});
    const brokenName = String(env.OUTBOX.idFromName(broken.name ?? ""));
    const OUTBOX = {
      idFromName: (name: string) => env.OUTBOX.idFromName(name),
      get: (id: DurableObjectId) =>
        String(id) === brokenName ? { claim: () => Promise.reject(new Error("gone")) } : env.OUTBOX.get(id),
    };
    const rig = newConsumer({ queues: [good, broken], bindings: { OUTBOX } });
    const [a] = await acceptAll(good, items(1));
    const [b] = await acceptAll(broken, items(1));
    const consumed = await rig.consume([...pointers(broken, [b]), ...pointers(good, [a])]);
    expect(consumed).toEqual({ acked: ["1"], retried: ["0"] });
    expect(await viewOf(good, a)).toMatchObject({ status: "succeeded" });
    expect(await viewOf(broken, b)).toMatchObject({ status: "queued", attempts: 0 });
  });

  it("begins nothing more after twelve minutes", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox] });
    const clock = stopClock();
    const ids = await acceptAll(outbox, items(40));
    rig.answer = () => {
      if (rig.seen.length === 10) clock.advance(12 * 60_000);
      return new Response();
    };
    const { acked, retried } = await rig.consume(pointers(outbox, ids));
    expect([acked.length, retried.length]).toEqual([40, 0]);
    expect(rig.seen.length).toBeLessThan(20);
    const { depth, running } = await outbox.describe();
    expect(running).toBe(0);
    expect(depth).toBe(40 - rig.seen.length);
    const views = await Promise.all(ids.map((id) => viewOf(outbox, id)));
    expect(views.filter(({ attempts }) => attempts > 0)).toHaveLength(rig.seen.length);
  });
});

describe("the order of a key", () => {
  it("is kept, and one batch goes on from job to job", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox] });
    const jobs = Array.from({ length: 20 }, (_, index) =>
      item({ key: index % 2 ? "odd" : "even", path: `/${index}` }),
    );
    const ids = await acceptAll(outbox, jobs);
    await rig.consume(pointers(outbox, ids.slice(0, 2)));
    const paths = rig.seen.map(({ url }) => Number(new URL(url).pathname.slice(1)));
    expect(paths.filter((path) => path % 2 === 0)).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
    expect(paths.filter((path) => path % 2 === 1)).toEqual([1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
    expect((await outbox.describe()).depth).toBe(0);
  });

  it("stops at a job that has to wait, and at nobody else's", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox] });
    const keys = ["a", "a", "a", "b", "b", null];
    const ids = await acceptAll(
      outbox,
      keys.map((key, index) => item({ key, path: `/${index}` })),
    );
    rig.answer = ({ url }) => new Response(null, { status: url.endsWith("/1") ? 503 : 200 });
    await rig.consume(pointers(outbox, [ids[0], ids[3]]));
    expect(rig.seen.map(({ url }) => new URL(url).pathname).toSorted()).toEqual(["/0", "/1", "/3", "/4"]);
    const views = await Promise.all(ids.map((id) => viewOf(outbox, id)));
    expect(views.map(({ status }) => status)).toEqual([
      "succeeded",
      "deferred",
      "queued",
      "succeeded",
      "succeeded",
      "queued",
    ]);
    expect((await outbox.describe()).running).toBe(0);
  });

  it("gives way to other batches after a while", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox] });
    const clock = stopClock();
    const ids = await acceptAll(outbox, items(12, { key: "k" }));
    rig.answer = () => {
      clock.advance(1_000);
      return new Response();
    };
    await rig.consume(pointers(outbox, ids));
    expect(rig.seen).toHaveLength(5);
    const { running, depth } = await outbox.describe();
    expect([running, depth]).toEqual([0, 7]);
  });
});
