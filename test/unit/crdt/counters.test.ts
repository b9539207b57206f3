import { describe, it } from "vitest";
import { FIRST_VERSION, MAX_TOTAL } from "../../../src/crdt/cells.ts";
import {
  addToGCounter,
  copyGCounter,
  createGCounter,
  gCounterSince,
  gCounterSlot,
  gCounterSlots,
  gCounterValue,
  mergeGCounterInto,
  mergeGCounters,
  sameGCounter,
} from "../../../src/crdt/g-counter.ts";
import type { GCounter } from "../../../src/crdt/g-counter.ts";
import {
  addToPnCounter,
  createPnCounter,
  mergePnCounters,
  pnCounterValue,
} from "../../../src/crdt/pn-counter.ts";
import {
  KIND_MISMATCH,
  claimsMoreThanOwn,
  countRows,
  mergeStateInto,
  writtenIn,
} from "../../../src/crdt/replicated.ts";
import type { SlotId } from "../../../src/crdt/slot-id.ts";
import {
  MAX_EPOCH,
  MAX_REGION_CHARS,
  MAX_SHARD,
  MAX_SUB,
  isRegion,
  isSlotId,
  parseSlot,
  regionOf,
  slotIdOf,
} from "../../../src/crdt/slot-id.ts";
import { fc, test } from "../resilience/property.ts";

const WEUR: SlotId = "weur.0.0.0";
const ENAM: SlotId = "enam.0.0.0";
const APAC: SlotId = "apac.0.0.0";

function counterOf(totals: Record<string, number>): GCounter {
  const counter = createGCounter();
  for (const [slot, total] of Object.entries(totals)) {
    if (isSlotId(slot)) addToGCounter(counter, slot, total, FIRST_VERSION);
  }
  return counter;
}

describe("slot ids", () => {
  it("have one spelling each", ({ expect }) => {
    expect(parseSlot("apac-ne.3.1.12")).toEqual({ region: "apac-ne", shard: 3, sub: 1, epoch: 12 });
    const wrong = [
      "",
      "weur",
      "weur.0.0",
      "weur.0.0.0.0",
      "weur.00.0.0",
      "weur.0.0.-1",
      "weur.0.0.1e3",
      "Weur.0.0.0",
    ];
    for (const text of [...wrong, ".0.0.0", "weur.0.0. 1", "weur.0.0.", "mint", "we>ur.0.0.0"]) {
      expect(parseSlot(text), text).toBeNull();
    }
  });

  it("take the greatest of each part and nothing past it", ({ expect }) => {
    const greatest = {
      region: "r".repeat(MAX_REGION_CHARS),
      shard: MAX_SHARD,
      sub: MAX_SUB,
      epoch: MAX_EPOCH,
    };
    const id = slotIdOf(greatest);
    expect(id === null ? null : parseSlot(id)).toEqual(greatest);
    expect(slotIdOf({ ...greatest, region: `${greatest.region}r` })).toBeNull();
    expect(slotIdOf({ ...greatest, shard: MAX_SHARD + 1 })).toBeNull();
    expect(slotIdOf({ ...greatest, sub: MAX_SUB + 1 })).toBeNull();
    expect(slotIdOf({ ...greatest, epoch: MAX_EPOCH + 1 })).toBeNull();
    expect(isRegion("r".repeat(MAX_REGION_CHARS)) && !isRegion("r".repeat(MAX_REGION_CHARS + 1))).toBe(true);
    expect([regionOf("apac-ne.0.0.0"), regionOf("weur")]).toEqual(["apac-ne", "weur"]);
  });
});

describe("g-counter", () => {
  it("riak_dt: a new counter is empty and reads 0", ({ expect }) => {
    expect(gCounterValue(createGCounter())).toBe(0);
    expect(gCounterSlots(createGCounter())).toEqual({});
  });

  it("riak_dt: a repeated writer accumulates in one slot; the value sums all", ({ expect }) => {
    const counter = createGCounter();
    addToGCounter(counter, WEUR, 2, 1);
    addToGCounter(counter, ENAM, 5, 2);
    addToGCounter(counter, WEUR, 3, 3);
    expect(gCounterSlots(counter)).toEqual({ [ENAM]: 5, [WEUR]: 5 });
    expect(gCounterValue(counter)).toBe(10);
    expect(gCounterValue(counter, writtenIn("weur"))).toBe(5);
    expect([gCounterSlot(counter, WEUR), gCounterSlot(counter, APAC)]).toEqual([5, 0]);
  });

  it("riak_dt: merge unions writers and takes the maximum of one, both ways", ({ expect }) => {
    const left = counterOf({ [WEUR]: 1, [ENAM]: 9 });
    const right = counterOf({ [WEUR]: 4, [APAC]: 2 });
    for (const merged of [mergeGCounters(left, right), mergeGCounters(right, left)]) {
      expect(gCounterSlots(merged)).toEqual({ [APAC]: 2, [ENAM]: 9, [WEUR]: 4 });
    }
  });

  it("riak_dt: equal is the same slots and totals, not the same value", ({ expect }) => {
    expect(sameGCounter(counterOf({ [WEUR]: 3 }), counterOf({ [ENAM]: 3 }))).toBe(false);
    expect(sameGCounter(counterOf({ [WEUR]: 3 }), counterOf({ [WEUR]: 2 }))).toBe(false);
    expect(sameGCounter(counterOf({ [WEUR]: 3, [ENAM]: 1 }), counterOf({ [ENAM]: 1, [WEUR]: 3 }))).toBe(true);
  });

  it("two replicas with one new slot each count both, whatever its position", ({ expect }) => {
    const merged = mergeGCounters(counterOf({ [WEUR]: 1 }), counterOf({ [APAC]: 1 }));
    expect(gCounterValue(merged)).toBe(2);
  });

  it("refuses what is no positive whole number", ({ expect }) => {
    const counter = counterOf({ [WEUR]: 1 });
    for (const by of [0, -1, 1.5, Number.NaN, Infinity, MAX_TOTAL + 1]) {
      expect(addToGCounter(counter, WEUR, by, 9), String(by)).toBe("invalid-amount");
    }
    expect(gCounterValue(counter)).toBe(1);
  });

  it("a total stays within MAX_TOTAL, and so does the sum of several", ({ expect }) => {
    const counter = counterOf({ [WEUR]: MAX_TOTAL - 1 });
    expect(addToGCounter(counter, WEUR, 2, 2)).toBe("overflow");
    expect(addToGCounter(counter, WEUR, 1, 2)).toBe("added");
    expect(addToGCounter(counter, WEUR, 1, 3)).toBe("overflow");
    addToGCounter(counter, ENAM, 7, 3);
    expect(gCounterValue(counter)).toBe(MAX_TOTAL);
  });

  it("pekko: what a peer acknowledged is not sent again, and an echo is no news", ({ expect }) => {
    const counter = counterOf({ [WEUR]: 1 });
    addToGCounter(counter, WEUR, 1, 2);
    mergeGCounterInto(counter, counterOf({ [ENAM]: 3 }), 3);
    expect(gCounterSlots(gCounterSince(counter, 0))).toEqual({ [ENAM]: 3, [WEUR]: 2 });
    expect(gCounterSlots(gCounterSince(counter, 2))).toEqual({ [ENAM]: 3 });
    expect(gCounterSlots(gCounterSince(counter, 0, writtenIn("weur")))).toEqual({ [WEUR]: 2 });
    expect(mergeGCounterInto(counter, counterOf({ [ENAM]: 3, [WEUR]: 1 }), 4)).toBe(0);
    expect(countRows(gCounterSince(counter, 3))).toBe(0);
  });

  it("a peer that knows more about our own slot than we do has found a loss", ({ expect }) => {
    const own = counterOf({ [WEUR]: 5 });
    expect(claimsMoreThanOwn(own, counterOf({ [WEUR]: 6 }), WEUR)).toBe(true);
    expect(claimsMoreThanOwn(own, counterOf({ [WEUR]: 5, [ENAM]: 9 }), WEUR)).toBe(false);
    expect(claimsMoreThanOwn(createGCounter(), counterOf({ [WEUR]: 1 }), WEUR)).toBe(true);
  });

  it("after a loss the old slot keeps its maximum and a new epoch counts on", ({ expect }) => {
    const restored = counterOf({ [WEUR]: 2 });
    addToGCounter(restored, "weur.0.0.1", 4, 2);
    expect(gCounterValue(mergeGCounters(restored, counterOf({ [WEUR]: 5 })))).toBe(9);
  });

  it("a state of another kind changes nothing", ({ expect }) => {
    const counter = counterOf({ [WEUR]: 5 });
    expect(mergeStateInto(counter, createPnCounter(), 2)).toBe(KIND_MISMATCH);
    expect(gCounterValue(counter)).toBe(5);
  });

  test("riak_dt, maelstrom: replicas that add and pull at random converge to the sum of all adds", ({
    expect,
  }) => {
    const replicaIndex = fc.nat({ max: 3 });
    const event = fc.oneof(
      fc.record({ at: replicaIndex, by: fc.integer({ min: 1, max: 1000 }) }),
      fc.record({ at: replicaIndex, from: replicaIndex, whole: fc.boolean() }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const owners: SlotId[] = [WEUR, ENAM, APAC, "mars.0.0.0"];
        const replicas = owners.map(() => createGCounter());
        const acknowledged = owners.map(() => owners.map(() => 0));
        let sum = 0;
        for (const [index, entry] of events.entries()) {
          const version = index + 1;
          if ("by" in entry) {
            addToGCounter(replicas[entry.at], owners[entry.at], entry.by, version);
            sum += entry.by;
            continue;
          }
          const before = gCounterValue(replicas[entry.at]);
          const since = entry.whole ? 0 : acknowledged[entry.from][entry.at];
          mergeGCounterInto(replicas[entry.at], gCounterSince(replicas[entry.from], since), version);
          acknowledged[entry.from][entry.at] = replicas[entry.from].cells.version;
          expect(gCounterValue(replicas[entry.at])).toBeGreaterThanOrEqual(before);
          expect(gCounterValue(replicas[entry.at])).toBeLessThanOrEqual(sum);
        }
        const all = replicas.reduce(mergeGCounters, createGCounter());
        expect(gCounterValue(all)).toBe(sum);
        for (const [at, replica] of replicas.entries()) {
          for (const [from, peer] of replicas.entries()) {
            mergeGCounterInto(replica, gCounterSince(peer, acknowledged[from][at]), events.length + 1);
          }
        }
        expect(sameGCounter(mergeGCounters(replicas[0], all), all)).toBe(true);
        expect(gCounterValue(replicas[0])).toBe(sum);
      }),
    );
  });

  it("a copy goes its own way", ({ expect }) => {
    const counter = counterOf({ [WEUR]: 1 });
    addToGCounter(copyGCounter(counter), WEUR, 1, 2);
    expect(gCounterValue(counter)).toBe(1);
  });
});

describe("pn-counter", () => {
  it("goes up and down, below zero too", ({ expect }) => {
    const gauge = createPnCounter();
    addToPnCounter(gauge, WEUR, 5, 1);
    addToPnCounter(gauge, WEUR, -7, 2);
    expect(pnCounterValue(gauge)).toBe(-2);
    expect(addToPnCounter(gauge, WEUR, 0, 3)).toBe("invalid-amount");
    expect(addToPnCounter(gauge, WEUR, -MAX_TOTAL, 3)).toBe("overflow");
    expect(pnCounterValue(gauge)).toBe(-2);
  });

  test("what several writers added and took away is the value of their merge", ({ expect }) => {
    const amounts = fc.array(fc.tuple(fc.constantFrom(WEUR, ENAM, APAC), fc.integer({ min: -99, max: 99 })));
    fc.assert(
      fc.property(amounts, (changes) => {
        const replicas = new Map([WEUR, ENAM, APAC].map((slot) => [slot, createPnCounter()]));
        for (const [index, [slot, by]] of changes.entries()) {
          addToPnCounter(replicas.get(slot) ?? createPnCounter(), slot, by, index + 1);
        }
        const merged = [...replicas.values()].reduce(mergePnCounters);
        expect(pnCounterValue(merged)).toBe(changes.reduce((sum, [, by]) => sum + by, 0));
      }),
    );
  });
});
