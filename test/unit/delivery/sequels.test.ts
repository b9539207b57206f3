// The core of a reaction's outbox under random faults: whatever happens, every job that has ended has one
// event that tells how, and one that has not ended has none.

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { WaitingSequels } from "../../../src/delivery/core/event-protocol.ts";
import type {
  AcceptItem,
  AcceptReply,
  DeliveryOutcome,
  JobStatus,
  QueueTerms,
} from "../../../src/delivery/core/protocol.ts";
import {
  MAX_WAITING_SEQUELS,
  WAKE_MS,
  afterOffer,
  describeSequels,
  newSequelRelay,
  nextSequelAt,
  watchSequels,
  type NamedSequel,
} from "../../../src/delivery/core/sequel-relay.ts";
import { HOLD_MS, MAX_HOLD_MS } from "../../../src/delivery/core/routes.ts";
import { createBook } from "../../../src/delivery/core/book.ts";
import { ModelOutbox } from "./outbox-model.ts";

const TERMS: QueueTerms = {
  highWatermark: 1_000,
  resumeAt: 0.7,
  alertAt: 1_000,
  maxAgeMs: 600_000,
  retry: { attempts: 2, delayMs: 1_000, maxDelayMs: 20_000 },
  onDeadHead: "skip",
  delivery: "upstream",
  reaction: { source: "/gw/reactions/r", ok: "r.ok", failed: "r.failed", deadline: "r.late" },
};

const TOLD: Readonly<Partial<Record<JobStatus, string>>> = {
  succeeded: "r.ok",
  failed: "r.failed",
  dead: "r.failed",
  cancelled: "r.failed",
  expired: "r.late",
};

const FAILED = { kind: "failed", status: 500, error: null, retryAfterMs: null, result: null } as const;
const RESULT = { status: 200, headers: [], body: null };
const OUTCOMES: readonly DeliveryOutcome[] = [
  { kind: "succeeded", result: RESULT },
  { kind: "refused", result: { ...RESULT, status: 422 } },
  FAILED,
  { ...FAILED, status: null, error: "reset" },
  { kind: "deferred", forMs: 5_000, reason: "circuit open" },
  { kind: "poison", error: "no JSON" },
  { kind: "hopeless", reason: "data.sku is missing" },
];

function itemOf(id: string, key: string | null): AcceptItem {
  const event = {
    id,
    source: "/",
    type: "r",
    subject: null,
    time: null,
    dataContentType: null,
    dataSchema: null,
    extensions: {},
    data: { kind: "none" as const },
  };
  const nobody = { consumer: null, tenant: null, idempotency: null, traceparent: null, requestId: null };
  return { ...nobody, target: { kind: "event", event }, priority: 1, route: "r", key, maxAgeMs: null };
}

interface Step {
  readonly kind: string;
  readonly pick: number;
  readonly key: string | null;
  readonly dies: "before" | "after" | null;
  readonly outcome: DeliveryOutcome;
  readonly ms: number;
}

const KINDS = ["accept", "publish", "claim", "settle", "settle", "pass", "cancel", "crash", "fail"];

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(...KINDS, ...KINDS.slice(0, 5)),
  pick: fc.nat({ max: 30 }),
  key: fc.constantFrom(null, "a"),
  dies: fc.constantFrom(null, null, "before" as const, "after" as const),
  outcome: fc.constantFrom(...OUTCOMES),
  ms: fc.constantFrom(10, 1_000, 25_000, 400_000),
});

/** `made`: how many events were offered, to name the next. */
function perform(outbox: ModelOutbox, { kind, pick, key, dies, outcome, ms }: Step, made: string): void {
  const job = outbox.held[pick % Math.max(1, outbox.held.length)];
  const id = [...outbox.accepted.keys()][pick];
  if (kind === "accept") outbox.accept([itemOf(made, key)]);
  if (kind === "publish") outbox.publish(dies);
  if (kind === "claim") outbox.claim(outbox.queue.splice(0, pick), pick === 3);
  if (kind === "settle" && job !== undefined) outbox.settle([job], outcome);
  if (kind === "pass") outbox.pass(ms);
  if (kind === "cancel" && id !== undefined) outbox.cancel(id);
  if (kind === "crash") outbox.crash();
  if (kind === "fail") outbox.failsNext = true;
}

/** Types of the events that tell of a job. */
function toldOf(outbox: ModelOutbox, id: string): string[] {
  const target = outbox.store.jobs.get(seqOf(id))?.job.target;
  const cause = target?.kind === "event" ? target.event.id : null;
  return [...outbox.store.sequels.values()]
    .filter((each) => each.cause.id === cause)
    .map(({ event }) => event.type);
}

function seqOf(id: string): number {
  return Number.parseInt(id.split("-")[1], 36);
}

describe("what follows from a job", () => {
  it("is one event once it has ended, and none before", { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100, size: "max" }), (steps) => {
        const outbox = new ModelOutbox(TERMS);
        for (const [index, each] of steps.entries()) {
          perform(outbox, each, `e${index}`);
          outbox.check();
          for (const id of outbox.accepted.keys()) {
            const type = TOLD[outbox.view(id).status];
            expect(toldOf(outbox, id)).toEqual(type === undefined ? [] : [type]);
          }
        }
        expect(outbox.book.sequels).toMatchObject({ waiting: outbox.store.sequels.size });
      }),
      { numRuns: 200 },
    );
  });
});

function named(seq: number): NamedSequel {
  const event = { ...eventOf(`${seq}`), time: null };
  const cause = { source: "/", id: `${seq}` };
  const origin = { priority: 1, traceparent: null, requestId: null, region: "weur" } as const;
  return {
    sequel: { seq, kind: "ok", cause, event, ...origin },
    id: `${seq}-ok`,
    fingerprint: "f".repeat(64),
  };
}

function eventOf(id: string) {
  const { target } = itemOf(id, null);
  if (target.kind !== "event") throw new Error("no event");
  return target.event;
}

type Outcomes = Extract<AcceptReply, { kind: "answered" }>["outcomes"];

function answered(...outcomes: Outcomes): AcceptReply {
  const pressure = { depth: 0, watermark: 1, rejecting: false, rejectingCritical: false, retryAfterMs: 0 };
  return { kind: "answered", outcomes, pressure };
}

const TAKEN = { kind: "accepted", id: "j", status: "queued" } as const;
const FULL = { kind: "backlog-full", retryAfterMs: 7_000 } as const;

describe("publishing what follows", () => {
  const NOW = 1_000_000;
  const start = (waiting: number) => {
    const book = createBook({ kind: "subscription", queue: "r", shard: 0 }, NOW);
    Object.assign(book.sequels, { last: waiting, waiting });
    const relay = newSequelRelay();
    watchSequels(book, relay);
    return { book, relay };
  };

  it("ends with what the outbox of the events has, known or new", () => {
    const { book, relay } = start(3);
    const again = { kind: "in-flight", id: "j" } as const;
    const writes = afterOffer(
      book,
      relay,
      [named(1), named(2), named(3)],
      answered(TAKEN, again, TAKEN),
      NOW,
    );
    expect(writes).toEqual([{ kind: "end-sequels", seqs: [1, 2, 3] }]);
    expect([book.sequels.waiting, nextSequelAt(book, relay, NOW)]).toEqual([0, null]);
  });

  it("stops at the first that is refused, rests, and the reaction with it", () => {
    const { book, relay } = start(3);
    const writes = afterOffer(book, relay, [named(1), named(2), named(3)], answered(TAKEN, FULL, TAKEN), NOW);
    expect(writes).toEqual([{ kind: "end-sequels", seqs: [1] }]);
    expect([book.sequels.waiting, book.sequels.areMany]).toEqual([2, true]);
    expect(nextSequelAt(book, relay, NOW)).toBe(NOW + 7_000);
    const described: WaitingSequels = describeSequels(book, relay, NOW - 5, NOW);
    expect(described).toEqual({
      count: 2,
      oldestAgeMs: 5,
      reason: "the outbox of the events is over its watermark",
    });
    afterOffer(book, relay, [named(2), named(3)], answered(TAKEN, TAKEN), NOW + 7_000);
    expect([book.sequels.waiting, book.sequels.areMany, relay.reason]).toEqual([0, false, null]);
  });

  it("waits longer each time that there is no answer, while the reaction goes on", () => {
    const { book, relay } = start(1);
    const waits: number[] = [];
    for (let times = 0; times < 8; times++) {
      expect(afterOffer(book, relay, [named(1)], null, NOW)).toEqual([]);
      waits.push((nextSequelAt(book, relay, NOW) ?? 0) - NOW);
    }
    expect(waits.slice(0, 3)).toEqual([HOLD_MS, 2 * HOLD_MS, 4 * HOLD_MS]);
    expect(waits.at(-1)).toBe(MAX_HOLD_MS);
    expect([book.sequels.waiting, book.sequels.areMany]).toEqual([1, false]);
    expect(relay.reason).toBe("the outbox of the events does not answer");
  });

  it("holds the reaction from the bound on", () => {
    const held = [MAX_WAITING_SEQUELS - 1, MAX_WAITING_SEQUELS].map(
      (waiting) => start(waiting).book.sequels.areMany,
    );
    expect(held).toEqual([false, true]);
  });

  it("is looked after a second later, when whoever stored it may have been killed", () => {
    const { book, relay } = start(1);
    expect(nextSequelAt(book, relay, NOW)).toBe(NOW + WAKE_MS);
    relay.isBusy = true;
    expect(nextSequelAt(book, relay, NOW)).toBe(NOW + MAX_HOLD_MS);
  });
});
