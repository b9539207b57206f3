import { describe, it } from "vitest";
import type { BoundedCounter } from "../../../src/crdt/bounded-counter.ts";
import {
  BURN,
  boundedCounterSince,
  copyBoundedCounter,
  createBoundedCounter,
  grantedRights,
  mergeBoundedCounterInto,
  mergeBoundedCounters,
  mintRights,
  returnRights,
  rightsOf,
  spendRights,
  transferRights,
  usedRights,
} from "../../../src/crdt/bounded-counter.ts";
import { claimsMoreThanOwn, writtenIn } from "../../../src/crdt/replicated.ts";
import type { SlotId } from "../../../src/crdt/slot-id.ts";
import { fc, test } from "../resilience/property.ts";

const HOME: SlotId = "weur.0.0.0";
const ENAM: SlotId = "enam.0.0.0";
const APAC: SlotId = "apac.0.0.0";
const CAP = 100;

function minted(amount: number): BoundedCounter {
  const counter = createBoundedCounter();
  mintRights(counter, HOME, amount, CAP, 1);
  return counter;
}

describe("bounded counter", () => {
  it("antidote: an unknown replica has no rights and may spend nothing", ({ expect }) => {
    const counter = minted(10);
    expect(rightsOf(counter, ENAM)).toBe(0);
    expect(spendRights(counter, ENAM, 1, 2)).toBe("too-few-rights");
    expect(spendRights(counter, HOME, 11, 2)).toBe("too-few-rights");
    expect(spendRights(counter, HOME, 10, 2)).toBe("added");
    expect([rightsOf(counter, HOME), usedRights(counter)]).toEqual([0, 10]);
  });

  it("antidote: own rights count, not the sum of everybody's", ({ expect }) => {
    const counter = minted(10);
    transferRights(counter, HOME, ENAM, 6, 2);
    expect(spendRights(counter, HOME, 5, 3)).toBe("too-few-rights");
    expect(spendRights(counter, HOME, 4, 3)).toBe("added");
    expect(spendRights(counter, ENAM, 6, 4)).toBe("added");
  });

  it("antidote: a transfer moves rights and keeps their sum; above one's own, or to oneself, it is refused", ({
    expect,
  }) => {
    const counter = minted(10);
    expect(transferRights(counter, HOME, ENAM, 11, 2)).toBe("too-few-rights");
    expect(transferRights(counter, ENAM, ENAM, 1, 2)).toBe("to-itself");
    expect(transferRights(counter, HOME, ENAM, 4, 2)).toBe("added");
    expect([rightsOf(counter, HOME), rightsOf(counter, ENAM), grantedRights(counter)]).toEqual([6, 4, 10]);
  });

  it("nothing is minted above the cap; burning makes room", ({ expect }) => {
    const counter = minted(CAP);
    expect(grantedRights(counter)).toBe(CAP);
    expect(mintRights(counter, HOME, 1, CAP, 2)).toBe("over-cap");
    expect(transferRights(counter, HOME, BURN, 30, 3)).toBe("added");
    expect([grantedRights(counter), rightsOf(counter, HOME)]).toEqual([70, 70]);
    expect(mintRights(counter, ENAM, 30, CAP, 4)).toBe("added");
    expect(mintRights(counter, ENAM, 1, CAP, 5)).toBe("over-cap");
  });

  it("only what was spent can come back", ({ expect }) => {
    const counter = minted(10);
    spendRights(counter, HOME, 8, 2);
    expect(returnRights(counter, HOME, 9, 3)).toBe("not-spent");
    expect(returnRights(counter, HOME, 5, 3)).toBe("added");
    expect(returnRights(counter, HOME, 4, 4)).toBe("not-spent");
    expect([rightsOf(counter, HOME), usedRights(counter)]).toEqual([7, 3]);
  });

  it("refuses amounts that are no positive whole numbers", ({ expect }) => {
    const counter = minted(10);
    for (const amount of [0, -1, 0.5, Number.NaN]) {
      expect(mintRights(counter, HOME, amount, CAP, 2)).toBe("invalid-amount");
      expect(spendRights(counter, HOME, amount, 2)).toBe("invalid-amount");
      expect(returnRights(counter, HOME, amount, 2)).toBe("invalid-amount");
      expect(transferRights(counter, HOME, ENAM, amount, 2)).toBe("invalid-amount");
    }
  });

  it("a delta of one region holds its own rows and all that was minted", ({ expect }) => {
    const counter = minted(10);
    transferRights(counter, HOME, ENAM, 4, 2);
    spendRights(counter, HOME, 1, 3);
    spendRights(counter, ENAM, 1, 4);
    const delta = boundedCounterSince(counter, 0, writtenIn("enam"));
    expect([delta.transfers.ids, delta.uses.ids]).toEqual([[`mint>${HOME}`], [ENAM]]);
    expect(boundedCounterSince(counter, 2).transfers.ids).toEqual([]);
  });

  it("a restored writer is found out by its transfers and by what it spent", ({ expect }) => {
    const counter = minted(10);
    const backup = copyBoundedCounter(counter);
    transferRights(counter, HOME, ENAM, 4, 2);
    expect(claimsMoreThanOwn(backup, counter, HOME)).toBe(true);
    expect(claimsMoreThanOwn(backup, counter, ENAM)).toBe(false);
    const spent = minted(10);
    spendRights(spent, HOME, 1, 2);
    expect(claimsMoreThanOwn(backup, spent, HOME)).toBe(true);
    expect(claimsMoreThanOwn(spent, backup, HOME)).toBe(false);
  });

  test(
    "used <= minted <= cap under any loss, duplicate and order; in the end rights add up",
    { timeout: 60_000 },
    ({ expect }) => {
      const owners: SlotId[] = [HOME, ENAM, APAC];
      const who = fc.nat({ max: owners.length - 1 });
      const amount = fc.integer({ min: 1, max: 40 });
      const event = fc.oneof(
        fc.record({ kind: fc.constant("mint"), at: fc.constant(0), to: who, amount }),
        fc.record({ kind: fc.constantFrom("spend", "return", "burn"), at: who, to: who, amount }),
        fc.record({ kind: fc.constant("transfer"), at: who, to: who, amount }),
        // A message of any age, any number of times: `amount` picks one that was ever sent.
        fc.record({
          kind: fc.constantFrom("send", "deliver"),
          at: who,
          to: who,
          amount: fc.nat({ max: 40 }),
        }),
      );
      fc.assert(
        fc.property(fc.array(event, { maxLength: 80 }), (events) => {
          const replicas = owners.map(() => createBoundedCounter());
          const sent: BoundedCounter[] = [createBoundedCounter()];
          for (const [index, { kind, at, to, amount: n }] of events.entries()) {
            const version = index + 1;
            const own = replicas[at];
            if (kind === "mint") mintRights(own, owners[to], n, CAP, version);
            if (kind === "spend") spendRights(own, owners[at], n, version);
            if (kind === "return") returnRights(own, owners[at], n, version);
            if (kind === "burn") transferRights(own, owners[at], BURN, n, version);
            if (kind === "transfer") transferRights(own, owners[at], owners[to], n, version);
            if (kind === "send") sent.push(boundedCounterSince(own, n % version));
            if (kind === "deliver") mergeBoundedCounterInto(replicas[to], sent[n % sent.length], version);
            const everything = replicas.reduce(mergeBoundedCounters);
            expect(usedRights(everything)).toBeLessThanOrEqual(grantedRights(everything));
            expect(grantedRights(everything)).toBeLessThanOrEqual(CAP);
            for (const [holder, replica] of replicas.entries()) {
              expect(rightsOf(replica, owners[holder])).toBeGreaterThanOrEqual(0);
            }
          }
          const everything = replicas.reduce(mergeBoundedCounters);
          const left = owners.reduce((sum, owner) => sum + rightsOf(everything, owner), 0);
          expect(left + usedRights(everything)).toBe(grantedRights(everything));
        }),
        { numRuns: Number(process.env["LAW_RUNS"] ?? 20_000) },
      );
    },
  );
});
