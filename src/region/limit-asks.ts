// What an isolate asks its hub about a limit, and what it does with the answer. Asks go by themselves, when a
// request waits or soon will, and along with a sync, whose answer takes longer: so answers cross.
//
//   used + held + what was taken without a lease since the ask + answer <= what the hub had room for
//
// The hub counts what it leased last as held until an ask says that it has come, and forgets what it leased
// before that: an answer that a newer one has overtaken is therefore dropped here as well.

import { spanAt } from "../crdt/timed-cells.ts";
import { demandPerSecond } from "../hub/demand.ts";
import type { LeaseAnswer, LeaseAsk } from "../hub/protocol.ts";
import type { LimitView } from "./limit-view.ts";
import { DENY_MS, isHeldBack, leaseLeft, remainingUnits } from "./limit-view.ts";

/** With fewer units left than this many requests need, nothing is leased along with a sync. */
const RENEWED_REQUESTS = 3;

/**
 * What to ask the hub for. `seq`: the newest report, which may arrive before the ask or after it; without one
 * the ask goes along with the report, so what is in flight is reported first. `waiting`: units that requests
 * wait for.
 */
export function askFor(view: LimitView, need: number, now: number, seq?: number, waiting = 0): LeaseAsk {
  const held = leaseLeft(view, now);
  // What has left the window since it was used takes no room any more.
  const { windowMs } = view.terms;
  const pending = view.pending.reduce((sum, { at, units }) => sum + (now - at < windowMs ? units : 0), 0);
  const want = demandPerSecond(view.demand, now);
  const ask = { terms: view.terms, need, want, waiting, held, seen: view.seen };
  if (seq === undefined) return { ...ask, unreported: pending };
  return { ...ask, unreported: pending + view.inFlight, seq, inFlight: view.inFlight };
}

/** An ask as its answer has to know it: its number, and what was taken without a lease until then. */
export interface AskMark {
  readonly number: number;
  readonly unleased: number;
}

/** Numbers an ask that is sent now. */
export function markAsk(view: LimitView): AskMark {
  return { number: ++view.asks, unleased: view.unleased };
}

/** Whether a newer ask was answered already. Rights of a capped limit stay valid all the same. */
export function isOvertaken(view: LimitView, mark: AskMark): boolean {
  return mark.number < view.answered && view.terms.consistency !== "capped";
}

/**
 * Takes the hub's answer in. `askedAt`: when the ask was sent, so that a lease never outlives the hub's. What
 * was taken without a lease since then is paid from it. An answer that a newer one has overtaken is dropped:
 * the hub forgot it with the next ask.
 */
export function acceptAnswer(
  view: LimitView,
  answer: LeaseAnswer,
  askedAt: number,
  now: number,
  mark: AskMark = markAsk(view),
): void {
  if (isOvertaken(view, mark)) return;
  if (view.terms.consistency === "capped") {
    // Clocks differ: rights may be for a period that has not begun here. Those of an older one are of no use.
    if (answer.period < Math.max(view.leasePeriod, spanAt(now, view.terms.windowMs))) return;
    if (view.leasePeriod !== answer.period && answer.units > 0) {
      view.lease = 0;
      view.leasePeriod = answer.period;
    }
  } else if (now >= view.leaseUntil) view.lease = 0;
  view.lease += Math.max(0, answer.units - (view.unleased - mark.unleased));
  view.answered = mark.number;
  view.seen = answer.answer ?? 0;
  if (answer.units > 0) {
    view.lastLease = view.lease;
    view.leaseUntil = askedAt + answer.forMs;
    view.denyUntil = Number.NEGATIVE_INFINITY;
  } else if (leaseLeft(view, now) === 0 && answer.retryMs > 0) {
    view.denyUntil = now + Math.min(answer.retryMs, DENY_MS);
    view.retryAt = now + answer.retryMs;
  }
  view.base = answer.used;
  view.baseAt = now;
  view.resetAt = now + answer.resetMs;
}

/**
 * Whether a lease is worth renewing along with a sync. Not close to the limit: while that answer is on its
 * way, the hub would have to refuse what a request asks for at the same time.
 */
export function isRenewable(view: LimitView, now: number): boolean {
  if (view.asking || view.terms.consistency === "capped" || isHeldBack(view, now)) return false;
  if (demandPerSecond(view.demand, now) === 0) return false;
  return remainingUnits(view, now) >= RENEWED_REQUESTS * view.need;
}
