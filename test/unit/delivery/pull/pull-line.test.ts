// Pulling, with two consumers of which one dies, against a model that only knows what was added and what was
// acknowledged in time.

import { describe, expect, it } from "vitest";
import {
  DEFAULT_LEASE_MS,
  DEFAULT_PULL_EVENTS,
  MAX_LEASE_MS,
  MAX_PULL_EVENTS,
  MIN_LEASE_MS,
  acknowledge,
  addToLine,
  checkPullRequest,
  createLine,
  describeLine,
  pull,
  restoreLine,
  type Lease,
} from "../../../../src/delivery/pull/pull-line.ts";
import { fc } from "../../resilience/property.ts";

const NOW = 1_800_000_000_000;
const TEN = { max: 10, leaseMs: 1_000 };

function lineOf(count: number, key: (seq: number) => string | null = () => null, isOrdered = false) {
  const line = createLine(isOrdered);
  for (let seq = 1; seq <= count; seq++) addToLine(line, seq, key(seq), NOW + seq);
  return line;
}

const seqsOf = (leases: readonly Lease[]) => leases.map(({ seq }) => seq);
const idsOf = (leases: readonly Lease[]) => leases.map(({ leaseId }) => leaseId);

describe("a pull", () => {
  it("gives the oldest first, each to one consumer only", () => {
    const line = lineOf(25);
    expect(seqsOf(pull(line, TEN, NOW))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(seqsOf(pull(line, { max: 2, leaseMs: 1_000 }, NOW))).toEqual([11, 12]);
    expect(describeLine(line, NOW + 30)).toEqual({ lag: 25, oldestAgeMs: 29, leased: 12 });
  });

  it("of what was acknowledged gives nothing; the rest comes again with one attempt more", () => {
    const line = lineOf(2);
    const [first, second] = pull(line, TEN, NOW);
    expect([first.attempt, second.attempt]).toEqual([1, 1]);
    expect(acknowledge(line, [first.leaseId], NOW + 999)).toMatchObject({
      acked: [first.leaseId],
      seqs: [1],
    });
    expect(pull(line, TEN, NOW + 999)).toEqual([]);
    const again = pull(line, TEN, NOW + 1_000);
    expect(again).toMatchObject([{ seq: 2, attempt: 2 }]);
    expect(again[0].leaseId).not.toBe(second.leaseId);
  });

  it("takes no acknowledgement of a lease that is over, even before the event is given again", () => {
    const line = lineOf(1);
    const [{ leaseId }] = pull(line, TEN, NOW);
    expect(acknowledge(line, [leaseId], NOW + 1_000)).toEqual({ acked: [], expired: [leaseId], seqs: [] });
    const [later] = pull(line, TEN, NOW + 1_000);
    expect(acknowledge(line, [leaseId], NOW + 1_001).expired).toEqual([leaseId]);
    expect(acknowledge(line, [later.leaseId, later.leaseId], NOW + 1_001)).toEqual({
      acked: [later.leaseId],
      expired: [later.leaseId],
      seqs: [1],
    });
    expect(describeLine(line, NOW + 1_001)).toEqual({ lag: 0, oldestAgeMs: 0, leased: 0 });
  });

  it("knows no leases but its own", () => {
    const line = lineOf(3);
    pull(line, TEN, NOW);
    const foreign = ["", "x", "1.99", "1.1.1", "zzzzzzzzzzzz.1", "-1.1", "01.1"];
    expect(acknowledge(line, foreign, NOW)).toEqual({ acked: [], expired: foreign, seqs: [] });
    expect(describeLine(line, NOW + 9).lag).toBe(3);
  });

  it("of an ordered line gives one event of a key at a time; a dead consumer holds back its key alone", () => {
    const line = lineOf(6, (seq) => (seq % 2 === 0 ? "even" : "odd"), true);
    const [odd, even] = pull(line, TEN, NOW);
    expect([odd.seq, even.seq]).toEqual([1, 2]);
    acknowledge(line, [even.leaseId], NOW);
    expect(seqsOf(pull(line, TEN, NOW))).toEqual([4]);
    expect(seqsOf(pull(line, TEN, NOW + 1_000))).toEqual([1, 4]);
  });

  it("goes on from its rows after a restart: valid leases stay valid, others do not come back", () => {
    const line = lineOf(3);
    const leases = pull(line, { max: 2, leaseMs: 1_000 }, NOW);
    const again = restoreLine(false, line.entries.values());
    expect(seqsOf(pull(again, TEN, NOW + 1))).toEqual([3]);
    expect(acknowledge(again, idsOf(leases), NOW + 1).seqs).toEqual([1, 2]);
  });
});

describe("what is asked for", () => {
  it("is ten events for 30 s by default, within bounds", () => {
    const request = { max: DEFAULT_PULL_EVENTS, leaseMs: DEFAULT_LEASE_MS };
    expect(request).toEqual({ max: 10, leaseMs: 30_000 });
    for (const body of [undefined, null, {}, []]) {
      expect(checkPullRequest(body)).toEqual({ kind: "pull", request });
    }
    for (const max of [1, MAX_PULL_EVENTS]) expect(checkPullRequest({ max }).kind).toBe("pull");
    for (const leaseMs of [MIN_LEASE_MS, MAX_LEASE_MS]) {
      expect(checkPullRequest({ leaseMs }).kind).toBe("pull");
    }
    for (const max of [0, MAX_PULL_EVENTS + 1, 1.5, "10", Number.NaN]) {
      expect(checkPullRequest({ max })).toMatchObject({ kind: "invalid", at: "max" });
    }
    for (const leaseMs of [0, MIN_LEASE_MS - 1, MAX_LEASE_MS + 1]) {
      expect(checkPullRequest({ leaseMs })).toMatchObject({ kind: "invalid", at: "leaseMs" });
    }
  });
});

function same(actual: unknown, expected: unknown): void {
  expect(actual).toEqual(expected);
}

function drain(line: ReturnType<typeof createLine>, added: ReadonlyMap<number, unknown>, from: number): void {
  const left = new Set(added.keys());
  for (let now = from + 200; left.size > 0; now += 1) {
    const leases = pull(line, TEN, now);
    if (leases.length === 0) throw new Error(`never given: ${[...left].join(" ")}`);
    for (const seq of acknowledge(line, idsOf(leases), now).seqs) left.delete(seq);
  }
  expect(describeLine(line, from).lag).toBe(0);
}

describe("two consumers of which one dies", () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant("add" as const), key: fc.constantFrom("a", "b", null) }),
      fc.record({
        kind: fc.constant("pull" as const),
        by: fc.constantFrom(0, 1),
        max: fc.integer({ min: 1, max: 5 }),
        leaseMs: fc.constantFrom(10, 50, 200),
      }),
      fc.record({
        kind: fc.constant("ack" as const),
        by: fc.constantFrom(0, 1),
        part: fc.double({ min: 0, max: 1 }),
      }),
      fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 120 }) }),
      fc.record({ kind: fc.constant("restart" as const) }),
      // Its leases are forgotten: it will acknowledge nothing of them.
      fc.record({ kind: fc.constant("die" as const), by: fc.constantFrom(0, 1) }),
    ),
    { maxLength: 120 },
  );

  it("get every event, no event twice at the same time, keys in order; lag and age are exact", () => {
    fc.assert(
      fc.property(steps, fc.boolean(), (run, isOrdered) => {
        let line = createLine(isOrdered);
        let now = NOW;
        let nextSeq = 1;
        const added = new Map<number, { at: number; key: string | null; until: number; attempts: number }>();
        const hands: { lease: Lease; until: number }[][] = [[], []];
        for (const step of run) {
          if (step.kind === "add") {
            addToLine(line, nextSeq, step.key, now);
            added.set(nextSeq, { at: now, key: step.key, until: 0, attempts: 0 });
            nextSeq += 1;
          } else if (step.kind === "pull") {
            for (const lease of pull(line, step, now)) {
              const event = added.get(lease.seq);
              if (event === undefined) throw new Error(`${lease.seq} was gone or never there`);
              same(event.until <= now, true);
              event.attempts += 1;
              same(lease.attempt, event.attempts);
              event.until = now + step.leaseMs;
              hands[step.by].push({ lease, until: event.until });
              const before = [...added].filter(([seq, { key }]) => seq < lease.seq && key === event.key);
              same(isOrdered && event.key !== null ? before : [], []);
            }
          } else if (step.kind === "ack") {
            const mine = hands[step.by].splice(0, Math.ceil(step.part * hands[step.by].length));
            const { acked, expired, seqs } = acknowledge(line, idsOf(mine.map(({ lease }) => lease)), now);
            same(acked, idsOf(mine.filter(({ until }) => until > now).map(({ lease }) => lease)));
            same(acked.length + expired.length, mine.length);
            for (const seq of seqs) added.delete(seq);
          } else if (step.kind === "wait") now += step.ms;
          else if (step.kind === "die") hands[step.by] = [];
          else line = restoreLine(isOrdered, line.entries.values());
          const oldest = Math.min(...[...added.values()].map(({ at }) => at));
          expect(describeLine(line, now)).toEqual({
            lag: added.size,
            oldestAgeMs: added.size === 0 ? 0 : now - oldest,
            leased: [...added.values()].filter(({ until }) => until > now).length,
          });
        }
        drain(line, added, now);
      }),
    );
  });
});
