// While an upstream's circuit is open the jobs of its queue stay where they are, at no cost: neither
// published nor given to consumers, so that none of them is put off by itself, again and again. When the
// circuit may close, a few go out, then twice as many each second while things go well (the growth of TCP's
// slow start):
//
//   size = FIRST_JOBS                          a job was put off because the circuit is open
//   size = max(size / 2, FIRST_JOBS)           one was put off in this second, for whatever reason
//   size = 2 * size                            else, if one was delivered
//   no limit any more                          beyond MAX_JOBS
//
// Jobs of a queue that goes well elsewhere (another region) are not held: only silence begins a pause. What
// is known here lives in memory; after a boot the first refusal teaches it again.

import type { Book } from "./book.ts";
import type { DeliveryOutcome } from "./protocol.ts";

/** A pause ends with so many jobs: enough for the probes of a circuit. */
export const FIRST_JOBS = 6;
export const MAX_JOBS = 4_096;
export const STEP_MS = 1_000;
/** A queue of which a job went well within this time does not pause. */
export const WELL_MS = 1_000;
/** What an open circuit asks for is believed up to this. */
export const MAX_PAUSE_MS = 60_000;
/** As outcomes of deliveries call it. */
const CIRCUIT_OPEN = "circuit_open";

export interface Pace {
  /** Jobs of this step; 0: it is a pause. */
  size: number;
  until: number;
  published: number;
  claimed: number;
  wentWell: boolean;
  wasRefused: boolean;
}

/** Takes in how a delivery went. */
export function notePace(book: Book, outcome: DeliveryOutcome, now: number): void {
  const { pace } = book;
  if (outcome.kind === "succeeded" || outcome.kind === "refused") {
    book.wentWellAt = now;
    if (pace !== null) pace.wentWell = true;
  } else if (outcome.kind === "deferred") {
    const mayPause = pace !== null || now - book.wentWellAt >= WELL_MS;
    if (outcome.reason === CIRCUIT_OPEN && mayPause) {
      const until = now + Math.min(outcome.forMs, MAX_PAUSE_MS);
      book.pace = newPace(0, Math.max(until, pace?.size === 0 ? pace.until : 0));
      book.relay.notBefore = Math.max(book.relay.notBefore, book.pace.until);
    } else if (pace !== null) pace.wasRefused = true;
  }
}

/** How many more jobs may be published now. */
export function roomToPublish(book: Book, now: number): number {
  const pace = currentPace(book, now);
  return pace === null ? Number.POSITIVE_INFINITY : Math.max(0, pace.size - pace.published);
}

/** How many more jobs may be given to consumers now. */
export function roomToClaim(book: Book, now: number): number {
  if (book.sequels.areMany) return 0;
  const pace = currentPace(book, now);
  return pace === null ? Number.POSITIVE_INFINITY : Math.max(0, pace.size - pace.claimed);
}

/** Counts what was published; whoever publishes waits when it was all there was room for. */
export function notePublished(book: Book, jobs: number): void {
  const { pace } = book;
  if (pace === null) return;
  pace.published += jobs;
  if (pace.published >= pace.size) book.relay.notBefore = Math.max(book.relay.notBefore, pace.until);
}

export function noteClaimed(book: Book, jobs: number): void {
  if (book.pace !== null) book.pace.claimed += jobs;
}

function currentPace(book: Book, now: number): Pace | null {
  const { pace } = book;
  if (pace === null || now < pace.until) return pace;
  const size = nextSize(pace);
  book.pace = size > MAX_JOBS ? null : newPace(size, now + STEP_MS);
  return book.pace;
}

function nextSize({ size, wentWell, wasRefused }: Pace): number {
  if (size === 0) return FIRST_JOBS;
  if (wasRefused) return Math.max(FIRST_JOBS, Math.floor(size / 2));
  return wentWell ? size * 2 : size;
}

function newPace(size: number, until: number): Pace {
  return { size, until, published: 0, claimed: 0, wentWell: false, wasRefused: false };
}
