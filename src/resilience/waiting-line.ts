// A bounded line of requests that wait for a permit, more important classes first.
//
// Within a class the oldest goes first. Only when a single class has crowded the line for CROWDED_MS does
// the newest go first, whose client is most likely still there (adaptive LIFO, ACM Queue 2015, "Fail at
// Scale"): a class that merely passes through a line of less important ones keeps its order, because
// newest first makes the longest waits longer. A line is crowded from when it was full until it is half
// empty. A full line makes room for a more important request by evicting the newest of its least
// important class, so none is refused room while a less important one waits. Whoever waits owns its
// promise and its timer; the line only orders.

import { CLASS_COUNT } from "./level.ts";
import { NO_PERMIT } from "./permits.ts";

export const CROWDED_MS = 100;

export interface Waiter {
  readonly trafficClass: number;
  readonly deadline: number;
  /** Called once, with the permit's token, or with NO_PERMIT on eviction and when its time is over. */
  readonly settle: (permit: number) => void;
  waiting: boolean;
  previous: Waiter | null;
  next: Waiter | null;
}

export interface WaitingLine {
  readonly capacity: number;
  readonly oldest: (Waiter | null)[];
  readonly newest: (Waiter | null)[];
  length: number;
  /** Since when it is crowded, or infinity. */
  crowdedSince: number;
  /** Since when it has not been empty. */
  busySince: number;
  /** Busy time in ms not yet taken by `takeBusyMs`; what stands now is counted from `busyCountedTo`. */
  busyMs: number;
  busyCountedTo: number;
}

export function createWaitingLine(capacity: number): WaitingLine {
  return {
    capacity,
    oldest: Array.from({ length: CLASS_COUNT }, () => null),
    newest: Array.from({ length: CLASS_COUNT }, () => null),
    length: 0,
    crowdedSince: Number.POSITIVE_INFINITY,
    busySince: 0,
    busyMs: 0,
    busyCountedTo: Number.NEGATIVE_INFINITY,
  };
}

/** Whether a request of this class would find room, by eviction if need be. */
export function hasRoomFor(line: WaitingLine, trafficClass: number): boolean {
  return line.length < line.capacity || (line.capacity > 0 && leastImportant(line) > trafficClass);
}

/** Puts a request in line; null when there is no room. May evict somebody else. */
export function joinLine(
  line: WaitingLine,
  trafficClass: number,
  deadline: number,
  now: number,
  settle: (permit: number) => void,
): Waiter | null {
  if (!hasRoomFor(line, trafficClass)) return null;
  if (line.length >= line.capacity) evictNewest(line, leastImportant(line), now);
  if (line.length === 0) line.busySince = now;
  const previous = line.newest[trafficClass];
  const waiter: Waiter = { trafficClass, deadline, settle, waiting: true, previous, next: null };
  if (previous === null) line.oldest[trafficClass] = waiter;
  else previous.next = waiter;
  line.newest[trafficClass] = waiter;
  line.length++;
  if (line.length === line.capacity && line.crowdedSince > now) line.crowdedSince = now;
  return waiter;
}

/** Takes a waiter out: it gave up. False when it was out already. */
export function leaveLine(line: WaitingLine, waiter: Waiter, now: number): boolean {
  if (!waiter.waiting) return false;
  waiter.waiting = false;
  const { previous, next, trafficClass } = waiter;
  if (previous === null) line.oldest[trafficClass] = next;
  else previous.next = next;
  if (next === null) line.newest[trafficClass] = previous;
  else next.previous = previous;
  line.length--;
  if (line.length <= line.capacity / 2) line.crowdedSince = Number.POSITIVE_INFINITY;
  if (line.length === 0) line.busyMs += now - Math.max(line.busySince, line.busyCountedTo);
  return true;
}

/** The one whose turn it is, still in line, or null. Those before it who are too late are dropped. */
export function nextInLine(line: WaitingLine, now: number): Waiter | null {
  for (let waiter = firstInLine(line, now); waiter !== null; waiter = firstInLine(line, now)) {
    if (waiter.deadline > now) return waiter;
    leaveLine(line, waiter, now);
    waiter.settle(NO_PERMIT);
  }
  return null;
}

function firstInLine(line: WaitingLine, now: number): Waiter | null {
  for (let trafficClass = 0; trafficClass < CLASS_COUNT; trafficClass++) {
    if (line.oldest[trafficClass] === null) continue;
    const newestFirst = now - line.crowdedSince > CROWDED_MS && trafficClass === leastImportant(line);
    return newestFirst ? line.newest[trafficClass] : line.oldest[trafficClass];
  }
  return null;
}

/** The time in ms that somebody stood in line since the last call. */
export function takeBusyMs(line: WaitingLine, now: number): number {
  const standingMs = line.length > 0 ? now - Math.max(line.busySince, line.busyCountedTo) : 0;
  const busyMs = line.busyMs + standingMs;
  line.busyMs = 0;
  line.busyCountedTo = now;
  return busyMs;
}

function evictNewest(line: WaitingLine, trafficClass: number, now: number): void {
  const waiter = line.newest[trafficClass];
  if (waiter === null) return;
  leaveLine(line, waiter, now);
  waiter.settle(NO_PERMIT);
}

function leastImportant(line: WaitingLine): number {
  for (let trafficClass = CLASS_COUNT - 1; trafficClass > 0; trafficClass--) {
    if (line.newest[trafficClass] !== null) return trafficClass;
  }
  return 0;
}
