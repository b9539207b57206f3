// An event as the request of a reaction, and its outcome as the next event.

import { describe, it } from "vitest";
import type { ReactionRequest } from "../../../src/config/plan.ts";
import { UNTOUCHED, createBook } from "../../../src/delivery/core/book.ts";
import type { ClaimedJob, DeliveryOutcome, JobResult } from "../../../src/delivery/core/protocol.ts";
import { followUp, sequelType, type Ending } from "../../../src/delivery/core/sequel.ts";
import type { JobRow } from "../../../src/delivery/core/storage.ts";
import { MAX_DATA_BYTES, checkEvent, type CloudEvent } from "../../../src/delivery/events/cloud-event.ts";
import { MAX_HOPS, correlationOf, hopsOf } from "../../../src/delivery/events/correlation.ts";
import { asReactionOutcome, reactTo } from "../../../src/delivery/react.ts";
import { MemoryStore } from "./memory-store.ts";

function eventOf(changes: Partial<CloudEvent> = {}): CloudEvent {
  return {
    id: "evt-1",
    source: "/shop",
    type: "order.placed",
    subject: "o 1",
    time: "2026-11-24T10:00:00Z",
    dataContentType: "application/json",
    dataSchema: null,
    extensions: { partitionkey: "p", shop: "berlin" },
    data: { kind: "json", text: '{"sku": "a/b", "n": 2, "big": 9007199254740993, "lines": [1, 2]}' },
    ...changes,
  };
}

function jobOf(event: CloudEvent): ClaimedJob {
  return {
    kind: "claimed",
    id: "j",
    fence: 1,
    attempt: 1,
    lastAttempt: false,
    leaseMs: 1_000,
    expiresInMs: 60_000,
    acceptedAt: 0,
    priority: 1,
    consumer: null,
    tenant: null,
    route: "events",
    key: null,
    traceparent: null,
    requestId: null,
    region: "weur",
    target: { kind: "event", event },
  };
}

const NO_SECRETS = { set: [], remove: [] };
const REQUEST: ReactionRequest = {
  method: "POST",
  path: "/skus/{data.sku}?n={data.n}",
  headers: [["x-shop", "{extensions.shop}"]],
  secretHeaders: NO_SECRETS,
  body: { lines: "{data.lines}", text: "{subject}, {type} of {source} at {time}", all: "{data}" },
};

function requestOf(event: CloudEvent, request = REQUEST, name = "reserve") {
  const reacted = reactTo(jobOf(event), { name }, request, [["authorization", "secret"]]);
  if (reacted.kind !== "request") throw new Error(reacted.reason);
  const { method, path, headers, body } = reacted.job.target.request;
  if (!(body instanceof Uint8Array) && body !== null) throw new Error("a claim");
  const text = body === null ? null : new TextDecoder().decode(body);
  return { method, path, headers: Object.fromEntries(headers), body: text };
}

describe("the request of a reaction", () => {
  it("is what its templates make of the event", ({ expect }) => {
    const { method, path, headers, body } = requestOf(eventOf());
    expect([method, path]).toEqual(["POST", "/skus/a%2Fb?n=2"]);
    expect(headers).toEqual({
      "idempotency-key": expect.stringMatching(/^[0-9a-f]{32}$/),
      "ce-correlationid": "evt-1",
      "ce-causationid": "evt-1",
      "ce-hops": "1",
      "x-shop": "berlin",
      authorization: "secret",
      "content-type": "application/json",
    });
    expect(JSON.parse(body ?? "")).toMatchObject({
      lines: [1, 2],
      text: "o 1, order.placed of /shop at 2026-11-24T10:00:00Z",
      all: { sku: "a/b" },
    });
  });

  it("has a key of its own for each event and reaction, the same for every try", ({ expect }) => {
    const keyOf = (changes: Partial<CloudEvent>, name = "reserve"): unknown =>
      requestOf(eventOf(changes), REQUEST, name).headers["idempotency-key"];
    const keys = [keyOf({}), keyOf({ id: "evt-2" }), keyOf({ source: "/other" }), keyOf({}, "charge")];
    expect(new Set(keys).size).toBe(4);
    expect(keyOf({ time: "2026-12-24T10:00:00Z", subject: "other" })).toBe(keys[0]);
    const own = { ...REQUEST, path: "/{idempotencyKey}" };
    expect(requestOf(eventOf(), own).path).toBe(`/${String(keys[0])}`);
  });

  it("hands on what the event belongs to, in the form that header fields allow", ({ expect }) => {
    const extensions = { correlationid: "größe 1", hops: "3", shop: "x" };
    const { headers } = requestOf(eventOf({ extensions }));
    expect(headers["ce-correlationid"]).toBe("gr%C3%B6%C3%9Fe%201");
    expect(headers["ce-hops"]).toBe("4");
  });

  it("is none when the event lacks what it needs, and says what", ({ expect }) => {
    const lacking: [string, Partial<CloudEvent>][] = [
      ["data.sku is missing", { data: { kind: "json", text: "{}" } }],
      ["data.sku is missing", { data: { kind: "none" } }],
      ["data.sku is missing", { data: { kind: "bytes", bytes: new Uint8Array([1]) } }],
      ["data.sku is empty", { data: { kind: "json", text: '{"sku": "", "n": 1}' } }],
      ["data.sku is no text or number", { data: { kind: "json", text: '{"sku": {}, "n": 1}' } }],
      ["extensions.shop is missing", { extensions: {} }],
      ["subject is missing", { subject: null }],
    ];
    for (const [missing, changes] of lacking) {
      expect(reactTo(jobOf(eventOf(changes)), { name: "r" }, REQUEST, [])).toEqual({
        kind: "hopeless",
        reason: `its event does not say what the request needs: ${missing}`,
      });
    }
  });

  it("is none from the bound of hops on", ({ expect }) => {
    const all = [MAX_HOPS - 1, MAX_HOPS, MAX_HOPS + 1].map((hops) =>
      eventOf({ extensions: { hops, shop: "x" } }),
    );
    expect(all.map((event) => reactTo(jobOf(event), { name: "r" }, REQUEST, []).kind)).toEqual([
      "request",
      "hopeless",
      "hopeless",
    ]);
  });
});

describe("hops and correlation", () => {
  it("of an event from elsewhere are none, and its id", ({ expect }) => {
    for (const hops of [undefined, "", "x", -1, 1.5, true, "NaN"]) {
      expect(hopsOf({ extensions: hops === undefined ? {} : { hops } })).toBe(hops === true ? 1 : 0);
    }
    expect(hopsOf({ extensions: { hops: "7" } })).toBe(7);
    expect(correlationOf({ id: "a", extensions: { correlationid: "" } })).toBe("a");
    expect(correlationOf({ id: "a", extensions: { correlationid: "b" } })).toBe("b");
  });
});

function resultOf(status: number, body: string | null, headers: JobResult["headers"] = []): JobResult {
  return { status, headers, body: body === null ? null : new TextEncoder().encode(body) };
}

const JSON_TYPE = [["Content-Type", "application/json; charset=utf-8"]] as const;

function told(outcome: DeliveryOutcome, method = "POST"): DeliveryOutcome {
  return asReactionOutcome({ outcome, tookMs: 1 }, method).outcome;
}

describe("the outcome of a request", () => {
  it("keeps of an answer what can be published", ({ expect }) => {
    const headers = [...JSON_TYPE, ["set-cookie", "secret=1"]] as const;
    const kept = told({ kind: "succeeded", result: resultOf(200, "{}", headers) });
    expect(kept).toMatchObject({ kind: "succeeded", result: { status: 200, headers: JSON_TYPE } });
  });

  it("of a DELETE is a success when there is nothing any more", ({ expect }) => {
    for (const [method, status, kind] of [
      ["DELETE", 404, "succeeded"],
      ["DELETE", 410, "succeeded"],
      ["DELETE", 409, "refused"],
      ["POST", 404, "refused"],
    ] as const) {
      const outcome = told({ kind: "refused", result: resultOf(status, "unknown") }, method);
      const body = kind === "succeeded" ? null : expect.any(Uint8Array);
      expect(outcome).toMatchObject({ kind, result: { status, body } });
    }
  });

  it("is told as ok, failed or late, and late as failed where nothing else is said", ({ expect }) => {
    const all = { source: "/", ok: "ok", failed: "no", deadline: "late" };
    const statuses = ["succeeded", "failed", "dead", "cancelled", "expired"] as const;
    expect(statuses.map((status) => sequelType(all, status)?.type)).toEqual(["ok", "no", "no", "no", "late"]);
    const one = { ...all, ok: null, deadline: null };
    expect(statuses.map((status) => sequelType(one, status)?.type)).toEqual([
      undefined,
      "no",
      "no",
      "no",
      "no",
    ]);
  });
});

const ROW = { priority: 2, traceparent: "tp", requestId: "r", region: "weur" } as const;

/** The event that follows when a reaction to this event has ended so. */
function sequelOf(event: CloudEvent, changes: Partial<Ending>): CloudEvent | null {
  const book = createBook({ kind: "subscription", queue: "charge", shard: 0 }, 0);
  const ending = {
    status: "succeeded",
    reason: null,
    result: null,
    attempts: 1,
    upstreamStatus: 200,
  } as const;
  const terms = {
    highWatermark: 1,
    resumeAt: 0.7,
    alertAt: 1,
    maxAgeMs: 1,
    retry: { attempts: 1, delayMs: 1, maxDelayMs: 1 },
    onDeadHead: "skip",
    reaction: { source: "/gw/reactions/charge", ok: "paid", failed: "unpaid", deadline: null },
  } as const;
  const job = {
    ...UNTOUCHED,
    seq: 1,
    key: null,
    acceptedAt: 0,
    expiresAt: 1,
    terms,
  };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- all that is read of it
  const row = ROW as unknown as JobRow;
  const reads = {
    ...new MemoryStore().reads,
    job: () => row,
    target: () => ({ kind: "event" as const, event }),
  };
  const [write] = followUp(book, job, { ...ending, ...changes }, reads, Date.UTC(2026, 10, 24));
  if (write?.kind !== "sequel") return null;
  const { sequel } = write;
  if (sequel.priority !== 2 || sequel.traceparent !== "tp") throw new Error("it lost its origin");
  const made = { ...sequel.event, id: "made" };
  if (checkEvent(made) !== null) throw new Error(JSON.stringify(checkEvent(made)));
  return made;
}

function large(bytes: number): string {
  return `{"x":"${"x".repeat(bytes)}"}`;
}

function textOf(event: CloudEvent | null): string | null {
  return event?.data.kind === "json" ? event.data.text : null;
}

describe("the event that follows", () => {
  it("has the data of its cause as it came, and under the reaction's name the answer", ({ expect }) => {
    const result = resultOf(201, ' {"id": 12345678901234567890} ', JSON_TYPE);
    const event = sequelOf(eventOf(), { result });
    expect(textOf(event)).toBe(
      '{"sku":"a/b","n":2,"big":9007199254740993,"lines":[1, 2],"charge":{"id": 12345678901234567890}}',
    );
    expect(event).toMatchObject({
      source: "/gw/reactions/charge",
      type: "paid",
      subject: "o 1",
      time: "2026-11-24T00:00:00.000Z",
      extensions: { correlationid: "evt-1", causationid: "evt-1", hops: 1, partitionkey: "p" },
    });
    expect(event?.extensions).not.toHaveProperty("truncated");
  });

  it("says of a failure what went wrong, in place of what went wrong before", ({ expect }) => {
    const cause = eventOf({ data: { kind: "json", text: '{"a": 1, "error": {"reaction": "x"}}' } });
    const reason = "the upstream answered 402";
    const result = resultOf(402, '{"why": "no money"}', JSON_TYPE);
    const event = sequelOf(cause, { status: "failed", reason, result, upstreamStatus: 402 });
    expect(event?.type).toBe("unpaid");
    expect(JSON.parse(textOf(event) ?? "")).toEqual({
      a: 1,
      charge: { why: "no money" },
      error: { reaction: "charge", reason, status: 402, attempts: 1 },
    });
  });

  it("leaves out an answer that is no JSON, or none at all", ({ expect }) => {
    const answers = [
      null,
      resultOf(204, null, JSON_TYPE),
      resultOf(200, "hello", [["content-type", "text/plain"]]),
      resultOf(200, "{broken", JSON_TYPE),
      resultOf(200, "{}"),
    ];
    for (const result of answers) {
      expect(textOf(sequelOf(eventOf({ data: { kind: "json", text: '{"a":1}' } }), { result }))).toBe(
        '{"a":1}',
      );
    }
    expect(sequelOf(eventOf({ data: { kind: "none" } }), {})?.data).toEqual({ kind: "none" });
  });

  it("leaves out data of a cause that is no object", ({ expect }) => {
    const result = resultOf(200, "[1]", JSON_TYPE);
    for (const text of ["[1, 2]", '"a"', "null", "7"]) {
      expect(textOf(sequelOf(eventOf({ data: { kind: "json", text } }), { result }))).toBe('{"charge":[1]}');
    }
  });

  it("says when not everything fits, and keeps what matters more", ({ expect }) => {
    const failed = { status: "failed", reason: "no", upstreamStatus: 500 } as const;
    const answered = { result: resultOf(200, large(60_000), JSON_TYPE) };
    const cause = eventOf({ data: { kind: "json", text: large(60_000) } });
    const cut = sequelOf(cause, answered);
    expect([textOf(cut), cut?.extensions["truncated"]]).toEqual([large(60_000), true]);
    const full = eventOf({ data: { kind: "json", text: large(MAX_DATA_BYTES - 10) } });
    const rest = sequelOf(full, { ...failed, ...answered });
    expect(Object.keys(JSON.parse(textOf(rest) ?? ""))).toEqual(["error"]);
    expect(rest?.extensions["truncated"]).toBe(true);
    const headers = [...JSON_TYPE, ["x-tidegate-truncated", "65536"]] as const;
    const half = sequelOf(eventOf({ data: { kind: "none" } }), { result: resultOf(200, "{}", headers) });
    expect([half?.data.kind, half?.extensions["truncated"]]).toEqual(["none", true]);
  });

  it("is none from the bound of hops on", ({ expect }) => {
    const [last, none] = [MAX_HOPS - 1, MAX_HOPS].map((hops) =>
      sequelOf(eventOf({ extensions: { hops } }), {}),
    );
    expect([last?.extensions["hops"], none]).toEqual([MAX_HOPS, null]);
  });
});
