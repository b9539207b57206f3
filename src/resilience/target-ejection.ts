// One bad target among several equal ones: it gets no traffic for a while and comes back slowly. The rules
// are those of Envoy's outlier detection with failures in a row and a failure rate, decided at each result.
//
//   ejected for min(300 s, 10 s * times ejected) * (1 - 0.1 * random); one time less per healthy period
//   back with 0.1 + 0.9 * t / 10 s of its weight
//
// Guarantees: never more than half of the targets by weight are ejected, whatever is drained; an upstream
// with one target ejects none; calls that began before an ejection ended say nothing. Without timers: time
// is an argument, and looking more often changes nothing. A good result allocates nothing.

import { advanceWindow, callCount, okCount, recordCall, resetWindow } from "./call-window.ts";
import { Outcome } from "./outcome.ts";
import type { RandomSource } from "./random.ts";
import { nextRandom } from "./random.ts";
import type { TargetLoads } from "./target-choice.ts";
import { placeWeights } from "./target-choice.ts";
import type { EjectionReason, TargetHealth, TargetMove } from "./target-health.ts";
import { createTargetHealth } from "./target-health.ts";

export const EJECT_CONSECUTIVE = 5;
/** Enough for a target that has just come back. */
export const EJECT_CONSECUTIVE_BACK = 2;
export const EJECT_MINIMUM_CALLS = 20;
export const EJECT_FAILURE_RATE = 0.5;
/** Where the others fail as much as this, it is the upstream that is bad and not the target. */
export const OTHERS_FAILURE_RATE = 0.25;
export const EJECT_BASE_MS = 10_000;
export const EJECT_LONGEST_MS = 300_000;
export const EJECT_JITTER = 0.1;
export const EJECT_MOST_SHARE = 0.5;
export const HEALTHY_PERIOD_MS = 10_000;
export const RETURN_MS = 10_000;
export const RETURN_FIRST_SHARE = 0.1;
const RETURN_STEP_MS = 100;
/** More times than this lengthen nothing, so they are not counted either. */
const MOST_STRIKES = EJECT_LONGEST_MS / EJECT_BASE_MS;
/** Moves that nobody has asked for are forgotten beyond so many, the oldest first. */
const MOST_MOVES = 64;

export interface TargetEjections {
  readonly loads: TargetLoads;
  readonly health: readonly TargetHealth[];
  /** No share changes by time alone before then. */
  nextChangeAt: number;
  /** What nobody has taken note of yet; see `takeMoves`. */
  readonly moves: TargetMove[];
}

/** null for an upstream with a single target: there is nothing to choose. */
export function createTargetEjections(loads: TargetLoads): TargetEjections | null {
  if (loads.configured.length < 2) return null;
  const health = loads.configured.map(createTargetHealth);
  return { loads, health, nextChangeAt: Number.POSITIVE_INFINITY, moves: [] };
}

/** Brings back what is due. One comparison while nothing is. */
export function followTargets(ejections: TargetEjections, now: number): void {
  if (now >= ejections.nextChangeAt) returnTargets(ejections, now);
}

/** A call to a target, and when it began. */
export interface TargetCall {
  readonly target: number;
  readonly startedAt: number;
}

/**
 * Takes in what a call to a target came to. True: a failure that the target's
 * ejection has answered, so that it need not speak against the whole upstream as well.
 */
export function noteTargetResult(
  ejections: TargetEjections,
  call: TargetCall,
  outcome: Outcome,
  now: number,
  random: RandomSource,
): boolean {
  if (outcome === Outcome.ignored) return false;
  if (outcome !== Outcome.ok) return noteFailure(ejections, call, outcome, now, random);
  const own = ejections.health[call.target];
  if (call.startedAt < own.ejectedUntil) return false;
  recordCall(own.window, outcome, false, now);
  if (own.isWatched) noteGood(ejections, own, now);
  return false;
}

function noteFailure(
  ejections: TargetEjections,
  { target, startedAt }: TargetCall,
  outcome: Outcome,
  now: number,
  random: RandomSource,
): boolean {
  const { loads, health } = ejections;
  const own = health[target];
  const isLate = startedAt < own.ejectedUntil;
  if (!isLate) recordCall(own.window, outcome, false, now);
  followTargets(ejections, now);
  if (isLate) return own.place === "ejected" && loads.weights[target] === 0;
  own.isWatched = true;
  own.consecutive++;
  const reason = loads.drained[target] === 1 ? null : reasonToEject(ejections, target, now);
  if (reason === null) return false;
  if (!isRoomFor(ejections, target)) {
    if (!own.withheld) own.tally.withheld++;
    own.withheld = true;
    return false;
  }
  ejectTarget(ejections, target, reason, now, nextRandom(random));
  return true;
}

/** The moves since the last time, which are forgotten with that. */
export function takeMoves(ejections: TargetEjections): readonly TargetMove[] {
  return ejections.moves.splice(0);
}

function noteGood(ejections: TargetEjections, own: TargetHealth, now: number): void {
  followTargets(ejections, now);
  own.consecutive = 0;
  own.withheld = false;
  if (own.suspect && now >= own.ejectedUntil + RETURN_MS) own.suspect = false;
  const periods = Math.floor((now - own.healthyFrom) / HEALTHY_PERIOD_MS);
  if (own.strikes > 0 && periods > 0) {
    own.strikes = Math.max(0, own.strikes - periods);
    own.healthyFrom += periods * HEALTHY_PERIOD_MS;
  }
  own.isWatched = own.suspect || own.strikes > 0;
}

function reasonToEject({ health }: TargetEjections, target: number, now: number): EjectionReason | null {
  const { window, consecutive, suspect } = health[target];
  if (consecutive >= EJECT_CONSECUTIVE) return "consecutive";
  if (suspect && consecutive >= EJECT_CONSECUTIVE_BACK) return "relapse";
  const calls = callCount(window);
  if (calls < EJECT_MINIMUM_CALLS || calls - okCount(window) < EJECT_FAILURE_RATE * calls) return null;
  let others = 0;
  let failures = 0;
  for (let index = 0; index < health.length; index++) {
    if (index === target) continue;
    const other = health[index].window;
    advanceWindow(other, now);
    others += callCount(other);
    failures += callCount(other) - okCount(other);
  }
  const areWell = others >= EJECT_MINIMUM_CALLS && failures < OTHERS_FAILURE_RATE * others;
  return areWell ? "failure-rate" : null;
}

/** Whether half of the weight stays: of all targets, and of those that an operator has left. */
function isRoomFor({ loads, health }: TargetEjections, target: number): boolean {
  let all = 0;
  let ejected = loads.configured[target];
  let usable = 0;
  let usableEjected = loads.configured[target];
  for (let index = 0; index < health.length; index++) {
    const weight = loads.configured[index];
    const isEjected = health[index].place === "ejected";
    all += weight;
    if (isEjected) ejected += weight;
    if (loads.drained[index] === 1) continue;
    usable += weight;
    if (isEjected) usableEjected += weight;
  }
  return ejected <= EJECT_MOST_SHARE * all && usableEjected <= EJECT_MOST_SHARE * usable;
}

function ejectTarget(
  ejections: TargetEjections,
  target: number,
  reason: EjectionReason,
  now: number,
  random: number,
): void {
  const own = ejections.health[target];
  own.strikes = Math.min(MOST_STRIKES, own.strikes + 1);
  const ejectedForMs = EJECT_BASE_MS * own.strikes * (1 - EJECT_JITTER * random);
  const { consecutive, strikes } = own;
  const calls = callCount(own.window);
  const failures = calls - okCount(own.window);
  own.place = "ejected";
  own.ejectedAt = now;
  own.ejectedUntil = now + ejectedForMs;
  own.consecutive = 0;
  own.withheld = false;
  own.tally.ejections++;
  resetWindow(own.window);
  const numbers = { consecutive, calls, failures, strikes, ejectedForMs: Math.ceil(ejectedForMs) };
  noteMove(ejections, { kind: "ejected", target, at: now, reason, ...numbers });
  returnTargets(ejections, now);
}

/** Moves every target to where `now` has it, and places the weights. */
function returnTargets(ejections: TargetEjections, now: number): void {
  const { loads, health } = ejections;
  ejections.nextChangeAt = Number.POSITIVE_INFINITY;
  for (let target = 0; target < health.length; target++) {
    const own = health[target];
    if (own.place === "ejected" && now >= own.ejectedUntil) {
      own.place = "returning";
      own.suspect = true;
      own.healthyFrom = own.ejectedUntil;
      const ejectedForMs = Math.ceil(own.ejectedUntil - own.ejectedAt);
      noteMove(ejections, { kind: "returned", target, at: now, strikes: own.strikes, ejectedForMs });
    }
    const backForMs = Math.max(0, now - own.ejectedUntil);
    if (own.place === "returning" && backForMs >= RETURN_MS) own.place = "in";
    if (own.place === "in") loads.shares[target] = 1;
    else {
      const isBack = own.place === "returning";
      loads.shares[target] = isBack ? shareAfter(backForMs) : 0;
      const changesAt = isBack ? now + RETURN_STEP_MS : own.ejectedUntil;
      ejections.nextChangeAt = Math.min(ejections.nextChangeAt, changesAt);
    }
  }
  placeWeights(loads);
}

function shareAfter(backForMs: number): number {
  return RETURN_FIRST_SHARE + (1 - RETURN_FIRST_SHARE) * (backForMs / RETURN_MS);
}

function noteMove(ejections: TargetEjections, move: TargetMove): void {
  if (ejections.moves.length >= MOST_MOVES) ejections.moves.shift();
  ejections.moves.push(move);
}
