// How traffic comes back, and what becomes of an upstream that comes and goes.
//
//   ramp   share = (ramped time) / rampUpMs, at least 1 %;  ramped time = pace * time
//          pace 5 once ten calls have shown that all goes well, unless it has relapsed lately; else 1
//   held   pace 0: a trickle passes until ten calls have gone well; then it ramps from a quarter on. Whenever
//          it fails it is held again; it opens when nothing has gone well for HOLD_MS
//
// A breaker that failed again within RELAPSE_MS after traffic had begun to come back has relapsed. The third
// time in a row it is held instead of opened: an upstream that works half of the time is of more use to the
// important requests, which a ramp lets pass first, than a breaker that opens and closes with it.

import { closeBreaker, noteTransition, openBreaker } from "./breaker-moves.ts";
import type { Breaker, BreakerState, BreakerTransition } from "./breaker-state.ts";

export const RAMP_FAILURE_RATE = 0.25;
export const RAMP_MINIMUM_CALLS = 10;
const RAMP_FIRST_SHARE = 0.01;
/** Up to so many failures per call all goes well. */
const GOOD_FAILURE_RATE = 0.1;
const USUAL_PACE = 1;
const GOOD_PACE = 5;
const HELD_PACE = 0;
/** What is let pass while a ramp is held, by who knows nothing of the requests' classes. */
export const HELD_SHARE = 0.1;
const RELEASED_SHARE = 0.25;
export const RELAPSE_MS = 30_000;
const HELD_RELAPSES = 3;
/** Without a good call for so long an upstream that came and went is down. */
export const HOLD_MS = 10_000;

type Ramp = Extract<BreakerState, { phase: "ramp" }>;

/** A ramp that has `rampedMs` behind it. */
export function createRamp(generation: number, rampedMs: number, pace: number, now: number): Ramp {
  const counts = { consecutive: 0, calls: 0, failures: 0, slow: 0 };
  return { phase: "ramp", generation, since: now - rampedMs, rampedMs, seenAt: now, pace, ...counts };
}

/** How far a ramp has come, in ms of `rampUpMs`. */
export function rampedMsAt({ rampedMs, seenAt, pace }: Ramp, now: number): number {
  return rampedMs + pace * Math.max(0, now - seenAt);
}

/** Goes on from where it is, at another pace. */
export function moveRamp(ramp: Ramp, rampedMs: number, pace: number, now: number): void {
  ramp.rampedMs = rampedMs;
  ramp.pace = pace;
  ramp.seenAt = now;
}

export function isHeld(ramp: Ramp): boolean {
  return ramp.pace === HELD_PACE;
}

/** Probes were good: traffic comes back step by step. */
export function rampBreaker(breaker: Breaker, now: number): void {
  noteTransition(breaker, "ramp", now, "probes-good", 0);
  breaker.state = createRamp(breaker.state.generation + 1, 0, USUAL_PACE, now);
  breaker.returnedAt = now;
}

/** The share of arrivals that may pass while the breaker ramps up; 1 in every other phase. */
export function rampShare({ state, options }: Breaker, now: number): number {
  if (state.phase !== "ramp") return 1;
  if (isHeld(state)) return HELD_SHARE;
  return Math.min(1, Math.max(RAMP_FIRST_SHARE, rampedMsAt(state, now) / options.rampUpMs));
}

export function isRampOver({ state, options }: Breaker, now: number): boolean {
  return state.phase === "ramp" && !isHeld(state) && rampedMsAt(state, now) >= options.rampUpMs;
}

/** Whether calls of a ramp have gone well: enough of them, few failures. */
export function isRampGood(calls: number, failures: number): boolean {
  return calls >= RAMP_MINIMUM_CALLS && failures <= GOOD_FAILURE_RATE * calls;
}

/** Sets the pace by how it has gone until now. A held ramp is let go when all has gone well. */
export function paceRamp(breaker: Breaker, ramp: Ramp, isGood: boolean, now: number): void {
  if (!isHeld(ramp)) {
    const pace = isGood && breaker.relapses === 0 ? GOOD_PACE : USUAL_PACE;
    moveRamp(ramp, rampedMsAt(ramp, now), pace, now);
  } else if (isGood) {
    moveRamp(ramp, RELEASED_SHARE * breaker.options.rampUpMs, USUAL_PACE, now);
    breaker.returnedAt = now;
  }
}

/**
 * It fails, closed or in its ramp: it opens; or it is held, where the upstream comes and goes. `random` in
 * [0, 1) jitters an opening.
 */
export function openOrHold(
  breaker: Breaker,
  now: number,
  random: number,
  reason: BreakerTransition["reason"],
): void {
  const { state, options } = breaker;
  const wasHeld = state.phase === "ramp" && isHeld(state);
  if (!wasHeld) breaker.relapses = now - breaker.returnedAt < RELAPSE_MS ? breaker.relapses + 1 : 0;
  const comesAndGoes = breaker.relapses >= HELD_RELAPSES && options.rampUpMs > 0;
  if (!comesAndGoes || now - breaker.goodAt >= HOLD_MS) {
    openBreaker(breaker, now, random, reason);
    return;
  }
  if (!wasHeld) noteTransition(breaker, "ramp", now, "flapping", 0);
  breaker.state = createRamp(state.generation + (wasHeld ? 0 : 1), 0, HELD_PACE, now);
}

/** The time of a ramp is over. */
export function endRamp(breaker: Breaker, now: number): void {
  closeBreaker(breaker, now, "ramp-done");
}
