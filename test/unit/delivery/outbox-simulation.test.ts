// The whole core under random faults: whatever happens, nothing that was accepted is lost, each job
// succeeds at most once, jobs of a key succeed in their order, an idempotency key has one job.

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { depthOf } from "../../../src/delivery/core/book.ts";
import type { AcceptItem, DeliveryOutcome, QueueTerms } from "../../../src/delivery/core/protocol.ts";
import { ModelOutbox } from "./outbox-model.ts";

const TERMS: QueueTerms = {
  highWatermark: 30,
  resumeAt: 0.7,
  alertAt: 10,
  maxAgeMs: 366 * 24 * 3600 * 1000,
  // Few, so that there are dead jobs, and blocked and replayed ones.
  retry: { attempts: 1, delayMs: 1_000, maxDelayMs: 20_000 },
  onDeadHead: "block",
};

const OK: DeliveryOutcome = { kind: "succeeded", result: { status: 200, headers: [], body: null } };
const FAILED: DeliveryOutcome = {
  kind: "failed",
  status: 500,
  error: null,
  retryAfterMs: null,
  result: null,
};
const OUTCOMES: readonly DeliveryOutcome[] = [
  OK,
  FAILED,
  FAILED,
  { ...FAILED, status: null, error: "reset" },
  { kind: "deferred", forMs: 5_000, reason: "circuit open" },
  { kind: "deferred", forMs: 0, reason: "shutting down" },
  { kind: "poison", error: "no JSON" },
];

type Operation =
  | { readonly kind: "accept"; readonly items: readonly AcceptItem[] }
  | { readonly kind: "publish"; readonly dies: "before" | "after" | null }
  | { readonly kind: "claim"; readonly picks: readonly number[]; readonly lost: boolean }
  | {
      readonly kind: "settle";
      readonly pick: number;
      readonly outcome: DeliveryOutcome;
      readonly keeps: boolean;
    }
  | { readonly kind: "renew"; readonly pick: number }
  | { readonly kind: "lose"; readonly count: number }
  | { readonly kind: "cancel"; readonly pick: number }
  | { readonly kind: "pass"; readonly ms: number }
  | { readonly kind: "crash" | "fail-next" | "replay" };

const item = fc
  .record({
    key: fc.constantFrom(null, "a", "b"),
    idempotency: fc.constantFrom(null, null, "x", "y", "z"),
    priority: fc.constantFrom(0 as const, 1 as const, 3 as const),
  })
  .map(({ key, idempotency, priority }) => plainItem(key, idempotency, priority));

function plainItem(key: string | null, idempotency: string | null, priority: 0 | 1 | 3): AcceptItem {
  return {
    target: { kind: "request", request: { method: "POST", path: "/", headers: [], body: null } },
    priority,
    consumer: null,
    tenant: null,
    route: "r",
    key,
    idempotency: idempotency === null ? null : { key: idempotency, fingerprint: "f".repeat(64) },
    traceparent: null,
    requestId: null,
    maxAgeMs: null,
  };
}

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("accept"), items: fc.array(item, { maxLength: 4 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("publish"),
      dies: fc.constantFrom(null, null, "before" as const, "after" as const),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("claim"),
      picks: fc.array(fc.nat({ max: 40 }), { maxLength: 8 }),
      lost: fc.integer({ min: 0, max: 9 }).map((die) => die === 0),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("settle"),
      pick: fc.nat({ max: 20 }),
      outcome: fc.constantFrom(...OUTCOMES),
      keeps: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("renew"), pick: fc.nat({ max: 20 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lose"), count: fc.nat({ max: 10 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("cancel"), pick: fc.nat({ max: 40 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("pass"), ms: fc.constantFrom(10, 1_000, 25_000, 400_000) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("crash", "fail-next", "replay") }) },
);

function perform(outbox: ModelOutbox, step: Operation): void {
  switch (step.kind) {
    case "accept":
      outbox.accept(step.items);
      return;
    case "publish":
      return outbox.publish(step.dies);
    case "claim": {
      // Any order, any repetition; a pointer that was taken is gone unless it is picked twice.
      const ids = step.picks.flatMap((pick) => outbox.queue[pick % Math.max(1, outbox.queue.length)] ?? []);
      if (step.picks.length % 2 === 0) outbox.queue = outbox.queue.filter((id) => !ids.includes(id));
      return outbox.claim(ids, step.lost);
    }
    case "settle": {
      const job = outbox.held[step.pick % Math.max(1, outbox.held.length)];
      if (job === undefined) return;
      // One that is kept is settled again later, when it is stale.
      if (!step.keeps) outbox.held.splice(outbox.held.indexOf(job), 1);
      return outbox.settle([job], step.outcome);
    }
    case "renew": {
      const job = outbox.held[step.pick % Math.max(1, outbox.held.length)];
      return job === undefined ? undefined : outbox.renew(job);
    }
    case "lose":
      outbox.queue.splice(0, step.count);
      return;
    case "cancel": {
      const id = [...outbox.accepted.keys()][step.pick];
      return id === undefined ? undefined : outbox.cancel(id);
    }
    case "pass":
      return outbox.pass(step.ms);
    case "crash":
      return outbox.crash();
    case "replay":
      return outbox.replayDead();
    case "fail-next":
      outbox.failsNext = true;
  }
}

function sequenceOf(id: string): number {
  return Number.parseInt(id.split("-")[1], 36);
}

function runAll(steps: readonly Operation[], terms: QueueTerms): ModelOutbox {
  const outbox = new ModelOutbox(terms);
  for (const step of steps) {
    perform(outbox, step);
    outbox.check();
  }
  outbox.recover(400, OK);
  return outbox;
}

describe("an outbox under faults", () => {
  it("loses nothing and keeps the order of each key", { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 120, size: "max" }),
        fc.constantFrom(1, 4),
        (steps, attempts) => {
          const outbox = runAll(steps, { ...TERMS, retry: { ...TERMS.retry, attempts } });
          expect(depthOf(outbox.book)).toBe(0);
          for (const id of outbox.accepted.keys()) {
            expect(["succeeded", "cancelled"]).toContain(outbox.view(id).status);
          }
          for (const key of ["a", "b"]) {
            const ids = outbox.succeeded.filter((id) => outbox.accepted.get(id)?.key === key).map(sequenceOf);
            expect(ids).toEqual(ids.toSorted((a, b) => a - b));
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it("has one job for each idempotency key", { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 80, size: "max" }), (steps) => {
        const outbox = runAll(steps, { ...TERMS, onDeadHead: "skip" });
        const keys = [...outbox.accepted.values()].flatMap(({ idempotency }) => idempotency ?? []);
        expect(new Set(keys).size).toBe(keys.length);
        expect(depthOf(outbox.book)).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  it("never gives a job again that has ended, nor an id", { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 80, size: "max" }), (steps) => {
        const outbox = runAll(steps, TERMS);
        const ids = [...outbox.accepted.keys()];
        outbox.held.length = 0;
        outbox.claim(ids);
        expect(outbox.held).toEqual([]);
        outbox.pass(400 * 24 * 3600 * 1000);
        outbox.crash();
        const last = Math.max(0, ...ids.map(sequenceOf));
        const [outcome] = outbox.accept([plainItem(null, null, 0)]) ?? [];
        expect(outcome?.kind === "accepted" && sequenceOf(outcome.id)).toBeGreaterThan(last);
      }),
      { numRuns: 150 },
    );
  });
});
