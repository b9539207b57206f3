// The order's object is killed at every place that it passes. Afterwards its record and its event must
// agree: an order that is PAID has exactly one order.paid, one that is not has none, and nothing is
// published twice but under the same id. TIDEGATE_KILLS=2016 runs it longer, TIDEGATE_KILLS_FIRST=2016 goes
// on where that ended: what one process keeps of its dead objects slows it down in the end.

import { env } from "cloudflare:workers";
import { expect, it, vi } from "vitest";
import { heardOf } from "./heard.ts";
import type { ObjectFailpoint } from "../../durable-objects/outbox-object/failpoints.ts";

const DEFAULT_KILLS = 210;
const AT_ONCE = 42;
const FAILPOINTS: readonly ObjectFailpoint[] = [
  "mid_transaction",
  "after_commit",
  "before_publish",
  "after_publish",
  "before_mark",
  "after_mark",
  "mid_collect",
];

/** Runs one order through one death; gives what was heard and what is stored. */
async function runOrder(name: string, failpoint: ObjectFailpoint) {
  const order = env.ORDERS.getByName(name);
  await order.place(1_200);
  await order.flushOutbox();
  expect(await order.failAt(failpoint)).toBe(true);
  // It dies while it pays or while it publishes.
  await order.pay().catch(() => null);
  await order.flushOutbox().catch(() => null);
  // A call to the gateway may have failed with the object that made it; then it is made again a little later.
  await vi.waitFor(
    async () => {
      const state = await alive(name, (again) => again.flushOutbox());
      expect(state).toMatchObject({ waiting: 0, failures: 0 });
    },
    { timeout: 60_000, interval: 200 },
  );
  return { stored: await alive(name, (again) => again.read()), heard: await heardOf(name) };
}

type Stub = ReturnType<typeof env.ORDERS.getByName>;

/** A death that is still to come takes one call with it. */
async function alive<Result>(name: string, call: (order: Stub) => Promise<Result>): Promise<Result> {
  try {
    return await call(env.ORDERS.getByName(name));
  } catch {
    return await call(env.ORDERS.getByName(name));
  }
}

/** Of the whole test; without more kills than usual it takes a few seconds. */
const TIMEOUT_MS = 3_600_000;

it("leaves an order and its event in agreement, wherever it dies", { timeout: TIMEOUT_MS }, async () => {
  const first = Number(env.KILLS_FIRST || 0);
  const kills = first + Number(env.KILLS || DEFAULT_KILLS);
  const outcomes = new Map<string, number>();
  for (let start = first; start < kills; start += AT_ONCE) {
    const names = Array.from({ length: AT_ONCE }, (_, index) => `kill-${start + index}`);
    const runs = await Promise.all(
      names.map((name, index) => runOrder(name, FAILPOINTS[(start + index) % FAILPOINTS.length])),
    );
    for (const [index, { stored, heard }] of runs.entries()) {
      const failpoint = FAILPOINTS[(start + index) % FAILPOINTS.length];
      const ids = new Set(heard.filter(({ type }) => type === "order.paid").map(({ id }) => id));
      const expected = stored?.state === "PAID" ? 1 : 0;
      expect([failpoint, stored?.state, ids.size]).toEqual([failpoint, stored?.state, expected]);
      const outcome = `${failpoint} ${stored?.state}`;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  }
  console.log(`${kills - first} kills from ${first} on`, Object.fromEntries(outcomes));
  // Before it is stored, a death takes the payment back; afterwards the payment is published all the same.
  // (An alarm may have come first, and have died before the payment.)
  expect([...outcomes.keys()].toSorted()).toEqual(expect.arrayContaining(reached(["PLACED", "PAID"])));
  expect([...outcomes.keys()]).not.toEqual(expect.arrayContaining(["mid_transaction PAID"]));
  expect([...outcomes.keys()]).not.toEqual(expect.arrayContaining(["after_commit PAID"]));
});

/** What is seen when every place was reached. */
function reached([before, after]: readonly string[]): string[] {
  const stored = FAILPOINTS.indexOf("before_publish");
  return FAILPOINTS.map((failpoint, place) => `${failpoint} ${place < stored ? before : after}`);
}
