// The exact window against a model that keeps everything and adds it up each time: never more than the rate,
// never a refusal that would fit, whatever the clock does and whenever the object starts anew.

import { expect, it } from "vitest";
import type { ConsumeOutcome, Taken } from "../../../src/hub/ledger-requests.ts";
import { fc } from "../resilience/property.ts";
import { MemoryLedger } from "./memory-rows.ts";

const T0 = 1_700_000_000_000;
const RATE = 10;
const WINDOW = 100;

interface ModelRow {
  readonly id: string;
  readonly at: number;
  readonly amount: number;
  readonly answer: Taken;
  returned: boolean;
}

class Model {
  readonly rows: ModelRow[] = [];
  #time = 0;

  consume(id: string, amount: number, now: number): ConsumeOutcome {
    this.#time = Math.max(now, this.#time);
    const known = this.rows.findLast((row) => row.id === id);
    if (known !== undefined && !known.returned) {
      return known.amount === amount ? { ...known.answer, replayed: true } : { kind: "conflict" };
    }
    const before = this.#sumAt(this.#time);
    if (before + amount > RATE) {
      return { kind: "refused", waitMs: this.#fitsAt(amount) - now, remaining: RATE - before };
    }
    const used = before + amount;
    const row = { id, at: this.#time, amount, returned: false };
    const remaining = RATE - used;
    const answer = { kind: "taken", used, remaining, resetMs: 0, replayed: false } as const;
    this.rows.push({ ...row, answer });
    const resetMs = this.#fitsAt(remaining + 1) - now;
    this.rows[this.rows.length - 1] = { ...row, answer: { ...answer, resetMs } };
    return { ...answer, resetMs };
  }

  giveBack(id: string): boolean {
    const row = this.rows.findLast((candidate) => candidate.id === id);
    if (row !== undefined) row.returned = true;
    return row !== undefined;
  }

  restart(): void {
    this.#time = this.rows.at(-1)?.at ?? 0;
  }

  #sumAt(time: number): number {
    return this.rows
      .filter(({ at, returned }) => !returned && at > time - WINDOW)
      .reduce((sum, { amount }) => sum + amount, 0);
  }

  /** When `amount` fits if nobody else takes anything: every millisecond is tried. */
  #fitsAt(amount: number): number {
    let at = this.#time;
    while (this.#sumAt(at) + amount > RATE) at++;
    return at;
  }
}

type Step =
  | { readonly kind: "consume"; readonly id: string; readonly amount: number }
  | { readonly kind: "give-back"; readonly id: string }
  | { readonly kind: "clock"; readonly byMs: number }
  | { readonly kind: "restart" };

const ids = fc.nat(60).map(String);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("consume" as const),
      id: ids,
      amount: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: RATE })),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("give-back" as const), id: ids }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("clock" as const), byMs: fc.integer({ min: -40, max: 70 }) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "restart" as const }) },
);

/** Takes the same steps on both; gives what each of them answered. */
function play(steps: readonly Step[]) {
  const [ledger, model] = [new MemoryLedger(RATE), new Model()];
  let now = T0;
  const answers = steps.map((next) => {
    switch (next.kind) {
      case "consume":
        return {
          given: ledger.consume(next.id, next.amount, WINDOW, now),
          expected: model.consume(next.id, next.amount, now),
        };
      case "give-back":
        return { given: ledger.giveBack(next.id), expected: model.giveBack(next.id) };
      case "clock":
        now += next.byMs;
        return { given: null, expected: null };
      case "restart":
        ledger.restart();
        model.restart();
        return { given: null, expected: null };
    }
  });
  return { ledger, answers };
}

const scripts = fc.array(step, { minLength: 20, maxLength: 100, size: "max" });

it("a window answers as the model does", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(scripts, (steps) => {
      const { answers } = play(steps);
      expect(answers.map(({ given }) => given)).toEqual(answers.map(({ expected }) => expected));
      for (const { given } of answers) if (given !== null && typeof given === "object") seen.add(given.kind);
    }),
    { numRuns: 1000 },
  );
  expect(seen).toEqual(new Set(["taken", "refused", "conflict"]));
});

it("the sum of every window that ends with an entry is within the rate", () => {
  fc.assert(
    fc.property(scripts, (steps) => {
      const taken = play(steps).ledger.records.filter(({ state }) => state === "taken");
      for (const last of taken) {
        const inWindow = taken.filter(({ at }) => at > last.at - WINDOW && at <= last.at);
        expect(inWindow.reduce((sum, { amount }) => sum + amount, 0)).toBeLessThanOrEqual(RATE);
      }
    }),
    { numRuns: 500 },
  );
});
