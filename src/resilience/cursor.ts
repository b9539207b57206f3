// Load shedding by one cursor over 512 levels: a request passes when its level is below the cursor; at
// the cursor's own level a fraction passes, chosen by the request's id.
//
// The loop is feed-forward, after the SRE book's client-side throttling ("Handling Overload"):
//
//   cut = clamp(1 - K * borne / settled, 0, 0.95)
//   with evidence of overload in the tick    K = 1.2, up to 1.32 for a limit that is divided, borne = ok;
//                                            K = 1 + min(0.2, 2.5 / sqrt(ok)) where all are of one class
//   without                                  K = 2, borne = ok, or what was borne before, halved every 10 s:
//                                            less is served because less is let in
//   cursor = the largest c with share(level >= c) >= cut, by the histogram of all arrivals
//
// Sums and histogram are halved every second. K leaves a fifth more than was served, because the arrivals
// of a small upstream scatter that much: with 1.1 and single ticks a tenth of its capacity stays idle. What
// is too much the line in front of the upstream sorts out. It knows classes and no users: where nearly all
// are of one class it would break off tasks of several calls that the cursor has let begin, so there K
// leaves only what arrivals scatter, a sixteenth at a thousand a second. `settled` counts requests whose
// fate is known in the tick, refused ones included; requests in flight are neutral, so a slow upstream is
// not mistaken for one that refuses. Whoever is in charge of the upstream runs the loop: it needs sums, a
// clock, and nothing else.
//
// Guarantees: for one cursor, a level that passes implies that every more important one does; no class
// has a reserved minimum; the most important class is cut only after three ticks in a row that ask for it.

import { COHORTS_PER_CLASS, LEVEL_COUNT } from "./level.ts";

export const TICK_MS = 500;
export const MINIMUM_SETTLED = 50;
export const MAXIMUM_CUT = 0.95;
export const TICKS_BEFORE_CRITICAL_CUT = 3;
/** With few requests a tick may take this long to collect enough of them. */
export const LONGEST_TICK_MS = 2000;

/** What passes above what was served, with evidence of overload. */
const MOST_EXTRA = 0.2;
const SCATTER = 2.5;
/** Where so much of what arrives is of one class, the line cannot choose by class. */
const ONE_CLASS = 0.9;
const FACTOR_WITHOUT_EVIDENCE = 2;
/** What passes above what went well, at most: beyond, it costs the most important class too much. */
const MOST_WITH_EVIDENCE = 0.32;
const BUSY_LINE_SHARE = 0.1;
const HALF_LIFE_MS = 1000;
const BORNE_HALF_LIFE_MS = 10_000;
const SMALLEST_CUT = 0.001;

/** What a tick has seen: sums that several isolates can add up. */
export interface ShedTally {
  /** Arrivals by level, refused ones included. */
  readonly arrivals: Uint32Array;
  settled: number;
  ok: number;
  /** Signals of overload: a full bulkhead, 429, 503, a timeout, a slow call. */
  signals: number;
  /** How long requests stood in line, in ms. */
  lineBusyMs: number;
}

export interface ShedLoop {
  /** Recent arrivals by level, halved every second. */
  readonly histogram: Float64Array;
  /** Levels below pass. LEVEL_COUNT: all do. */
  cursor: number;
  /** The share of the cursor's own level that passes. */
  fraction: number;
  /** The share of arrivals to refuse. */
  cut: number;
  /** Recent requests whose fate is known, and those of them that went well, halved every second too. */
  settled: number;
  ok: number;
  /** What has gone well when there was more than that, in the units of `ok`. */
  borne: number;
  criticalTicks: number;
  tickStartedAt: number;
}

export function createShedTally(): ShedTally {
  return { arrivals: new Uint32Array(LEVEL_COUNT), settled: 0, ok: 0, signals: 0, lineBusyMs: 0 };
}

export function createShedLoop(): ShedLoop {
  return {
    histogram: new Float64Array(LEVEL_COUNT),
    cursor: LEVEL_COUNT,
    fraction: 0,
    cut: 0,
    settled: 0,
    ok: 0,
    borne: 0,
    criticalTicks: 0,
    tickStartedAt: Number.NEGATIVE_INFINITY,
  };
}

/** Whether a request passes. `position` is its place within the level, in [0, 1). */
export function passesCursor(loop: ShedLoop, level: number, position: number): boolean {
  return level < loop.cursor || (level === loop.cursor && position < loop.fraction);
}

/** Whether enough has been seen, or enough time has passed, for the next tick. */
export function isTickDue(loop: ShedLoop, tally: ShedTally, now: number): boolean {
  const elapsedMs = now - loop.tickStartedAt;
  if (elapsedMs < TICK_MS) return false;
  return tally.settled >= MINIMUM_SETTLED || elapsedMs >= LONGEST_TICK_MS;
}

/**
 * One turn of the loop. Takes the tally in and empties it. `holding` says that the upstream's breaker
 * is not closed: refusals are then no sign of overload. `ramp` is the share of arrivals that a healing
 * upstream may get, 1 for all. `divided`: what a limit needs besides that is divided among isolates, as a
 * part of what is served.
 */
export function tickCursor(
  loop: ShedLoop,
  tally: ShedTally,
  now: number,
  holding: boolean,
  ramp: number,
  divided = 0,
): void {
  const elapsedMs = Math.min(Math.max(now - loop.tickStartedAt, 0), 60_000);
  collectTally(loop, tally, 0.5 ** (elapsedMs / HALF_LIFE_MS));
  if (holding || tally.settled < MINIMUM_SETTLED) loop.cut *= 0.5 ** (elapsedMs / TICK_MS);
  else loop.cut = cutFor(loop, tally, elapsedMs, divided);
  if (loop.cut < SMALLEST_CUT) loop.cut = 0;
  emptyTally(tally);
  loop.tickStartedAt = now;
  placeCursor(loop, Math.max(loop.cut, 1 - ramp), ramp < 1);
}

/** Arrivals per ms since the last turn; 0 before the first one. */
export function arrivalsPerMs({ tickStartedAt }: ShedLoop, { arrivals }: ShedTally, now: number): number {
  let total = 0;
  for (const count of arrivals) total += count;
  return total / Math.max(1, now - tickStartedAt);
}

/** Recent arrivals per second: what halves every second adds up to one and a half seconds' worth. */
export function arrivalsPerSecond(loop: ShedLoop, tally: ShedTally): number {
  let total = 0;
  for (let level = 0; level < LEVEL_COUNT; level++) total += loop.histogram[level] + tally.arrivals[level];
  return total / 1.5;
}

/**
 * Puts the cursor where it refuses the share `cut` of recent arrivals; also between two ticks. `ramping`: it
 * may cut the most important class at once.
 */
export function placeCursor(loop: ShedLoop, cut: number, ramping: boolean): void {
  let total = 0;
  for (let level = 0; level < LEVEL_COUNT; level++) total += loop.histogram[level];
  if (total === 0) spreadEvenly(loop, cut);
  else findCursor(loop, cut * total);
  if (loop.cursor >= COHORTS_PER_CLASS || cut <= 0) {
    loop.criticalTicks = 0;
  } else if (!ramping && ++loop.criticalTicks <= TICKS_BEFORE_CRITICAL_CUT) {
    loop.cursor = COHORTS_PER_CLASS;
    loop.fraction = 0;
  }
}

function cutFor(loop: ShedLoop, tally: ShedTally, elapsedMs: number, divided: number): number {
  const overloaded = tally.signals > 0 || tally.lineBusyMs > BUSY_LINE_SHARE * elapsedMs;
  const before = overloaded ? 0 : loop.borne * 0.5 ** (elapsedMs / BORNE_HALF_LIFE_MS);
  loop.borne = Math.max(loop.ok, before);
  const factor = overloaded ? 1 + extraOf(loop, divided) : FACTOR_WITHOUT_EVIDENCE;
  return Math.min(MAXIMUM_CUT, Math.max(0, 1 - (factor * loop.borne) / loop.settled));
}

function extraOf({ histogram, ok }: ShedLoop, divided: number): number {
  let total = 0;
  let most = 0;
  for (let first = 0; first < LEVEL_COUNT; first += COHORTS_PER_CLASS) {
    let ofClass = 0;
    for (let level = first; level < first + COHORTS_PER_CLASS; level++) ofClass += histogram[level];
    total += ofClass;
    most = Math.max(most, ofClass);
  }
  if (most < ONE_CLASS * total) return Math.min(MOST_WITH_EVIDENCE, MOST_EXTRA + divided);
  return Math.min(MOST_EXTRA, SCATTER / Math.sqrt(Math.max(1, ok)));
}

/** Takes arrivals into the recent ones without a turn of the loop: somebody else steers. */
export function followArrivals(loop: ShedLoop, tally: ShedTally, now: number): void {
  const elapsedMs = Math.min(Math.max(now - loop.tickStartedAt, 0), 60_000);
  collectTally(loop, tally, 0.5 ** (elapsedMs / HALF_LIFE_MS));
  loop.tickStartedAt = now;
}

function collectTally(loop: ShedLoop, tally: ShedTally, kept: number): void {
  loop.settled = loop.settled * kept + tally.settled;
  loop.ok = loop.ok * kept + tally.ok;
  for (let level = 0; level < LEVEL_COUNT; level++) {
    loop.histogram[level] = loop.histogram[level] * kept + tally.arrivals[level];
  }
}

/** Forgets what became of requests, and what followed from it; not how many arrived. */
export function forgetFates(loop: ShedLoop): void {
  loop.settled = 0;
  loop.ok = 0;
  loop.borne = 0;
  loop.cut = 0;
}

/** Forgets what a tally has seen. */
export function emptyTally(tally: ShedTally): void {
  tally.arrivals.fill(0);
  tally.settled = 0;
  tally.ok = 0;
  tally.signals = 0;
  tally.lineBusyMs = 0;
}

function findCursor(loop: ShedLoop, refused: number): void {
  let above = 0;
  for (let level = LEVEL_COUNT - 1; level >= 0; level--) {
    const here = loop.histogram[level];
    if (here > 0 && refused > 0 && above + here >= refused) {
      loop.cursor = level;
      loop.fraction = 1 - (refused - above) / here;
      return;
    }
    above += here;
  }
  loop.cursor = LEVEL_COUNT;
  loop.fraction = 0;
}

function spreadEvenly(loop: ShedLoop, cut: number): void {
  const passing = (1 - cut) * LEVEL_COUNT;
  loop.cursor = Math.floor(passing);
  loop.fraction = passing - loop.cursor;
}
