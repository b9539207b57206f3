// The exact window at its edges, and what a decision reads.

import { describe, expect, it } from "vitest";
import { MAX_ROW_STEPS } from "../../../src/hub/ledger-window.ts";
import { MemoryLedger } from "./memory-rows.ts";

const T0 = 1_700_000_000_000;
const MINUTE = 60_000;

function taken(used: number, remaining: number, resetMs: number, replayed = false) {
  return { kind: "taken", used, remaining, resetMs, replayed };
}

describe("an exact window", () => {
  it("takes until the rate and says when the next unit is there", () => {
    const ledger = new MemoryLedger(3);
    expect(ledger.consume("a", 2, MINUTE, T0)).toEqual(taken(2, 1, MINUTE));
    expect(ledger.consume("b", 1, MINUTE, T0 + 10_000)).toEqual(taken(3, 0, 50_000));
    expect(ledger.consume("c", 1, MINUTE, T0 + 20_000)).toEqual({
      kind: "refused",
      waitMs: 40_000,
      remaining: 0,
    });
  });

  it("is free again at the end of the window, not a millisecond before", () => {
    const ledger = new MemoryLedger(1);
    ledger.consume("a", 1, MINUTE, T0);
    expect(ledger.consume("b", 1, MINUTE, T0 + MINUTE - 1)).toEqual({
      kind: "refused",
      waitMs: 1,
      remaining: 0,
    });
    expect(ledger.consume("b", 1, MINUTE, T0 + MINUTE)).toEqual(taken(1, 0, MINUTE));
  });

  it("does not remember a refused request", () => {
    const ledger = new MemoryLedger(1);
    ledger.consume("a", 1, MINUTE, T0);
    ledger.consume("b", 1, MINUTE, T0);
    expect(ledger.records.map(({ id }) => id)).toEqual(["a"]);
  });

  it("answers the same id as before, with the numbers of then, and counts it once", () => {
    const ledger = new MemoryLedger(5);
    const first = ledger.consume("a", 2, MINUTE, T0);
    ledger.consume("b", 3, MINUTE, T0 + 1);
    expect(ledger.consume("a", 2, MINUTE, T0 + 2)).toEqual({ ...first, replayed: true });
    expect(ledger.consume("a", 2, MINUTE, T0 + 2 * MINUTE)).toEqual({ ...first, replayed: true });
    expect(ledger.records).toHaveLength(2);
  });

  it("answers the same id as before when the rate has fallen below its amount", () => {
    const ledger = new MemoryLedger(5);
    ledger.consume("a", 4, MINUTE, T0);
    expect(ledger.consume("a", 4, MINUTE, T0, 3)).toEqual(taken(4, 1, MINUTE, true));
    expect(ledger.consume("b", 4, MINUTE, T0, 3)).toEqual({ kind: "invalid", reason: "amount-over-rate" });
  });

  it("refuses the same id with another amount", () => {
    const ledger = new MemoryLedger(5);
    ledger.consume("a", 2, MINUTE, T0);
    expect(ledger.consume("a", 1, MINUTE, T0)).toEqual({ kind: "conflict" });
  });

  it("takes what was given back, once, and counts the id afresh afterwards", () => {
    const ledger = new MemoryLedger(2);
    ledger.consume("a", 2, MINUTE, T0);
    expect([ledger.giveBack("a"), ledger.giveBack("a"), ledger.giveBack("x")]).toEqual([true, true, false]);
    expect(ledger.consume("b", 1, MINUTE, T0)).toEqual(taken(1, 1, MINUTE));
    expect(ledger.consume("a", 1, MINUTE, T0)).toEqual(taken(2, 0, MINUTE));
    expect(ledger.records.map(({ id, state }) => `${id} ${state}`)).toEqual([
      "a returned",
      "b taken",
      "a taken",
    ]);
  });

  it("admits nothing more when the clock steps back, and waits for the clock that is", () => {
    const ledger = new MemoryLedger(1);
    ledger.consume("a", 1, MINUTE, T0);
    expect(ledger.consume("b", 1, MINUTE, T0 - 10 * MINUTE)).toEqual({
      kind: "refused",
      waitMs: 11 * MINUTE,
      remaining: 0,
    });
    ledger.restart();
    expect(ledger.consume("b", 1, MINUTE, T0 - 10 * MINUTE).kind).toBe("refused");
    expect(ledger.consume("c", 1, MINUTE, T0 + MINUTE).kind).toBe("taken");
    expect(ledger.consume("d", 1, MINUTE, T0).kind).toBe("refused");
  });

  it("follows a rate and a window that changed, in both directions", () => {
    const ledger = new MemoryLedger(4);
    for (const [index, id] of ["a", "b", "c", "d"].entries()) {
      ledger.consume(id, 1, MINUTE, T0 + index * 1000);
    }
    expect(ledger.consume("e", 1, MINUTE, T0 + 4000, 2)).toEqual({
      kind: "refused",
      waitMs: MINUTE - 2000,
      remaining: 0,
    });
    expect(ledger.consume("e", 1, 2000, T0 + 4000, 2)).toEqual(taken(2, 0, 1000));
    expect(ledger.consume("f", 1, MINUTE, T0 + 5000, 5).kind).toBe("refused");
  });

  it("waits for as many rows as it takes", () => {
    const ledger = new MemoryLedger(100);
    for (let index = 0; index < 100; index++) ledger.consume(`${index}`, 1, MINUTE, T0 + index);
    ledger.giveBack("50");
    expect(ledger.consume("x", 1, MINUTE, T0 + 100).kind).toBe("taken");
    expect(ledger.consume("y", 80, MINUTE, T0 + 100)).toEqual({
      kind: "refused",
      waitMs: MINUTE + 80 - 100,
      remaining: 0,
    });
  });

  it("counts sums at the end of exact numbers", () => {
    const most = Number.MAX_SAFE_INTEGER;
    const ledger = new MemoryLedger(most);
    expect(ledger.consume("a", most - 1, MINUTE, T0)).toEqual(taken(most - 1, 1, MINUTE));
    expect(ledger.consume("b", 2, MINUTE, T0)).toMatchObject({ kind: "refused", remaining: 1 });
    expect(ledger.consume("c", 1, MINUTE, T0)).toEqual(taken(most, 0, MINUTE));
  });

  it("an emptied ledger goes on above the seqs that it had", () => {
    const ledger = new MemoryLedger(1);
    ledger.consume("a", 1, MINUTE, T0);
    ledger.consume("b", 1, MINUTE, T0 + MINUTE);
    const last = ledger.records[1].seq;
    ledger.prune(2);
    ledger.consume("c", 1, MINUTE, T0 + 100 * MINUTE);
    expect(last).toBe(T0 + 1);
    expect(ledger.records[0].seq).toBeGreaterThan(last);
  });
});

/** A window full of rows, one every 15 ms. */
function busyLedger(): MemoryLedger {
  const ledger = new MemoryLedger(100_000);
  for (let index = 0; index < 4000; index++) ledger.consume(`${index}`, 1, MINUTE, T0 + index * 15);
  ledger.reads = 0;
  return ledger;
}

describe("the rows that are read", () => {
  it("are about one for each decision", () => {
    const ledger = busyLedger();
    for (let index = 0; index < 1000; index++) {
      ledger.consume(`n${index}`, 1, MINUTE, T0 + MINUTE + index * 15);
    }
    expect(ledger.reads).toBeLessThanOrEqual(1000);
  });

  it("are none for a refusal that waits for the oldest row", () => {
    const ledger = busyLedger();
    expect(ledger.consume("x", 1, MINUTE, T0 + MINUTE - 1, 4000).kind).toBe("refused");
    expect(ledger.reads).toBe(0);
  });

  it("do not grow with the window's age after a silence", () => {
    const ledger = busyLedger();
    ledger.consume("x", 1, MINUTE, T0 + 3 * MINUTE);
    expect(ledger.reads).toBeLessThan(MAX_ROW_STEPS + 40);
  });
});
