// Ids and validators: what comes from another version of the Worker is taken as it should be or named.

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  EVENTS_OUTBOX,
  formatJobId,
  isSameSecret,
  outboxName,
  parseJobId,
  parseOutboxName,
  secretOf,
} from "../../../src/delivery/core/job-id.ts";
import {
  MAX_BATCH_JOBS,
  MAX_HEADER_CHARS,
  MAX_HIGH_WATERMARK,
  MAX_INLINE_BODY_BYTES,
  MAX_LEASE_MS,
  MAX_PAGE_ROWS,
  MAX_PATH_CHARS,
  MAX_RESULT_WAIT_MS,
  MIN_LEASE_MS,
} from "../../../src/delivery/core/protocol.ts";
import { checkClaim, checkRenew, checkSettle } from "../../../src/delivery/core/consumer-requests.ts";
import {
  checkAccept,
  checkCancel,
  checkDead,
  checkReplay,
  checkResult,
  isPointer,
} from "../../../src/delivery/core/requests.ts";

const HEX = "0123456789abcdef0123456789abcdef";
const TERMS = {
  highWatermark: 20_000,
  resumeAt: 0.7,
  alertAt: 10_000,
  maxAgeMs: 86_400_000,
  retry: { attempts: 10, delayMs: 5_000, maxDelayMs: 86_400_000 },
  onDeadHead: "block",
};
const REQUEST = { method: "POST", path: "/a?b", headers: [["x", "1"]], body: new Uint8Array(3) };
const ITEM = {
  target: { kind: "request", request: REQUEST },
  priority: 1,
  consumer: "acme",
  tenant: null,
  route: "orders",
  key: "k",
  idempotency: { key: "i", fingerprint: "a".repeat(64) },
  traceparent: null,
  requestId: "r",
  maxAgeMs: null,
};
const BATCH = { region: "weur", config: "c", terms: TERMS, items: [ITEM], refused: 0 };

function itemKind(changes: object): string {
  const checked = checkAccept({ ...BATCH, items: [{ ...ITEM, ...changes }] });
  if (checked.kind === "malformed") return "batch";
  const [item] = checked.request.items;
  return item.kind === "malformed" ? item.field : item.kind;
}

function requestKind(changes: object): string {
  return itemKind({ target: { kind: "request", request: { ...REQUEST, ...changes } } });
}

describe("an id", () => {
  it("comes back from its text, whatever the queue is called", () => {
    const queue = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/);
    const seq = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
    const kind = fc.constantFrom("queue" as const, "subscription" as const);
    fc.assert(
      fc.property(kind, queue, seq, fc.nat({ max: 999 }), (of, name, number, shard) => {
        const id = { secret: HEX, seq: number, kind: of, queue: name, shard };
        expect(parseJobId(formatJobId(id))).toEqual(id);
        expect(parseOutboxName(outboxName(id))).toEqual({ kind: of, queue: name, shard });
      }),
    );
  });

  it("has one spelling: everything else is none", () => {
    const good = `${HEX}-1z-orders`;
    expect(parseJobId(good)).toEqual({ secret: HEX, seq: 71, kind: "queue", queue: "orders", shard: 0 });
    const events = { ...EVENTS_OUTBOX, secret: HEX, seq: 71 };
    expect(parseJobId(formatJobId(events))).toEqual(events);
    expect(parseOutboxName(outboxName(events))).toEqual(EVENTS_OUTBOX);
    for (const bad of [
      `${HEX}-01z-orders`,
      `${HEX}-1Z-orders`,
      `${HEX.toUpperCase()}-1z-orders`,
      `${HEX}-1z-orders.0`,
      `${HEX}-zzzzzzzzzzz-orders`,
      `${HEX}-1z-`,
      `${HEX}-1z-${"a".repeat(65)}`,
      ` ${good}`,
      "",
      null,
      7,
    ]) {
      expect(parseJobId(bad)).toBeNull();
    }
    for (const bad of ["orders", "queue.orders", "queue.orders.01", "queue.9.0", "queue..0", "events.1"]) {
      expect(parseOutboxName(bad)).toBeNull();
    }
  });

  it("compares secrets as a whole", () => {
    expect(isSameSecret(HEX, HEX)).toBe(true);
    expect(isSameSecret(HEX, `${HEX.slice(0, -1)}0`)).toBe(false);
    expect(isSameSecret(HEX, HEX.slice(1))).toBe(false);
    expect(secretOf(new Uint8Array([0, 15, 16, 255]))).toBe("000f10ff");
  });
});

describe("a batch to accept", () => {
  it("is taken as it is", () => {
    expect(checkAccept(BATCH)).toEqual({
      kind: "valid",
      request: { ...BATCH, items: [{ kind: "item", item: ITEM }], lookups: [], subscriptions: null },
    });
    const claim = { ref: "claims/acme/1", sha256: "b".repeat(64), length: 1e9 };
    expect(requestKind({ body: claim })).toBe("item");
  });

  it.each([
    [{ region: 1 }, "region"],
    [{ terms: { ...TERMS, highWatermark: 0 } }, "terms"],
    [{ terms: { ...TERMS, highWatermark: MAX_HIGH_WATERMARK + 1 } }, "terms"],
    [{ terms: { ...TERMS, resumeAt: 1 } }, "terms"],
    [{ terms: { ...TERMS, retry: { ...TERMS.retry, attempts: 0 } } }, "terms"],
    [{ terms: { ...TERMS, onDeadHead: "wait" } }, "terms"],
    [{ items: Array.from({ length: MAX_BATCH_JOBS + 1 }, () => ITEM) }, "items"],
    [{ refused: -1 }, "refused"],
  ])("is malformed as a whole with %j", (changes, field) => {
    expect(checkAccept({ ...BATCH, ...changes })).toEqual({ kind: "malformed", field });
  });

  it.each([
    [{ priority: 4 }, "priority"],
    [{ key: "" }, "key"],
    [{ key: "\ud800" }, "key"],
    [{ consumer: undefined }, "consumer"],
    [{ idempotency: { key: "i", fingerprint: "A".repeat(64) } }, "idempotency"],
    [{ target: { kind: "event" } }, "target"],
    [{ maxAgeMs: Number.NaN }, "maxAgeMs"],
  ])("has an item malformed with %j", (changes, field) => {
    expect(itemKind(changes)).toBe(field);
  });

  it("has an item too large beyond each bound, and not at it", () => {
    expect(requestKind({ body: new Uint8Array(MAX_INLINE_BODY_BYTES) })).toBe("item");
    expect(requestKind({ body: new Uint8Array(MAX_INLINE_BODY_BYTES + 1) })).toBe("too-large");
    expect(requestKind({ headers: [["x", "a".repeat(MAX_HEADER_CHARS - 1)]] })).toBe("item");
    expect(requestKind({ headers: [["x", "a".repeat(MAX_HEADER_CHARS)]] })).toBe("too-large");
    expect(requestKind({ path: `/${"a".repeat(MAX_PATH_CHARS - 1)}` })).toBe("item");
    expect(requestKind({ path: `/${"a".repeat(MAX_PATH_CHARS)}` })).toBe("too-large");
    expect(requestKind({ path: "a" })).toBe("target");
  });
});

describe("other requests", () => {
  const result = { status: 200, headers: [], body: null };
  const settlement = { id: "x", fence: 1, outcome: { kind: "succeeded", result }, tookMs: 1.5 };

  it("are taken within their bounds", () => {
    const claim = { ids: ["x"], leaseMs: MIN_LEASE_MS, claimant: "c" };
    expect(checkClaim(claim)).toEqual({ kind: "valid", request: claim });
    expect(checkClaim({ ...claim, leaseMs: MAX_LEASE_MS + 1 }).kind).toBe("malformed");
    expect(checkClaim({ ...claim, leaseMs: MIN_LEASE_MS - 1 }).kind).toBe("malformed");
    expect(checkClaim({ ...claim, ids: Array(MAX_BATCH_JOBS + 1).fill("x") }).kind).toBe("malformed");
    expect(checkClaim({ ...claim, batch: 0 })).toEqual({ kind: "malformed", field: "batch" });
    const renewal = { ids: ["x"], fence: 1, leaseMs: MIN_LEASE_MS };
    expect(checkRenew(renewal)).toEqual({ kind: "valid", request: renewal });
    expect(checkRenew({ ...renewal, fence: 0 })).toEqual({ kind: "malformed", field: "fence" });
    expect(checkRenew({ ...renewal, leaseMs: MAX_LEASE_MS + 1 }).kind).toBe("malformed");
    expect(checkRenew({ ...renewal, ids: Array(MAX_BATCH_JOBS + 1).fill("x") }).kind).toBe("malformed");
    const lookup = { consumer: null, tenant: null, route: "r", idempotency: ITEM.idempotency };
    expect(checkAccept({ ...BATCH, lookups: [lookup] }).kind).toBe(
      lookup.idempotency === null ? "malformed" : "valid",
    );
    expect(checkAccept({ ...BATCH, lookups: [{ ...lookup, idempotency: null }] }).kind).toBe("malformed");
    expect(checkResult({ id: "x", waitMs: 1e6 })).toMatchObject({ request: { waitMs: MAX_RESULT_WAIT_MS } });
    expect(checkDead({ after: null, max: 1e6 })).toMatchObject({ request: { max: MAX_PAGE_ROWS } });
    expect(checkCancel({ id: "x", by: "stranger" })).toEqual({ kind: "malformed", field: "by" });
    expect(checkReplay({ ids: ["x"] }).kind).toBe("valid");
    expect(checkReplay({ since: 1, until: 2, rate: 0.5 }).kind).toBe("valid");
    expect(checkReplay({ since: 2, until: 1, rate: 1 })).toEqual({ kind: "malformed", field: "until" });
    expect(checkReplay({ since: 1, until: 2, rate: 0 })).toEqual({ kind: "malformed", field: "rate" });
  });

  it.each([
    { kind: "succeeded", result: { ...result, status: 99 } },
    { kind: "succeeded", result: { ...result, body: new Uint8Array(MAX_INLINE_BODY_BYTES + 1) } },
    { kind: "failed", status: 503, error: null, retryAfterMs: -1, result: null },
    { kind: "deferred", forMs: Number.POSITIVE_INFINITY, reason: "" },
    { kind: "something new" },
  ])("do not settle with %j", (outcome) => {
    expect(checkSettle({ settlements: [settlement] }).kind).toBe("valid");
    expect(checkSettle({ settlements: [settlement, { ...settlement, outcome }] }).kind).toBe("malformed");
  });

  it("never break the validators, whatever they are", () => {
    const checks = [checkAccept, checkClaim, checkSettle, checkResult, checkCancel, checkDead, checkReplay];
    fc.assert(
      fc.property(fc.anything(), (value) => {
        for (const check of checks) expect(["valid", "malformed"]).toContain(check(value).kind);
        expect(isPointer(value)).toBe(false);
      }),
    );
    expect(isPointer({ v: 1, outbox: "queue.a.0", id: "x", region: "" })).toBe(true);
    expect(isPointer({ v: 2, outbox: "queue.a.0", id: "x", region: "" })).toBe(false);
  });
});
