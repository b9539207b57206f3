// The ledger in the real runtime with real SQLite: concurrent callers, restarts, what is written and what an
// alarm deletes.

import { abortAllDurableObjects, evictDurableObject } from "cloudflare:test";
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { MIN_RETENTION_MS, PRUNE_BATCH_ROWS, PRUNE_PAUSE_MS } from "../../durable-objects/ledger.ts";
import type { ConsumeRequest } from "../../src/hub/ledger-requests.ts";

const DAY = 24 * 3600 * 1000;
const DEFAULTS = { amount: 1, rate: 100, windowMs: DAY };

function ask(id: string, request: Partial<ConsumeRequest> = {}): ConsumeRequest {
  return { id, ...DEFAULTS, ...request };
}

function ledgerOf(key: string) {
  return env.LEDGER.getByName(key);
}

type Stub = ReturnType<typeof ledgerOf>;

function sql(ledger: Stub, query: string, ...bindings: SqlStorageValue[]) {
  return runInDurableObject(ledger, (_, { storage }) => storage.sql.exec(query, ...bindings).toArray());
}

/** How many rows the object writes while `work` runs, by what each statement says of itself. */
async function rowsWritten(ledger: Stub, work: () => Promise<unknown>): Promise<number> {
  const cursors: { readonly rowsWritten: number }[] = [];
  const spy = await runInDurableObject(ledger, (_, { storage }) => {
    const prototype: SqlStorage = Object.getPrototypeOf(storage.sql);
    const exec = prototype.exec.bind(storage.sql);
    return vi.spyOn(prototype, "exec").mockImplementation((query, ...bindings) => {
      const cursor = exec(query, ...bindings);
      cursors.push(cursor);
      return cursor;
    });
  });
  await work();
  spy.mockRestore();
  return runInDurableObject(ledger, () => cursors.reduce((sum, cursor) => sum + cursor.rowsWritten, 0));
}

describe("consume", () => {
  it("admits exactly the rate under 200 concurrent callers", async () => {
    const ledger = ledgerOf("concurrent");
    const outcomes = await Promise.all(
      Array.from({ length: 200 }, (_, index) => ledger.consume(ask(`c${index}`))),
    );
    expect(outcomes.filter(({ kind }) => kind === "taken")).toHaveLength(100);
    expect(outcomes.filter(({ kind }) => kind === "refused")).toHaveLength(100);
    expect(await sql(ledger, "SELECT SUM(amount) AS taken, COUNT(*) AS rows FROM entries")).toEqual([
      { taken: 100, rows: 100 },
    ]);
  });

  it("counts one id once, however often and at once it comes", async () => {
    const ledger = ledgerOf("replay");
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => ledger.consume(ask("same"))));
    expect(outcomes.filter((outcome) => outcome.kind === "taken" && !outcome.replayed)).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome.kind === "taken" && outcome.used === 1)).toHaveLength(20);
    expect(await ledger.consume(ask("same", { amount: 2 }))).toEqual({ kind: "conflict" });
  });

  it("goes on with the same count and the same answers after an eviction and after a crash", async () => {
    const ledger = ledgerOf("restarts");
    const first = await ledger.consume(ask("a", { amount: 60 }));
    await evictDurableObject(ledger);
    expect(await ledger.consume(ask("a", { amount: 60 }))).toEqual({ ...first, replayed: true });
    expect(await ledger.consume(ask("b", { amount: 41 }))).toMatchObject({ kind: "refused", remaining: 40 });
    await abortAllDurableObjects();
    const again = ledgerOf("restarts");
    expect(await again.consume(ask("c", { amount: 41 }))).toMatchObject({ kind: "refused", remaining: 40 });
    expect(await again.consume(ask("d", { amount: 40 }))).toMatchObject({ kind: "taken", remaining: 0 });
  });

  it("keeps keys apart", async () => {
    await ledgerOf("one").consume(ask("a", { amount: 100 }));
    expect(await ledgerOf("other").consume(ask("a"))).toMatchObject({ kind: "taken", used: 1 });
  });

  it("answers what it does not understand", async () => {
    const ledger = ledgerOf("invalid");
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what a later version may send
    const broken = [undefined, {}, ask("", {}), ask("a", { amount: 0.5 })] as ConsumeRequest[];
    const outcomes = await Promise.all(broken.map((request) => ledger.consume(request)));
    expect(outcomes.map((outcome) => outcome.kind === "invalid" && outcome.reason)).toEqual([
      "request",
      "id",
      "id",
      "amount",
    ]);
    expect(await ledger.giveBack("")).toEqual({ kind: "invalid", reason: "id" });
    expect(await ledger.entries({ after: 0, max: 0 })).toEqual({ kind: "invalid", reason: "max" });
  });

  it("writes two rows, and none for a refusal or a repetition", async () => {
    const ledger = ledgerOf("written");
    await ledger.consume(ask("first"));
    expect(await rowsWritten(ledger, () => ledger.consume(ask("second")))).toBe(2);
    expect(await rowsWritten(ledger, () => ledger.consume(ask("second")))).toBe(0);
    expect(await rowsWritten(ledger, () => ledger.consume(ask("third", { amount: 99 })))).toBe(0);
    expect(await rowsWritten(ledger, () => ledger.giveBack("second"))).toBe(1);
    expect(await rowsWritten(ledger, () => ledger.giveBack("second"))).toBe(0);
  });
});

describe("giveBack", () => {
  it("frees the units at once, and once", async () => {
    const ledger = ledgerOf("give-back");
    await ledger.consume(ask("a", { amount: 70 }));
    await ledger.consume(ask("b", { amount: 30 }));
    expect(await ledger.giveBack("a")).toEqual({ kind: "returned" });
    expect(await ledger.giveBack("a")).toEqual({ kind: "returned" });
    expect(await ledger.giveBack("nobody")).toEqual({ kind: "unknown" });
    expect(await ledger.consume(ask("c", { amount: 71 }))).toMatchObject({ kind: "refused", remaining: 70 });
    await evictDurableObject(ledger);
    expect(await ledger.consume(ask("c", { amount: 71 }))).toMatchObject({ kind: "refused", remaining: 70 });
  });

  it("lets the id count afresh, and what is remembered of it is the newest", async () => {
    const ledger = ledgerOf("afresh");
    await ledger.consume(ask("a", { amount: 70 }));
    await ledger.giveBack("a");
    const afresh = await ledger.consume(ask("a", { amount: 10 }));
    expect(afresh).toMatchObject({ kind: "taken", used: 10, replayed: false });
    expect(await ledger.consume(ask("a", { amount: 10 }))).toEqual({ ...afresh, replayed: true });
    expect(await ledger.consume(ask("a", { amount: 70 }))).toEqual({ kind: "conflict" });
  });
});

describe("entries", () => {
  it("gives every row once, page by page, with what became of it", async () => {
    const ledger = ledgerOf("entries");
    for (const id of ["a", "b", "c", "d", "e"]) await ledger.consume(ask(id));
    await ledger.giveBack("b");
    const seen: string[] = [];
    let [after, more] = [0, true];
    while (more) {
      const page = await ledger.entries({ after, max: 2 });
      if (page.kind !== "entries") throw new Error(page.reason);
      expect(page.entries.length).toBeLessThanOrEqual(2);
      seen.push(...page.entries.map(({ id, amount, state }) => `${id} ${amount} ${state}`));
      after = page.entries.at(-1)?.seq ?? after;
      ({ more } = page);
    }
    expect(seen).toEqual(["a 1 taken", "b 1 returned", "c 1 taken", "d 1 taken", "e 1 taken"]);
    expect(await ledger.entries({ after, max: 1000 })).toEqual({ kind: "entries", entries: [], more: false });
  });

  it("never gives more than a page of 1000", async () => {
    const ledger = ledgerOf("many-entries");
    await fill(ledger, 1001, Date.now());
    const page = await ledger.entries({ after: 0, max: 5000 });
    expect(page.kind === "entries" && page.entries.length).toBe(1000);
    expect(page).toMatchObject({ more: true });
  });
});

/** Rows of another time, as if they had been taken then. */
async function fill(ledger: Stub, count: number, at: number): Promise<void> {
  await sql(
    ledger,
    `WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
     INSERT INTO entries SELECT n, ?, 'old' || n, 1, 'taken', 1, 0, 0 FROM numbers`,
    count,
    at,
  );
  await evictDurableObject(ledger);
}

async function armedAt(ledger: Stub): Promise<number | null> {
  return runInDurableObject(ledger, (_, { storage }) => storage.getAlarm());
}

describe("the alarm", () => {
  it("is set by the first entry to the end of its retention, for a longer window later", async () => {
    const [short, long] = [ledgerOf("short-window"), ledgerOf("long-window")];
    const before = Date.now();
    await short.consume(ask("a", { windowMs: 1000 }));
    await long.consume(ask("a", { windowMs: 100 * DAY }));
    for (const [ledger, retentionMs] of [[short, MIN_RETENTION_MS] as const, [long, 200 * DAY] as const]) {
      const at = (await armedAt(ledger)) ?? 0;
      expect(at).toBeGreaterThanOrEqual(before + retentionMs);
      expect(at).toBeLessThanOrEqual(Date.now() + retentionMs);
    }
  });

  it("deletes what is past its retention in batches, and nothing else", async () => {
    const ledger = ledgerOf("prune");
    await fill(ledger, PRUNE_BATCH_ROWS + 10, Date.now() - MIN_RETENTION_MS - 1000);
    await ledger.consume(ask("new", { amount: 100 }));
    expect(await runDurableObjectAlarm(ledger)).toBe(true);
    expect(await sql(ledger, "SELECT COUNT(*) AS rows FROM entries")).toEqual([{ rows: 11 }]);
    expect(await armedAt(ledger)).toBeLessThan(Date.now() + PRUNE_PAUSE_MS / 2);
    expect(await runDurableObjectAlarm(ledger)).toBe(true);
    expect(await sql(ledger, "SELECT id FROM entries")).toEqual([{ id: "new" }]);
    expect(await armedAt(ledger)).toBeGreaterThan(Date.now() + MIN_RETENTION_MS - DAY);
    expect(await ledger.consume(ask("more"))).toMatchObject({ kind: "refused", remaining: 0 });
  });

  it("deletes what the window still remembers, and the window forgets it", async () => {
    const ledger = ledgerOf("stale-window");
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() - 2 * MIN_RETENTION_MS });
    for (const id of ["a", "b", "c"]) await ledger.consume(ask(id));
    vi.useRealTimers();
    await runInDurableObject(ledger, (_, { storage }) => storage.setAlarm(Date.now() + DAY));
    expect(await runDurableObjectAlarm(ledger)).toBe(true);
    expect(await ledger.consume(ask("d", { amount: 100 }))).toMatchObject({ kind: "taken", remaining: 0 });
  });

  it("stops when nothing is left, and the next entry goes on above the last seq", async () => {
    const ledger = ledgerOf("emptied");
    await fill(ledger, 3, Date.now() - MIN_RETENTION_MS - 1000);
    await runInDurableObject(ledger, (_, { storage }) => storage.setAlarm(Date.now() + DAY));
    expect(await runDurableObjectAlarm(ledger)).toBe(true);
    expect(await armedAt(ledger)).toBeNull();
    await ledger.consume(ask("a"));
    expect(await ledger.entries({ after: 3, max: 10 })).toMatchObject({ entries: [{ id: "a" }] });
    expect(await armedAt(ledger)).not.toBeNull();
  });

  it("comes again when it failed", async () => {
    const ledger = ledgerOf("failing");
    await ledger.consume(ask("a"));
    const logged = vi.spyOn(console, "error").mockImplementation(() => undefined);
    await sql(ledger, "ALTER TABLE entries RENAME TO hidden");
    expect(await runDurableObjectAlarm(ledger)).toBe(true);
    expect(logged).toHaveBeenCalledOnce();
    logged.mockRestore();
    expect(await armedAt(ledger)).toBeGreaterThan(Date.now());
  });
});

describe("mint", () => {
  it("never passes the cap over many slots that ask at once, each twice", async () => {
    const ledger = ledgerOf("mint");
    const asks = Array.from({ length: 60 }, (_, index) => ({
      period: 1,
      slot: `weur.${index % 12}.0.0` as const,
      seq: 1 + Math.floor(index / 12),
      want: 7,
      cap: 100,
    }));
    const outcomes = await Promise.all([...asks, ...asks].map((request) => ledger.mint(request)));
    expect(outcomes.every(({ kind }) => kind === "minted")).toBe(true);
    const totals = await Promise.all(
      asks.slice(0, 12).map(async (request) => {
        const outcome = await ledger.mint(request);
        return outcome.kind === "minted" ? outcome.total : Number.NaN;
      }),
    );
    expect(totals.reduce((sum, total) => sum + total, 0)).toBe(100);
  });

  it("keeps its totals over a restart and drops old periods", async () => {
    const ledger = ledgerOf("mint-restart");
    const slot = "weur.0.0.0" as const;
    await ledger.mint({ period: 1, slot, seq: 1, want: 60, cap: 100 });
    await evictDurableObject(ledger);
    expect(await ledger.mint({ period: 1, slot, seq: 1, want: 60, cap: 100 })).toEqual({
      kind: "minted",
      total: 60,
      left: 40,
    });
    await ledger.mint({ period: 4, slot, seq: 1, want: 1, cap: 100 });
    expect(await sql(ledger, "SELECT period FROM mints")).toEqual([{ period: 4 }]);
    expect(await ledger.mint({ period: 1, slot, seq: 2, want: 1, cap: 100 })).toEqual({
      kind: "past-period",
      newest: 4,
    });
    expect(await rowsWritten(ledger, () => ledger.mint({ period: 4, slot, seq: 2, want: 1, cap: 9 }))).toBe(
      1,
    );
    expect(await rowsWritten(ledger, () => ledger.mint({ period: 4, slot, seq: 2, want: 1, cap: 9 }))).toBe(
      0,
    );
  });
});
