// The rows of a ledger in an array, in place of SQLite; and a ledger that runs the production rules on them.

import type { ConsumeOutcome } from "../../../src/hub/ledger-requests.ts";
import type { LedgerEntry, LedgerRecord, LedgerRows, LedgerWindow } from "../../../src/hub/ledger-window.ts";
import { advanceWindow, decideConsume, returnToWindow } from "../../../src/hub/ledger-window.ts";

export class MemoryLedger {
  records: LedgerRecord[] = [];
  window: LedgerWindow | null = null;
  /** Rows read since the last reset; a page counts its rows. */
  reads = 0;
  readonly rate: number;
  readonly rows: LedgerRows;

  constructor(rate: number) {
    this.rate = rate;
    this.rows = {
      oldest: () => this.#read(this.records[0] ?? null),
      newest: () => this.#read(this.records.at(-1) ?? null),
      row: (seq) => this.#read(this.#find(seq)),
      page: (seq, count) => {
        const from = this.records.length === 0 ? 0 : Math.max(0, seq - this.records[0].seq);
        const page = this.records.slice(from, from + count);
        this.reads += page.length;
        return page;
      },
      takenSince: (seq) => {
        const rows = this.records.filter((row) => row.seq >= seq && row.state === "taken");
        this.reads += rows.length;
        return rows.reduce((sum, row) => sum + row.amount, 0);
      },
      recordOf: (id) => this.records.findLast((row) => row.id === id) ?? null,
    };
  }

  consume(id: string, amount: number, windowMs: number, now: number, rate = this.rate): ConsumeOutcome {
    this.window = advanceWindow(this.window, this.rows, windowMs, now);
    const decision = decideConsume(this.window, this.rows, { id, amount, rate, windowMs }, now);
    if (decision.record !== null) this.records.push(decision.record);
    return decision.outcome;
  }

  giveBack(id: string): boolean {
    const record = this.records.findLast((row) => row.id === id);
    if (record === undefined) return false;
    if (record.state === "taken") {
      this.records[this.records.indexOf(record)] = { ...record, state: "returned" };
      if (this.window !== null) returnToWindow(this.window, record);
    }
    return true;
  }

  /** Forgets what is not stored, as an eviction does. */
  restart(): void {
    this.window = null;
  }

  prune(count: number): void {
    this.records = this.records.slice(count);
    this.window = null;
  }

  #find(seq: number): LedgerEntry | null {
    const first = this.records[0];
    return first === undefined ? null : (this.records[seq - first.seq] ?? null);
  }

  #read(entry: LedgerEntry | null): LedgerEntry | null {
    if (entry !== null) this.reads++;
    return entry;
  }
}
