import { describe, it } from "vitest";
import {
  BURN,
  MINT,
  createBoundedCounter,
  mintRights,
  returnRights,
  spendRights,
  transferRights,
} from "../../../src/crdt/bounded-counter.ts";
import { addCalls, createCallVectors } from "../../../src/crdt/call-vectors.ts";
import { FIRST_VERSION, MAX_TOTAL, appendRow, createCells } from "../../../src/crdt/cells.ts";
import type { Decoded } from "../../../src/crdt/decode.ts";
import { decodeStates } from "../../../src/crdt/decode.ts";
import { encodeStates } from "../../../src/crdt/encode.ts";
import { addToGCounter, createGCounter } from "../../../src/crdt/g-counter.ts";
import { MAX_STAMP_COUNT, MAX_STAMP_MS } from "../../../src/crdt/hybrid-clock.ts";
import { MAX_REGISTER_CHARS, createLwwRegister, writeRegister } from "../../../src/crdt/lww-register.ts";
import { announceRegion, createMembership } from "../../../src/crdt/membership.ts";
import { addToPnCounter, createPnCounter } from "../../../src/crdt/pn-counter.ts";
import type { Replicated } from "../../../src/crdt/replicated.ts";
import { sameState, stateVersion } from "../../../src/crdt/replicated.ts";
import { addToWindow, createSlidingWindow, expireWindow } from "../../../src/crdt/sliding-window.ts";
import type { SlotId } from "../../../src/crdt/slot-id.ts";
import { MAX_SHARD, MAX_SLOT_ID_CHARS, slotIdOf } from "../../../src/crdt/slot-id.ts";
import type { NamedState } from "../../../src/crdt/wire-format.ts";
import {
  MAX_MESSAGE_BYTES,
  MAX_MESSAGE_ENTRIES,
  MAX_MESSAGE_IDS,
  MAX_MESSAGE_ROWS,
  MAX_NAME_BYTES,
  WIRE_VERSION,
} from "../../../src/crdt/wire-format.ts";
import { fc, test } from "../resilience/property.ts";
import {
  boundedCounters,
  callVectors,
  gCounters,
  lwwRegisters,
  memberships,
  pnCounters,
  slidingWindows,
} from "./states.ts";

const BYTES_PER_CELL = 14;
const REGIONS = ["afr", "apac", "apac-ne", "apac-se", "eeur", "enam", "me", "oc", "sam", "weur", "wnam"];
const ENAM: SlotId = "enam.0.0.0";
const WEUR: SlotId = "weur.0.0.0";
/** ids enam.0.0.0 (position 0) and weur.0.0.0 (position 1). */
const HEADER = "544701";
const TWO_IDS = "02 0a 656e616d2e302e302e30 0a 776575722e302e302e30";

const mixed = fc.array(
  fc.record({
    name: fc.string({ unit: "grapheme", maxLength: 8 }),
    state: fc.oneof<fc.Arbitrary<Replicated>[]>(
      gCounters,
      pnCounters,
      slidingWindows,
      callVectors,
      boundedCounters,
      lwwRegisters,
      memberships,
    ),
  }),
  { maxLength: 5 },
);

function bytesOf(entries: readonly NamedState<Replicated>[]): Uint8Array {
  const encoded = encodeStates(entries);
  if (encoded.kind === "refused") throw new Error(encoded.reason);
  return encoded.bytes;
}

function refusalOf(entries: readonly NamedState<Replicated>[]): string | null {
  const encoded = encodeStates(entries);
  return encoded.kind === "refused" ? encoded.reason : null;
}

function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));
}

function reasonOf(answer: Decoded): string | null {
  return answer.kind === "refused" ? answer.reason : null;
}

/** Why a message of one entry with the two ids is refused. */
function reasonOfBody(kind: string, body: string): string | null {
  return reasonOf(decodeStates(fromHex(`${HEADER} ${TWO_IDS} 01 ${kind} 00 ${body}`)));
}

/** What one more entry of the same ids costs. */
function entryBytes(entry: NamedState<Replicated>): number {
  return bytesOf([entry, entry]).length - bytesOf([entry]).length;
}

/** Why a membership of one row is refused, from its status on. */
function reasonOfRegionRow(rest: string): string | null {
  return reasonOf(decodeStates(fromHex(`${HEADER} 01 0477657572 01 07 00 01 00 01 ${rest}`)));
}

function uniqueSlot(index: number): SlotId {
  return `weur.0.0.${index}`;
}

function counterOfSlots(count: number, first = 0): Replicated {
  const cells = createCells(1);
  const ids = Array.from({ length: count }, (_, index) => uniqueSlot(first + index)).toSorted();
  for (const id of ids) {
    appendRow(cells, id, FIRST_VERSION);
    cells.values.push(1);
  }
  return { kind: "g-counter", cells };
}

function goldenStates(): [Replicated, string][] {
  const g = createGCounter();
  addToGCounter(g, ENAM, 1, 1);
  addToGCounter(g, WEUR, MAX_TOTAL, 2);
  const pn = createPnCounter();
  addToPnCounter(pn, WEUR, 300, 1);
  addToPnCounter(pn, WEUR, -127, 2);
  const window = createSlidingWindow();
  expireWindow(window, 302_000, 1000, 0);
  addToWindow(window, 301_000, 1000, WEUR, 5, 1);
  addToWindow(window, 302_000, 1000, ENAM, 128, 2);
  const calls = createCallVectors();
  addCalls(calls, 2000, 1000, ENAM, { ok: 9, failRemote: 0, failLocal: 1, slow: 200 }, 1);
  const rights = createBoundedCounter();
  mintRights(rights, WEUR, 100, 100, 1);
  transferRights(rights, WEUR, ENAM, 40, 2);
  transferRights(rights, WEUR, BURN, 10, 3);
  spendRights(rights, WEUR, 5, 4);
  returnRights(rights, WEUR, 2, 5);
  const register = createLwwRegister();
  writeRegister(register, ENAM, { ms: 1, count: 0 }, null, 1);
  writeRegister(register, WEUR, { ms: 300, count: 2 }, "é", 2);
  const membership = createMembership();
  announceRegion(
    membership,
    "weur",
    { incarnation: 3, status: "draining", shards: 2, stamp: { ms: 4, count: 5 } },
    1,
  );
  return [
    [g, `${HEADER} ${TWO_IDS} 01 01 0163 02 0001 01ffffffffffffff0f`],
    [pn, `${HEADER} 01 0a776575722e302e302e30 01 02 0163 01 00 ac02 7f`],
    [window, `${HEADER} ${TWO_IDS} 01 03 0163 ad02 02 00 01 0105 01 01 008001`],
    [calls, `${HEADER} 01 0a656e616d2e302e302e30 01 04 0163 00 01 02 01 00 09 00 01 c801`],
    [
      rights,
      `${HEADER} 04 046275726e 0a656e616d2e302e302e30 046d696e74 0a776575722e302e302e30
       01 05 0163 01 03 05 02 03 02 03 64 03 00 0a 03 01 28`.replaceAll(/\s+/g, " "),
    ],
    [register, `${HEADER} ${TWO_IDS} 01 06 0163 02 00 0100 00 00 01 ac0202 01 02c3a9 01 00 0100`],
    [membership, `${HEADER} 01 0477657572 01 07 0163 01 00 03 01 02 04 05`],
  ];
}

describe("golden vectors", () => {
  for (const [state, hex] of goldenStates()) {
    it(`${state.kind}: these bytes and no others`, ({ expect }) => {
      expect(Buffer.from(bytesOf([{ name: "c", state }])).toString("hex")).toBe(hex.replaceAll(" ", ""));
      const answer = decodeStates(fromHex(hex));
      expect(answer.kind === "decoded" && answer.entries.map(({ name }) => name)).toEqual(["c"]);
      expect(answer.kind === "decoded" && sameState(answer.entries[0].state, state)).toBe(true);
    });
  }

  it("an empty message", ({ expect }) => {
    expect(Buffer.from(bytesOf([])).toString("hex")).toBe(`${HEADER}0000`);
    expect(decodeStates(fromHex(`${HEADER} 00 00`))).toEqual({ kind: "decoded", entries: [] });
  });
});

describe("round trip", () => {
  test("many states of any kind keep names, order and content, and have one encoding", ({ expect }) => {
    fc.assert(
      fc.property(mixed, (entries) => {
        const bytes = bytesOf(entries);
        const answer = decodeStates(bytes);
        if (answer.kind === "refused") return expect.unreachable(answer.reason);
        expect(answer.entries.map(({ name }) => name)).toEqual(entries.map(({ name }) => name));
        expect(answer.entries.every(({ state }, at) => sameState(state, entries[at].state))).toBe(true);
        expect(bytesOf(answer.entries)).toEqual(bytes);
      }),
      { numRuns: 1000 },
    );
  });

  it("what is decoded counts as changed at the first version", ({ expect }) => {
    for (const [state] of goldenStates()) {
      const answer = decodeStates(bytesOf([{ name: "c", state }]));
      expect(answer.kind === "decoded" && stateVersion(answer.entries[0].state)).toBe(FIRST_VERSION);
    }
  });

  it("names are texts of any script; a byte order mark stays", ({ expect }) => {
    for (const name of ["", "usage:käse", "\ufeffx", "\u0000", "鍵"]) {
      const answer = decodeStates(bytesOf([{ name, state: createGCounter() }]));
      expect(answer.kind === "decoded" && answer.entries[0].name).toBe(name);
    }
    expect(refusalOf([{ name: "\udc00", state: createGCounter() }])).toBe("malformed");
  });
});

describe("size", () => {
  it(`at most ${BYTES_PER_CELL} bytes a cell, greatest totals and the list of slots included`, ({
    expect,
  }) => {
    const entries = Array.from({ length: 100 }, (_, index) => {
      const state = createGCounter();
      for (const region of REGIONS) {
        const slot = slotIdOf({ region, shard: 0, sub: 0, epoch: 0 });
        if (slot !== null) addToGCounter(state, slot, MAX_TOTAL, 1);
      }
      return { name: `usage:consumer-${index}`, state };
    });
    expect(bytesOf(entries).length / (100 * REGIONS.length)).toBeLessThan(BYTES_PER_CELL);
  });

  it("one cell costs two bytes more at least and ten at most", ({ expect }) => {
    const state = createGCounter();
    addToGCounter(state, ENAM, 1, 1);
    const alone = { name: "c", state };
    expect(bytesOf([alone, alone]).length - bytesOf([alone]).length).toBe(6);
    const many = counterOfSlots(MAX_MESSAGE_IDS - 1);
    const more = counterOfSlots(MAX_MESSAGE_IDS);
    const ownName = uniqueSlot(MAX_MESSAGE_IDS - 1).length + 1;
    const cost = bytesOf([{ name: "c", state: more }]).length - bytesOf([{ name: "c", state: many }]).length;
    expect(cost - ownName).toBeLessThanOrEqual(10);
  });
});

describe("bounds, on both sides", () => {
  it("as many ids as a message may hold, none longer than an id", ({ expect }) => {
    expect(refusalOf([{ name: "", state: counterOfSlots(MAX_MESSAGE_IDS) }])).toBeNull();
    expect(refusalOf([{ name: "", state: counterOfSlots(MAX_MESSAGE_IDS + 1) }])).toBe("too-many-ids");
    expect(reasonOf(decodeStates(fromHex(`${HEADER} 8108 0161`)))).toBe("too-many-ids");
    const longest = "r".repeat(MAX_SLOT_ID_CHARS + 1);
    const tooLong = Buffer.from(longest).toString("hex");
    expect(reasonOf(decodeStates(fromHex(`${HEADER} 01 ${longest.length.toString(16)} ${tooLong} 00`)))).toBe(
      "too-long-text",
    );
  });

  it("as many entries as a message may hold", ({ expect }) => {
    const entries = Array.from({ length: MAX_MESSAGE_ENTRIES }, () => ({
      name: "",
      state: createGCounter(),
    }));
    expect(decodeStates(bytesOf(entries)).kind).toBe("decoded");
    expect(refusalOf([...entries, entries[0]])).toBe("too-many-entries");
    expect(reasonOf(decodeStates(fromHex(`${HEADER} 00 914e`)))).toBe("too-many-entries");
  });

  it("as many rows as a message may hold", ({ expect }) => {
    const thousand = { name: "", state: counterOfSlots(1000) };
    const entries = Array.from({ length: MAX_MESSAGE_ROWS / 1000 }, () => thousand);
    const bytes = bytesOf(entries);
    expect(decodeStates(bytes).kind).toBe("decoded");
    expect(refusalOf([...entries, { name: "", state: counterOfSlots(1) }])).toBe("too-many-rows");
    const [last] = bytes.slice(-1);
    expect(last).toBe(1);
    // The first count grows by one: the message then asks for one row more than it may.
    const oneMore = Buffer.concat([bytes, fromHex("01 00 01 00 01")]);
    const countAt = bytes.length - entryBytes(thousand) * entries.length - 1;
    oneMore[countAt] += 1;
    expect(reasonOf(decodeStates(oneMore))).toBe("too-many-rows");
  });

  it("names and values as long as they may be", ({ expect }) => {
    const name = "é".repeat(MAX_NAME_BYTES / 2);
    expect(decodeStates(bytesOf([{ name, state: createGCounter() }])).kind).toBe("decoded");
    expect(refusalOf([{ name: `${name}x`, state: createGCounter() }])).toBe("too-long-text");
    expect(reasonOf(decodeStates(fromHex(`${HEADER} 00 01 01 8108`)))).toBe("too-long-text");
    const register = createLwwRegister();
    writeRegister(
      register,
      WEUR,
      { ms: MAX_STAMP_MS, count: MAX_STAMP_COUNT },
      "鍵".repeat(MAX_REGISTER_CHARS),
      1,
    );
    expect(decodeStates(bytesOf([{ name: "", state: register }])).kind).toBe("decoded");
    const tooLong = "78".repeat(MAX_REGISTER_CHARS + 1);
    expect(reasonOfBody("06", `01 00 0000 01 8120 ${tooLong} 00`)).toBe("too-long-text");
  });

  it("as many bytes as a message may have", ({ expect }) => {
    const register = createLwwRegister();
    writeRegister(register, WEUR, { ms: 1, count: 1 }, "鍵".repeat(MAX_REGISTER_CHARS), 1);
    const entry = { name: "", state: register };
    const fitting = Math.floor((MAX_MESSAGE_BYTES - 32) / entryBytes(entry));
    expect(decodeStates(bytesOf(Array.from({ length: fitting }, () => entry))).kind).toBe("decoded");
    expect(refusalOf(Array.from({ length: fitting + 1 }, () => entry))).toBe("too-large");
    expect(reasonOf(decodeStates(new Uint8Array(MAX_MESSAGE_BYTES + 1)))).toBe("too-large");
  });
});

describe("malformed and hostile input", () => {
  it("riak_dt: another version is refused, and so is what is no message", ({ expect }) => {
    expect(reasonOf(decodeStates(fromHex(`5447 0${WIRE_VERSION + 1} 00 00`)))).toBe("unknown-version");
    expect(reasonOf(decodeStates(fromHex("544800 00 00")))).toBe("bad-magic");
    expect(reasonOf(decodeStates(new Uint8Array()))).toBe("truncated");
    expect(reasonOf(decodeStates(fromHex(`${HEADER} 00 00 00`)))).toBe("malformed");
    expect(decodeStates(fromHex(`${HEADER} 00 01 08`))).toEqual({
      kind: "refused",
      reason: "malformed",
      atByte: 6,
    });
  });

  it("ids out of order, twice, or spelled like nothing", ({ expect }) => {
    for (const ids of [
      "02 0162 0161",
      "02 0161 0161",
      "01 00",
      "01 0141",
      "01 03612e30",
      "01 02c3a9",
      "01 01ff",
    ]) {
      expect(reasonOf(decodeStates(fromHex(`${HEADER} ${ids} 00`))), ids).toBe("malformed");
    }
  });

  it("integers in a longer form than needed, or above 2^53 - 1", ({ expect }) => {
    expect(reasonOfBody("01", "01 00 01")).toBeNull();
    expect(reasonOfBody("01", "01 00 8100")).toBe("malformed");
    expect(reasonOfBody("01", "01 00 ffffffffffffff0f")).toBeNull();
    expect(reasonOfBody("01", "01 00 ffffffffffffff1f")).toBe("malformed");
    expect(reasonOfBody("01", "01 00 ffffffffffffffff01")).toBe("malformed");
  });

  it("bodies that their type could not have made", ({ expect }) => {
    const wrong: [string, string, string][] = [
      ["a total of zero", "01", "01 00 00"],
      ["rows out of order", "01", "02 0101 0001"],
      ["one row twice", "01", "02 0001 0001"],
      ["an id that is not there", "01", "01 02 01"],
      ["both totals zero", "02", "01 00 00 00"],
      ["a span without rows", "03", "00 01 00 00"],
      ["spans out of order", "03", "00 02 01 01 0001 01 01 0001"],
      ["a span beyond all integers", "03", "ffffffffffffff0f 01 01 01 0001"],
      ["an unknown kind of entry", "00", "00"],
      ["more returned than spent", "05", "01 00 01 02 00"],
      ["a transfer to itself", "05", "00 01 00 00 01"],
      ["a transfer of nothing", "05", "00 01 00 01 00"],
      ["transfers out of order", "05", "00 02 01 00 01 00 01 01"],
      ["neither a value nor none", "06", "01 00 0100 02 00"],
      ["a write that had seen itself", "06", "01 00 0200 00 01 00 0100"],
      ["a write that had seen the future", "06", "01 00 0100 00 01 01 0100"],
      ["a stamp of more than 48 bits", "06", "01 00 8080808080804000 00 00"],
      ["a count of more than 16 bits", "06", "01 00 00808004 00 00"],
      ["a value that is not UTF-8", "06", "01 00 0100 01 01ff 00"],
      ["a slot where a region belongs", "07", "01 00 01 00 01 0000"],
    ];
    for (const [what, kind, body] of wrong) expect(reasonOfBody(kind, body), what).toBe("malformed");
    expect([reasonOfRegionRow("02 01 0000"), reasonOfRegionRow("03 01 0000")]).toEqual([null, "malformed"]);
    expect([reasonOfRegionRow("00 808004 0000"), reasonOfRegionRow("00 818004 0000")]).toEqual([
      null,
      "malformed",
    ]);
    expect(MAX_SHARD + 1).toBe(0x10000);
  });

  it("rights come from the mint and end burned, not the other way round", ({ expect }) => {
    const [burn, mint] = [BURN, MINT].map((id) => Buffer.from(id).toString("hex"));
    const ids = `03 04${burn} 04${mint} 0a776575722e302e302e30`;
    const transfer = (from: string, to: string): string | null =>
      reasonOf(decodeStates(fromHex(`${HEADER} ${ids} 01 05 00 00 01 ${from} ${to} 01`)));
    expect([transfer("01", "02"), transfer("02", "00")]).toEqual([null, null]);
    expect([transfer("00", "02"), transfer("02", "01"), transfer("01", "00")]).toEqual(
      Array.from({ length: 3 }, () => "malformed"),
    );
  });

  it("a count that promises more than the message holds", ({ expect }) => {
    expect(reasonOfBody("01", "ff7f")).toBe("truncated");
    expect(reasonOfBody("01", "ffffffffffffff0f")).toBe("too-many-rows");
    expect(reasonOf(decodeStates(fromHex(`${HEADER} 00 01 01 05 61`)))).toBe("truncated");
  });

  test("every cut of a message is refused", ({ expect }) => {
    fc.assert(
      fc.property(mixed, fc.nat(), (entries, cut) => {
        const bytes = bytesOf(entries);
        expect(decodeStates(bytes.subarray(0, cut % bytes.length)).kind).toBe("refused");
      }),
      { numRuns: 1000 },
    );
  });

  test("a changed byte is refused, or gives states that can be sent on", ({ expect }) => {
    fc.assert(
      fc.property(mixed, fc.nat(), fc.integer({ min: 1, max: 255 }), (entries, at, flip) => {
        const bytes = bytesOf(entries);
        bytes[at % bytes.length] ^= flip;
        const answer = decodeStates(bytes);
        if (answer.kind === "decoded") {
          const again = decodeStates(bytesOf(answer.entries));
          const states = again.kind === "decoded" ? again.entries : [];
          expect(states.every(({ state }, index) => sameState(state, answer.entries[index].state))).toBe(
            true,
          );
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("noise never throws", ({ expect }) => {
    const noise = fc.uint8Array({ maxLength: 200 });
    fc.assert(
      fc.property(noise, fc.boolean(), (bytes, headed) => {
        const input = headed ? Buffer.concat([fromHex(HEADER), bytes]) : bytes;
        expect(["decoded", "refused"]).toContain(decodeStates(input).kind);
      }),
      { numRuns: 3000 },
    );
  });
});
