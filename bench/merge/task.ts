// The work that every implementation does, and the names that it does it with.
//
//   increment   one remote increment is applied to a counter with so many region slots
//   merge       a whole state of so many slots is merged; one of its slots is news
//   merge-all   the same, every slot is news
//   local       one local increment, then the counter's value is read
//   receive     a message with one increment of each of so many counters is decoded and merged
//   send        such a message is encoded
//
// What a task prepares before it is timed differs from operation to operation, so that none of them is a
// repetition; each returns a number that depends on all of its results.

export const WORKS = ["increment", "merge", "merge-all", "local", "receive", "send"] as const;
export type Work = (typeof WORKS)[number];

export interface Task {
  /** Makes what the next `operations` operations take in; not timed. */
  readonly prepare?: (operations: number) => void;
  readonly run: (operations: number) => number;
}

/** A task, or null where an implementation has no such thing. `size`: slots, or counters in a message. */
export type TaskMaker = (work: Work, size: number) => Task | null;

const REGIONS = [
  "wnam",
  "enam",
  "sam",
  "weur",
  "eeur",
  "apac",
  "apac-ne",
  "apac-se",
  "oc",
  "afr",
  "me",
] as const;

/** A message's counters have so many slots each. */
export const MESSAGE_SLOTS = 11;

/** Slots of the first regions, as two replicas of a hub would name them. */
export function slotNames(count: number): `${string}.${number}.${number}.${number}`[] {
  return REGIONS.slice(0, count).map((region) => `${region}.0.0.3` as const);
}

/** `u:requests:customer-0042`: 24 bytes, as a usage counter per customer is called. */
export function counterName(index: number): string {
  return `u:requests:customer-${String(index).padStart(4, "0")}`;
}

/** The total of slot `slot` after increment `turn`: two bytes or three as a varint, an hour's traffic. */
export function totalOf(slot: number, turn: number): number {
  return 5_000 + 1_000 * slot + turn;
}
