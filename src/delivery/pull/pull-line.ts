// The events that a subscription waits to have pulled. Whoever pulls gets each event with a lease; what is
// acknowledged in time is done, what is not is delivered again, with the same event and one attempt more.
//
//   waiting --pull--> leased --acknowledge--> gone          lag        = events that are not gone
//      ^                 |                                   oldest age = since the oldest of them came in
//      +---- lease over -+
//
//   1. An event that was added is given until it is acknowledged; nothing else makes it go.
//   2. At any time at most one lease of an event is valid: a lease that is over acknowledges nothing.
//   3. In an ordered line, of the events of one key only the first that is not gone is given.
//
// Mutable, because a line may hold 20,000 events; what is in it is rebuilt from rows (`restoreLine`).

export const DEFAULT_PULL_EVENTS = 10;
export const MAX_PULL_EVENTS = 100;
export const DEFAULT_LEASE_MS = 30_000;
export const MIN_LEASE_MS = 1_000;
export const MAX_LEASE_MS = 15 * 60_000;
export const MAX_ACKNOWLEDGED = 1_000;

/** An event in line. */
export interface LineEntry {
  /** Its place in the order. */
  readonly seq: number;
  /** When it came in, ms since the epoch. */
  readonly at: number;
  /** Whose order it keeps; null: nobody's. */
  readonly key: string | null;
  /** How often it was given. */
  attempts: number;
  /** Of its newest lease; 0: it was never given. */
  fence: number;
  /** Until when it is leased; 0: it is not. */
  until: number;
}

export interface PullLine {
  readonly isOrdered: boolean;
  /** By seq, ascending. */
  readonly entries: Map<number, LineEntry>;
  /** Of what was leased last; a later lease has a greater one. */
  lastFence: number;
  /** When the first lease may be over; infinite: nothing is leased. */
  nextExpiryAt: number;
  /** Seqs of what is leased. */
  readonly leased: Set<number>;
}

export interface Lease {
  readonly leaseId: string;
  readonly seq: number;
  /** 1 for the first. */
  readonly attempt: number;
}

export interface PullRequest {
  readonly max: number;
  readonly leaseMs: number;
}

export interface Acknowledged {
  readonly acked: readonly string[];
  /** Leases that are over, were never given, or were acknowledged before. */
  readonly expired: readonly string[];
  /** The events that are gone now. */
  readonly seqs: readonly number[];
}

export interface LineState {
  readonly lag: number;
  /** 0 when nothing waits. */
  readonly oldestAgeMs: number;
  readonly leased: number;
}

export type PullRequestCheck =
  | { readonly kind: "pull"; readonly request: PullRequest }
  | { readonly kind: "invalid"; readonly at: string; readonly rule: string };

export function createLine(isOrdered: boolean): PullLine {
  return {
    isOrdered,
    entries: new Map(),
    lastFence: 0,
    nextExpiryAt: Number.POSITIVE_INFINITY,
    leased: new Set(),
  };
}

/** A line from its rows, which come by seq, ascending. */
export function restoreLine(isOrdered: boolean, rows: Iterable<Readonly<LineEntry>>): PullLine {
  const line = createLine(isOrdered);
  for (const row of rows) {
    line.entries.set(row.seq, { ...row });
    line.lastFence = Math.max(line.lastFence, row.fence);
    if (row.until === 0) continue;
    line.leased.add(row.seq);
    line.nextExpiryAt = Math.min(line.nextExpiryAt, row.until);
  }
  return line;
}

/** Puts an event at the end; `seq` is greater than every one before. */
export function addToLine(line: PullLine, seq: number, key: string | null, now: number): void {
  line.entries.set(seq, { seq, at: now, key, attempts: 0, fence: 0, until: 0 });
}

/** What a pull's body asks for, with the defaults for what it leaves out. */
export function checkPullRequest(body: unknown): PullRequestCheck {
  const given: object = typeof body === "object" && body !== null ? body : {};
  const max: unknown = Reflect.get(given, "max") ?? DEFAULT_PULL_EVENTS;
  const leaseMs: unknown = Reflect.get(given, "leaseMs") ?? DEFAULT_LEASE_MS;
  if (!isWhole(max, 1, MAX_PULL_EVENTS)) {
    return { kind: "invalid", at: "max", rule: `must be a whole number from 1 to ${MAX_PULL_EVENTS}` };
  }
  if (!isWhole(leaseMs, MIN_LEASE_MS, MAX_LEASE_MS)) {
    const rule = `must be a whole number of ms from ${MIN_LEASE_MS} to ${MAX_LEASE_MS}`;
    return { kind: "invalid", at: "leaseMs", rule };
  }
  return { kind: "pull", request: { max, leaseMs } };
}

function isWhole(value: unknown, min: number, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
}

/** Leases the oldest events that may be given, at most `max`. */
export function pull(line: PullLine, request: PullRequest, now: number): Lease[] {
  endLeases(line, now);
  const leases: Lease[] = [];
  const heldKeys = new Set<string>();
  const until = now + request.leaseMs;
  for (const entry of line.entries.values()) {
    if (leases.length >= request.max) break;
    const isHeld = line.isOrdered && entry.key !== null && heldKeys.has(entry.key);
    if (entry.key !== null) heldKeys.add(entry.key);
    if (isHeld || entry.until !== 0) continue;
    line.lastFence += 1;
    entry.attempts += 1;
    entry.fence = line.lastFence;
    entry.until = until;
    line.leased.add(entry.seq);
    leases.push({ leaseId: leaseId(entry), seq: entry.seq, attempt: entry.attempts });
  }
  if (leases.length > 0) line.nextExpiryAt = Math.min(line.nextExpiryAt, until);
  return leases;
}

/** Takes events out whose leases are valid. Repeating it is harmless. */
export function acknowledge(line: PullLine, leaseIds: readonly string[], now: number): Acknowledged {
  endLeases(line, now);
  const acked: string[] = [];
  const expired: string[] = [];
  const seqs: number[] = [];
  for (const id of leaseIds) {
    const entry = leasedEntry(line, id);
    if (entry === null) {
      expired.push(id);
      continue;
    }
    line.entries.delete(entry.seq);
    line.leased.delete(entry.seq);
    acked.push(id);
    seqs.push(entry.seq);
  }
  return { acked, expired, seqs };
}

/** How much waits and for how long. */
export function describeLine(line: PullLine, now: number): LineState {
  endLeases(line, now);
  const [oldest] = line.entries.values();
  return {
    lag: line.entries.size,
    oldestAgeMs: oldest === undefined ? 0 : Math.max(0, now - oldest.at),
    leased: line.leased.size,
  };
}

/** Leases end at their moment, not after it: at `until` the event may be given again. */
function endLeases(line: PullLine, now: number): void {
  if (now < line.nextExpiryAt) return;
  line.nextExpiryAt = Number.POSITIVE_INFINITY;
  for (const seq of line.leased) {
    const entry = line.entries.get(seq);
    if (entry === undefined || entry.until <= now) {
      line.leased.delete(seq);
      if (entry !== undefined) entry.until = 0;
    } else {
      line.nextExpiryAt = Math.min(line.nextExpiryAt, entry.until);
    }
  }
}

const LEASE_ID = /^([0-9a-z]{1,11})\.([0-9a-z]{1,11})$/;

function leaseId({ seq, fence }: LineEntry): string {
  return `${seq.toString(36)}.${fence.toString(36)}`;
}

function leasedEntry(line: PullLine, id: string): LineEntry | null {
  const parts = LEASE_ID.exec(id);
  if (parts === null) return null;
  const entry = line.entries.get(Number.parseInt(parts[1], 36));
  const isValid = entry !== undefined && entry.until !== 0 && leaseId(entry) === id;
  return isValid ? entry : null;
}
