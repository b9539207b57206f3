// While an upstream's circuit is open the jobs of its queue stay where they are, at no cost: neither
// published nor given to consumers, so that none of them is put off by itself, again and again. When the
// circuit may close, a few go out, then twice as many each second while things go well (the growth of TCP's
// slow start):
//
//   size = 0, then FIRST_JOBS                  a job was put off because the circuit is open
//   size = min(2 * size, OFFER * admitted)     some were put off in this second, for whatever reason
//   size = 2 * size                            else, if one was delivered
//   no limit any more                          beyond MAX_JOBS, and none was put off
//
// A circuit that ramps up lets a share of what it is offered through, however little that is: so it is
// offered more than it admits, and what is put off for each job that is tried stays bounded (OFFER - 1).
//
// Jobs of a queue that goes well elsewhere (another region) are not held: only silence begins a pause. What
// is known here lives in memory; after a boot the first refusal teaches it again.

import type { Book } from "./book.ts";
import type { DeliveryOutcome } from "./protocol.ts";

/** A pause ends with so many jobs: enough for the probes of a circuit. */
export const FIRST_JOBS = 6;
export const MAX_JOBS = 4_096;
/** Jobs that go out for each that was admitted while others were put off. */
export const OFFER = 4;
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
  /** Jobs of this step that were tried, and that were put off. */
  admitted: number;
  refused: number;
  wentWell: boolean;
}

/** Takes in how a delivery went. */
export function notePace(book: Book, outcome: DeliveryOutcome, now: number): void {
  const { pace } = book;
  const wasTried = outcome.kind !== "deferred" && outcome.kind !== "poison";
  if (wasTried && pace !== null) pace.admitted += 1;
  if (outcome.kind === "succeeded" || outcome.kind === "refused") {
    book.wentWellAt = now;
    if (pace !== null) pace.wentWell = true;
  } else if (outcome.kind === "deferred") {
    const mayPause = pace !== null || now - book.wentWellAt >= WELL_MS;
    if (outcome.reason === CIRCUIT_OPEN && mayPause) {
      const until = now + Math.min(outcome.forMs, MAX_PAUSE_MS);
      book.pace = newPace(0, Math.max(until, pace?.size === 0 ? pace.until : 0));
      book.relay.notBefore = Math.max(book.relay.notBefore, book.pace.until);
    } else if (pace !== null) pace.refused += 1;
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
  const isOver = size > MAX_JOBS && pace.refused === 0;
  book.pace = isOver ? null : newPace(Math.min(size, MAX_JOBS), now + STEP_MS);
  return book.pace;
}

function nextSize({ size, admitted, refused, wentWell }: Pace): number {
  if (size === 0) return FIRST_JOBS;
  if (refused > 0) return Math.max(FIRST_JOBS, Math.min(2 * size, OFFER * admitted));
  return wentWell ? size * 2 : size;
}

function newPace(size: number, until: number): Pace {
  return { size, until, published: 0, claimed: 0, admitted: 0, refused: 0, wentWell: false };
}
