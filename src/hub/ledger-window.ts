// The exact sliding window of one key, over rows that somebody else stores:
//
//   used(t) = sum of amount over rows taken and not returned with at > t - windowMs   <=   rate
//   t       = max(now, time of every row, every t before)
//
// (a log of requests, not the estimate of two counters). A clock that steps back admits nothing: t stays.
// The sum is kept while time goes on and rows leave at its old end, so a decision reads about one row;
// after a restart it is opened again with a binary search and one sum.
//
// Rows have consecutive seqs and times that never fall. The first row of an empty ledger gets its time in ms
// as seq, so a ledger that was emptied goes on above what an audit has seen.

import { invalid, type ConsumeOutcome, type ConsumeRequest, type Taken } from "./ledger-requests.ts";

/** Rows that leave one by one; after a longer silence a binary search is cheaper. */
export const MAX_ROW_STEPS = 256;
/** Most refusals are answered from the head; each further page is twice as large. */
const FIRST_PAGE_ROWS = 8;
const MAX_PAGE_ROWS = 1024;

export interface LedgerEntry {
  readonly seq: number;
  readonly at: number;
  readonly id: string;
  readonly amount: number;
  readonly state: "taken" | "returned";
}

/** An entry with the answer that was given for it. */
export interface LedgerRecord extends LedgerEntry {
  readonly used: number;
  readonly remaining: number;
  readonly resetMs: number;
}

/** How rows are read; an answer must not depend on anything but rows. */
export interface LedgerRows {
  readonly oldest: () => LedgerEntry | null;
  readonly newest: () => LedgerEntry | null;
  readonly row: (seq: number) => LedgerEntry | null;
  /** At most `count` rows from `seq` on, by seq. */
  readonly page: (seq: number, count: number) => readonly LedgerEntry[];
  /** The amounts taken and not returned, from `seq` on. */
  readonly takenSince: (seq: number) => number;
  /** The newest row of this id. */
  readonly recordOf: (id: string) => LedgerRecord | null;
}

export interface LedgerWindow {
  readonly windowMs: number;
  time: number;
  used: number;
  /** The oldest row that counts. */
  head: LedgerEntry | null;
  /** Null: no row at all. */
  nextSeq: number | null;
}

export interface ConsumeDecision {
  readonly outcome: ConsumeOutcome;
  /** What to store; the window counts it already. */
  readonly record: LedgerRecord | null;
}

/** The window at `now`, from the one of before (null: from the rows), for a length that may have changed. */
export function advanceWindow(
  window: LedgerWindow | null,
  rows: LedgerRows,
  windowMs: number,
  now: number,
): LedgerWindow {
  const time = Math.max(now, window?.time ?? 0);
  if (window === null || window.windowMs !== windowMs) return openWindow(rows, windowMs, time);
  window.time = time;
  for (let steps = 0; window.head !== null; steps++) {
    const { head } = window;
    if (counts(head, time - windowMs)) break;
    if (steps === MAX_ROW_STEPS) return openWindow(rows, windowMs, time);
    if (head.state === "taken") window.used -= head.amount;
    window.head = rows.row(head.seq + 1);
  }
  return window;
}

/** Takes or refuses at the window's time; `now` only says how long to wait. */
export function decideConsume(
  window: LedgerWindow,
  rows: LedgerRows,
  request: ConsumeRequest,
  now: number,
): ConsumeDecision {
  const { id, amount, rate } = request;
  const known = rows.recordOf(id);
  if (known !== null && known.state === "taken") {
    const outcome = known.amount === amount ? answerOf(known, true) : ({ kind: "conflict" } as const);
    return { outcome, record: null };
  }
  if (amount > rate) return { outcome: invalid("amount-over-rate"), record: null };
  const free = rate - window.used;
  if (amount > free) {
    const waitMs = waitFor(window, rows, amount - free, now);
    return { outcome: { kind: "refused", waitMs, remaining: Math.max(0, free) }, record: null };
  }
  const seq = window.nextSeq ?? Math.max(1, Math.floor(window.time));
  const entry: LedgerEntry = { seq, at: window.time, id, amount, state: "taken" };
  window.used += amount;
  window.head ??= entry;
  window.nextSeq = seq + 1;
  const resetMs = window.head.at + window.windowMs - now;
  const record = { ...entry, used: window.used, remaining: rate - window.used, resetMs };
  return { outcome: answerOf(record, false), record };
}

/** Frees what a row took, once it is stored as returned. Only for a row in state `taken`. */
export function returnToWindow(window: LedgerWindow, entry: LedgerEntry): void {
  if (window.head === null || entry.seq < window.head.seq) return;
  window.used -= entry.amount;
  if (window.head.seq === entry.seq) window.head = { ...window.head, state: "returned" };
}

function openWindow(rows: LedgerRows, windowMs: number, now: number): LedgerWindow {
  const [oldest, newest] = [rows.oldest(), rows.newest()];
  if (oldest === null || newest === null) return { windowMs, time: now, used: 0, head: null, nextSeq: null };
  const time = Math.max(now, newest.at);
  let head = firstAfter(rows, oldest.seq, newest.seq, time - windowMs);
  const used = head === null ? 0 : rows.takenSince(head.seq);
  while (head !== null && head.state === "returned") head = rows.row(head.seq + 1);
  return { windowMs, time, used, head, nextSeq: newest.seq + 1 };
}

/** The first row with a time after `horizon`: rows are in the order of time, so half of them go each time. */
function firstAfter(rows: LedgerRows, first: number, last: number, horizon: number): LedgerEntry | null {
  let [low, high] = [first, last + 1];
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    const entry = rows.row(middle);
    if (entry === null || entry.at <= horizon) low = middle + 1;
    else high = middle;
  }
  return rows.row(low);
}

/** Ms until `units` have left the window. */
function waitFor(window: LedgerWindow, rows: LedgerRows, units: number, now: number): number {
  let missing = units;
  let page: readonly LedgerEntry[] = window.head === null ? [] : [window.head];
  for (let size = FIRST_PAGE_ROWS; page.length > 0; size = Math.min(size * 2, MAX_PAGE_ROWS)) {
    for (const entry of page) {
      if (entry.state === "taken") missing -= entry.amount;
      if (missing <= 0) return entry.at + window.windowMs - now;
    }
    page = rows.page(page[page.length - 1].seq + 1, size);
  }
  throw new Error("the window's sum is more than its rows");
}

function counts(entry: LedgerEntry, horizon: number): boolean {
  return entry.state === "taken" && entry.at > horizon;
}

function answerOf({ remaining, resetMs, used }: LedgerRecord, replayed: boolean): Taken {
  return { kind: "taken", remaining, resetMs, used, replayed };
}
