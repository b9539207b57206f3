import { describe, it } from "vitest";
import type { Received, Stamp } from "../../../src/crdt/hybrid-clock.ts";
import {
  DEFAULT_MAX_DRIFT_MS,
  FIRST_STAMP,
  MAX_STAMP_COUNT,
  compareStamps,
  nextStamp,
  receiveStamp,
} from "../../../src/crdt/hybrid-clock.ts";
import {
  MAX_REGISTER_CHARS,
  believedRegister,
  createLwwRegister,
  latestStamp,
  lwwRegisterSince,
  mergeLwwRegisterInto,
  mergeLwwRegisters,
  registerValue,
  sameLwwRegister,
  visibleWrites,
  writeRegister,
} from "../../../src/crdt/lww-register.ts";
import type { LwwRegister } from "../../../src/crdt/lww-register.ts";
import type { RegionRow } from "../../../src/crdt/membership.ts";
import {
  announceRegion,
  believedMembership,
  createMembership,
  membershipSince,
  mergeMemberships,
  presentRegions,
} from "../../../src/crdt/membership.ts";
import type { SlotId } from "../../../src/crdt/slot-id.ts";
import { fc, test } from "../resilience/property.ts";

const WEUR: SlotId = "weur.0.0.0";
const ENAM: SlotId = "enam.0.0.0";

function at(ms: number, count = 0): Stamp {
  return { ms, count };
}

function received(clock: Stamp, remote: Stamp, now: number): Received {
  return receiveStamp(clock, remote, now, 1000);
}

function written(writer: SlotId, stamp: Stamp, value: string | null): LwwRegister {
  const register = createLwwRegister();
  writeRegister(register, writer, stamp, value, 1);
  return register;
}

describe("hybrid clock", () => {
  it("pekko: is monotone within one millisecond and when the wall clock steps back", ({ expect }) => {
    expect(nextStamp(FIRST_STAMP, 100.7)).toEqual(at(100));
    expect(nextStamp(at(100), 100)).toEqual(at(100, 1));
    expect(nextStamp(at(100, 1), 50)).toEqual(at(100, 2));
    expect(nextStamp(at(100, 1), Number.NaN)).toEqual(at(100, 2));
  });

  it("a full count moves on to the next millisecond", ({ expect }) => {
    expect(nextStamp(at(100, MAX_STAMP_COUNT - 1), 100)).toEqual(at(100, MAX_STAMP_COUNT));
    expect(nextStamp(at(100, MAX_STAMP_COUNT), 100)).toEqual(at(101, 0));
  });

  it("Kulkarni et al. 2014, figure 5: the four cases of a receive", ({ expect }) => {
    expect(received(at(10, 5), at(10, 7), 3)).toEqual({ kind: "received", clock: at(10, 8) });
    expect(received(at(10, 5), at(9, 7), 3)).toEqual({ kind: "received", clock: at(10, 6) });
    expect(received(at(10, 5), at(11, 7), 3)).toEqual({ kind: "received", clock: at(11, 8) });
    expect(received(at(10, 5), at(11, 7), 12)).toEqual({ kind: "received", clock: at(12, 0) });
  });

  it("refuses a stamp from further ahead than the drift it bears", ({ expect }) => {
    const limit = 1000 + DEFAULT_MAX_DRIFT_MS;
    expect(receiveStamp(FIRST_STAMP, at(limit), 1000, DEFAULT_MAX_DRIFT_MS).kind).toBe("received");
    expect(receiveStamp(FIRST_STAMP, at(limit + 1), 1000, DEFAULT_MAX_DRIFT_MS).kind).toBe("too-far-ahead");
  });

  test("every stamp is later than all before it, and at most the drift ahead of the wall clock", ({
    expect,
  }) => {
    const event = fc.tuple(
      fc.nat({ max: 5000 }),
      fc.option(fc.tuple(fc.nat({ max: 8000 }), fc.nat({ max: 3 }))),
    );
    fc.assert(
      fc.property(fc.array(event), (events) => {
        let clock = FIRST_STAMP;
        let latest = 0;
        for (const [now, remote] of events) {
          latest = Math.max(latest, now);
          const before = clock;
          const answer =
            remote === null
              ? ({ kind: "received", clock: nextStamp(clock, now) } as const)
              : receiveStamp(clock, at(...remote), now, 1000);
          if (answer.kind !== "received") continue;
          ({ clock } = answer);
          expect(compareStamps(clock, before)).toBeGreaterThan(0);
          if (remote !== null) expect(compareStamps(clock, at(...remote))).toBeGreaterThan(0);
          expect(clock.ms).toBeLessThanOrEqual(latest + 1000);
        }
      }),
    );
  });
});

describe("last-writer-wins register", () => {
  it("the later write wins, a tie goes to the greater writer, on every replica", ({ expect }) => {
    const older = written(WEUR, at(1), "open");
    const newer = written(ENAM, at(2), "closed");
    expect(registerValue(mergeLwwRegisters(older, newer))).toBe("closed");
    expect(registerValue(mergeLwwRegisters(newer, older))).toBe("closed");
    const tie = mergeLwwRegisters(written(ENAM, at(1), "closed"), older);
    expect(registerValue(tie)).toBe("open");
    expect(visibleWrites(tie).map(({ writer }) => writer)).toEqual([WEUR, ENAM]);
  });

  it("writes that did not know of each other stay visible until somebody has seen both", ({ expect }) => {
    const both = mergeLwwRegisters(written(WEUR, at(1), "open"), written(ENAM, at(2), "closed"));
    expect(visibleWrites(both)).toEqual([
      { writer: ENAM, stamp: at(2), value: "closed" },
      { writer: WEUR, stamp: at(1), value: "open" },
    ]);
    expect(writeRegister(both, WEUR, at(3), "open", 2)).toBe("written");
    expect(visibleWrites(both)).toEqual([{ writer: WEUR, stamp: at(3), value: "open" }]);
    const elsewhere = mergeLwwRegisters(written(ENAM, at(2), "closed"), both);
    expect(visibleWrites(elsewhere)).toHaveLength(1);
  });

  it("a write that follows another is no concurrent one", ({ expect }) => {
    const register = written(WEUR, at(1), "open");
    writeRegister(register, ENAM, at(2), "closed", 2);
    expect(visibleWrites(register).map(({ value }) => value)).toEqual(["closed"]);
    expect(latestStamp(register)).toEqual(at(2));
  });

  it("a writer's own earlier write is replaced, not seen", ({ expect }) => {
    const register = written(WEUR, at(1), "open");
    writeRegister(register, ENAM, at(2), "closed", 2);
    writeRegister(register, ENAM, at(3), "open", 3);
    expect([...(register.writes.get(ENAM)?.seen.keys() ?? [])]).toEqual([WEUR]);
  });

  it("clearing is a write like any other: an older value does not come back", ({ expect }) => {
    const old = written(WEUR, at(1), "open");
    const cleared = mergeLwwRegisters(old, createLwwRegister());
    writeRegister(cleared, ENAM, at(2), null, 2);
    expect(registerValue(mergeLwwRegisters(old, cleared))).toBeNull();
    expect(visibleWrites(mergeLwwRegisters(old, cleared))).toHaveLength(1);
    expect([registerValue(createLwwRegister()), latestStamp(createLwwRegister())]).toEqual([null, null]);
  });

  it("a stamp that is not later than all that is known is refused", ({ expect }) => {
    const register = written(WEUR, at(5), "open");
    expect(writeRegister(register, WEUR, at(5), "closed", 2)).toBe("stale-stamp");
    expect(writeRegister(register, ENAM, at(4, 9), "closed", 2)).toBe("stale-stamp");
    expect(writeRegister(register, ENAM, at(5, 1), "closed", 2)).toBe("written");
  });

  it("a value has a greatest length and is well-formed", ({ expect }) => {
    const register = createLwwRegister();
    expect(writeRegister(register, WEUR, at(1), "x".repeat(MAX_REGISTER_CHARS + 1), 1)).toBe("invalid-value");
    expect(writeRegister(register, WEUR, at(1), "\ud800", 1)).toBe("invalid-value");
    expect(writeRegister(register, WEUR, at(1), "x".repeat(MAX_REGISTER_CHARS), 1)).toBe("written");
  });

  it("two values under one stamp end alike everywhere", ({ expect }) => {
    const one = written(WEUR, at(1), "a");
    const other = written(WEUR, at(1), "b");
    expect(sameLwwRegister(mergeLwwRegisters(one, other), mergeLwwRegisters(other, one))).toBe(true);
    expect(registerValue(mergeLwwRegisters(one, other))).toBe("b");
    expect(registerValue(mergeLwwRegisters(written(WEUR, at(1), null), written(WEUR, at(1), "")))).toBe("");
  });

  it("a write from the far future is not believed, and a delta holds what is new", ({ expect }) => {
    const register = written(WEUR, at(1000), "a");
    mergeLwwRegisterInto(register, written(ENAM, at(9000), "b"), 2);
    expect(registerValue(believedRegister(register, 0, 1000))).toBe("a");
    expect([...lwwRegisterSince(register, 1).writes.keys()]).toEqual([ENAM]);
    expect(mergeLwwRegisterInto(register, written(ENAM, at(9000), "b"), 3)).toBe(0);
  });

  test("operators in two regions: the last one who saw everything stands alone", ({ expect }) => {
    const event = fc.tuple(fc.boolean(), fc.boolean());
    fc.assert(
      fc.property(fc.array(event, { minLength: 1, maxLength: 20 }), (events) => {
        const replicas = [createLwwRegister(), createLwwRegister()];
        const slots = [WEUR, ENAM];
        for (const [index, [first, sync]] of events.entries()) {
          const who = first ? 0 : 1;
          if (sync) mergeLwwRegisterInto(replicas[who], replicas[1 - who], index + 1);
          expect(writeRegister(replicas[who], slots[who], at(index + 1), `v${index}`, index + 1)).toBe(
            "written",
          );
          if (sync) expect(visibleWrites(replicas[who])).toHaveLength(1);
        }
        const merged = mergeLwwRegisters(replicas[0], replicas[1]);
        expect(registerValue(merged)).toBe(`v${events.length - 1}`);
        expect(visibleWrites(merged).length).toBeLessThanOrEqual(2);
      }),
    );
  });
});

describe("membership", () => {
  const up: RegionRow = { incarnation: 1, status: "up", shards: 1, stamp: at(1) };

  it("a region appears by announcing itself; one that nobody knows is carried", ({ expect }) => {
    const membership = createMembership();
    expect(announceRegion(membership, "weur", up, 1)).toBe(true);
    expect(announceRegion(membership, "weur", up, 2)).toBe(false);
    const other = createMembership();
    announceRegion(other, "mars", up, 1);
    expect(presentRegions(mergeMemberships(membership, other))).toEqual(["mars", "weur"]);
    expect(membershipSince(membership, 1).rows.size).toBe(0);
  });

  it("within an incarnation a region only goes down; it comes back as a new one", ({ expect }) => {
    const membership = createMembership();
    announceRegion(membership, "weur", up, 1);
    announceRegion(membership, "weur", { ...up, status: "gone", stamp: at(2) }, 2);
    expect(announceRegion(membership, "weur", { ...up, stamp: at(9) }, 3)).toBe(false);
    expect(presentRegions(membership)).toEqual([]);
    expect(announceRegion(membership, "weur", { ...up, incarnation: 2 }, 4)).toBe(true);
    expect(presentRegions(membership)).toEqual(["weur"]);
  });

  it("the later sign of life counts, then the greater number of shards", ({ expect }) => {
    const membership = createMembership();
    announceRegion(membership, "weur", up, 1);
    expect(announceRegion(membership, "weur", { ...up, shards: 2 }, 2)).toBe(true);
    expect(announceRegion(membership, "weur", { ...up, stamp: at(2) }, 3)).toBe(true);
    expect(announceRegion(membership, "weur", { ...up, shards: 9 }, 4)).toBe(false);
    expect(membership.rows.get("weur")).toEqual({ ...up, stamp: at(2) });
  });

  it("a row from the far future is not believed", ({ expect }) => {
    const membership = createMembership();
    announceRegion(membership, "weur", { ...up, stamp: at(1000) }, 1);
    announceRegion(membership, "enam", { ...up, stamp: at(1001) }, 2);
    expect(presentRegions(believedMembership(membership, 0, 1000))).toEqual(["weur"]);
  });
});
