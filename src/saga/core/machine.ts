// The saga's state machine: (definition, state, event, now, chance) -> (state, instruction). Everything that
// happens to an instance goes through here, in whatever order executors that died, came back or were replaced
// may ask.
//
//   begin   an executor wants to do a step: call, come back later, or it is settled already
//   settle  it tells what became of the call
//
// A call is written down before it is made. One whose executor died is in doubt when its lease is over: the
// upstream is asked for the outcome where it can be, else the same request goes out under the same key.

import { DEFER_TERMS, retryDelayMs } from "./backoff.ts";
import type { CallResult } from "./call-result.ts";
import { isGone, meaningOf } from "./call-result.ts";
import type { RetryTerms, SagaDefinition } from "./definition.ts";
import { readsOutput } from "./definition.ts";
import type { Decision, Draft, Instruction } from "./draft.ts";
import { LEASE_SLACK_MS, MAX_ASKS, decide, openDraft, retryOf, settled, timeoutOf } from "./draft.ts";
import { advance, concludeFailure, keepOutput, pendingWork, stopForward } from "./progress.ts";
import type { Attempts, SagaState, StepState, Work } from "./state.ts";

/** An executor wants to do this piece of work. */
export function begin(
  definition: SagaDefinition,
  before: SagaState,
  work: Work,
  now: number,
  chance: number,
): Decision {
  const draft = openDraft(definition, before, work, now, chance);
  const { state, step, tries } = draft;
  const isWanted = pendingWork(definition, state).some(
    ({ step: id, direction }) => id === work.step && direction === work.direction,
  );
  if (!isWanted) return decide(draft, settled(draft));
  if (tries.leaseUntil !== null && tries.leaseUntil > now) {
    return decide(draft, { kind: "later", waitMs: tries.leaseUntil - now });
  }
  if (tries.leaseUntil !== null) return decide(draft, afterLoss(draft, "the executor did not come back"));
  if (tries.nextAt !== null && tries.nextAt > now) {
    return decide(draft, { kind: "later", waitMs: tries.nextAt - now });
  }
  if (work.direction === "forward" && state.stop !== null) {
    if (step.forward !== "pending") concludeFailure(step, now);
    advance(definition, state, now);
    return decide(draft, settled(draft));
  }
  return decide(draft, asksFirst(draft) ? ask(draft) : call(draft));
}

/** An executor tells what became of its call; what an older or unknown call brings is dropped. */
export function settle(
  definition: SagaDefinition,
  before: SagaState,
  work: Work,
  told: { readonly attempt: number; readonly purpose: Attempts["purpose"]; readonly result: CallResult },
  now: number,
  chance: number,
): Decision {
  const draft = openDraft(definition, before, work, now, chance);
  const { tries } = draft;
  const isCurrent =
    tries.leaseUntil !== null && tries.attempts === told.attempt && tries.purpose === told.purpose;
  if (!isCurrent) return begin(definition, before, work, now, chance);
  const { result } = told;
  if (result.kind === "answered") tries.status = result.status;
  if (told.purpose === "outcome") return decide(draft, afterOutcome(draft, result));
  return decide(draft, afterCall(draft, result));
}

// --- calls

function asksFirst(draft: Draft): boolean {
  const { step, terms, direction, tries } = draft;
  if (terms.outcome === null || tries.asks >= MAX_ASKS) return false;
  if (direction === "forward") {
    // Asked once after each call; again only when there is no other way to find out.
    const isOnlyWay = tries.refused || tries.attempts >= retryOf(draft).attempts;
    return step.inDoubt && tries.attempts > 0 && (tries.askedAfter < tries.attempts || isOnlyWay);
  }
  // Before undoing what nobody knows of: an answer gives the output that undoing may need.
  return step.forward === "unknown" && !step.hasOutput && tries.attempts === 0 && tries.asks === 0;
}

function call(draft: Draft): Instruction {
  const { tries } = draft;
  tries.attempts++;
  return start(draft, "call");
}

function ask(draft: Draft): Instruction {
  draft.tries.askedAfter = draft.tries.attempts;
  return start(draft, "outcome");
}

function start(draft: Draft, purpose: Attempts["purpose"]): Instruction {
  const { state, step, terms, direction, tries, now } = draft;
  tries.purpose = purpose;
  tries.startedAt ??= now;
  tries.nextAt = null;
  tries.leaseUntil = now + timeoutOf(terms, direction, purpose) + LEASE_SLACK_MS;
  if (direction === "forward") {
    if (state.phase === "pending") state.phase = "running";
    step.order ??= state.nextOrder++;
    step.forward = "inflight";
    if (terms.kind === "retriable") state.passedPivot = true;
  } else step.undo = "inflight";
  return { kind: "call", purpose, attempt: tries.attempts };
}

// --- results

function afterCall(draft: Draft, result: CallResult): Instruction {
  const { step, tries, direction } = draft;
  if (result.kind === "unsent") return defer(draft, result);
  if (result.kind === "unrenderable") {
    tries.attempts--;
    return refuse(draft, result.reason);
  }
  if (result.kind === "lost") return afterLoss(draft, result.reason);
  const meaning = meaningOf(result.status);
  if (direction === "undo" && isGone(result.status)) return succeed(draft, null);
  if (meaning === "done") return succeed(draft, result);
  if (meaning === "refused") {
    tries.refused = true;
    return refuse(draft, `answered ${result.status}`);
  }
  if (meaning === "not-now") return retry(draft, `answered ${result.status}`, result.retryAfterMs);
  tries.lost = true;
  if (direction === "forward") doubt(step);
  return retryOrAsk(draft, `answered ${result.status}`, result.retryAfterMs);
}

/** The answer of a call never came. */
function afterLoss(draft: Draft, reason: string): Instruction {
  const { step, tries, direction } = draft;
  if (tries.purpose === "outcome") return askAgain(draft, reason);
  tries.lost = true;
  if (direction === "forward") doubt(step);
  return retryOrAsk(draft, reason, null);
}

function doubt(step: StepState): void {
  step.inDoubt = true;
  step.wasInDoubt = true;
}

function retryOrAsk(draft: Draft, reason: string, retryAfterMs: number | null): Instruction {
  draft.tries.error = reason;
  draft.tries.leaseUntil = null;
  return draft.direction === "forward" && asksFirst(draft) ? ask(draft) : retry(draft, reason, retryAfterMs);
}

function afterOutcome(draft: Draft, result: CallResult): Instruction {
  const { step, terms, direction, tries } = draft;
  if (result.kind !== "answered" || (meaningOf(result.status) !== "done" && !isGone(result.status))) {
    return askAgain(draft, result.kind === "answered" ? `answered ${result.status}` : result.reason);
  }
  step.inDoubt = false;
  if (meaningOf(result.status) === "done") {
    keepOutput(draft.state, step, result.body);
    if (direction === "forward") return succeed(draft, null);
    step.forward = "succeeded";
    return call(draft);
  }
  if (direction === "forward") {
    return tries.refused ? refuse(draft, tries.error) : retry(draft, tries.error, null);
  }
  step.forward = "failed";
  const { compensation } = terms;
  return compensation.kind === "call" && !readsOutput(compensation.call) ? call(draft) : succeed(draft, null);
}

/** Nobody can say whether the call was done. While it may be repeated, that tells as well. */
function askAgain(draft: Draft, reason: string): Instruction {
  const { direction, tries } = draft;
  tries.asks++;
  if (direction === "undo") return call(draft);
  if (tries.refused) {
    return tries.asks < MAX_ASKS ? wait(draft, retryOf(draft), tries.asks, null) : refuse(draft, reason);
  }
  const mayRepeat = tries.attempts < retryOf(draft).attempts || tries.asks >= MAX_ASKS;
  return mayRepeat ? retry(draft, reason, null) : wait(draft, retryOf(draft), tries.asks, null);
}

/** Nothing was sent, so it does not count as a try. */
function defer(
  draft: Draft,
  result: { readonly reason: string; readonly retryAfterMs: number | null },
): Instruction {
  const { tries } = draft;
  tries.attempts--;
  tries.deferrals++;
  tries.error = result.reason;
  return wait(draft, DEFER_TERMS, tries.deferrals, result.retryAfterMs);
}

function retry(draft: Draft, reason: string | null, retryAfterMs: number | null): Instruction {
  const { tries } = draft;
  tries.error = reason;
  const terms = retryOf(draft);
  if (tries.attempts >= terms.attempts) return refuse(draft, reason);
  return wait(draft, terms, tries.attempts, retryAfterMs);
}

function wait(draft: Draft, terms: RetryTerms, tries: number, retryAfterMs: number | null): Instruction {
  const { state, step, direction, now, chance } = draft;
  if (direction === "forward" && state.stop !== null) return refuse(draft, draft.tries.error);
  const waitMs = retryDelayMs(terms, tries, retryAfterMs, chance);
  draft.tries.leaseUntil = null;
  draft.tries.nextAt = now + waitMs;
  if (direction === "forward") step.forward = "waiting";
  else step.undo = "waiting";
  return { kind: "later", waitMs };
}

function succeed(draft: Draft, result: (CallResult & { readonly kind: "answered" }) | null): Instruction {
  const { definition, state, step, direction, tries, now } = draft;
  tries.leaseUntil = null;
  tries.nextAt = null;
  tries.endedAt = now;
  tries.error = null;
  if (direction === "undo") step.undo = "done";
  else {
    step.forward = "succeeded";
    step.inDoubt = false;
    if (result !== null) keepOutput(state, step, result.body);
  }
  advance(definition, state, now);
  return settled(draft);
}

/** Not tried again. */
function refuse(draft: Draft, reason: string | null): Instruction {
  const { definition, state, step, terms, direction, tries, now } = draft;
  tries.error = reason;
  tries.leaseUntil = null;
  tries.nextAt = null;
  tries.endedAt = now;
  if (direction === "undo") {
    step.undo = "failed";
  } else if (tries.refused && step.inDoubt && asksFirst(draft)) {
    // A no to the second try says nothing about the first one.
    return ask(draft);
  } else {
    concludeFailure(step, now);
    if (terms.kind !== "retriable") {
      stopForward(state, { reason: "failed", step: step.id, note: reason, at: now });
    }
  }
  advance(definition, state, now);
  return settled(draft);
}
