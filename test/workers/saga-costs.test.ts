// What a saga of five steps costs its ledger when nothing disturbs it: the figures of docs/benchmarks.md.

import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { LEDGER_CALLS_PER_SAGA, ROWS_PER_SAGA, STEPS } from "../../bench/sagas/costs.ts";
import type { Work } from "../../src/saga/core/state.ts";
import { bindWorkflow, definition, request } from "./saga-rig.ts";

const [[step]] = definition.groups;
const five = {
  name: "costs",
  groups: Array.from({ length: STEPS }, (_, index) => [{ ...step, id: `s${index}` }]),
};

it("a saga of five steps writes as many rows and takes as many calls as the cost model says", async () => {
  const ledger = env.SAGA_LEDGER.getByName("saga.costs");
  await bindWorkflow(ledger, () => ({
    get: () => Promise.reject(new Error("none")),
    createBatch: () => Promise.resolve(),
  }));
  let alarms = 0;
  const cursors: { readonly rowsWritten: number }[] = [];
  await runInDurableObject(ledger, (_, { storage }) => {
    const { sql } = storage;
    const exec = sql.exec.bind(sql);
    const setAlarm = storage.setAlarm.bind(storage);
    Reflect.set(sql, "exec", (...args: Parameters<typeof exec>) => {
      const cursor = exec(...args);
      cursors.push(cursor);
      return cursor;
    });
    Reflect.set(storage, "setAlarm", (at: number) => {
      alarms++;
      return setAlarm(at);
    });
  });
  // Two, so that what happens once in a ledger's life is not counted.
  const rows: number[] = [];
  let calls = 0;
  for (const key of ["first", "second"]) {
    calls = 1;
    alarms = 0;
    cursors.length = 0;
    const reply = await ledger.start(request(key, five));
    if (reply.kind !== "started") throw new Error(reply.kind);
    const self = { id: reply.id, run: 1 };
    calls++;
    const begun = await ledger.resume(self);
    let next: readonly Work[] = begun.kind === "work" ? begun.next : [];
    while (next.length > 0) {
      const [work] = next;
      calls += 2;
      await ledger.step({ ...self, work, told: null });
      const result = { kind: "answered", status: 201, body: { id: "x" }, retryAfterMs: null } as const;
      const told = { attempt: 1, purpose: "call", result } as const;
      const settled = await ledger.step({ ...self, work, told });
      if (settled.kind !== "command" || settled.command.kind !== "settled") throw new Error("not settled");
      next = settled.command.next;
    }
    expect((await ledger.view(reply.id)).kind).toBe("found");
    rows.push(
      await runInDurableObject(ledger, () =>
        cursors.reduce((sum, { rowsWritten }) => sum + rowsWritten, alarms),
      ),
    );
  }
  // The alarm that rings afterwards is one more call.
  expect(calls + 1).toBe(LEDGER_CALLS_PER_SAGA);
  expect(rows[1]).toBe(ROWS_PER_SAGA);
});
