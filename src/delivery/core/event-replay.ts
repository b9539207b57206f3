// Hands events that a subscription has had to it once more: some by id, or all of a time at a rate. They are
// read from the outbox of the events, keep their ids (a receiver can tell), and stand behind what waits.
//
// One replay of a subscription at a time: a later one takes its place. Each hand-over has an idempotency key
// of its event and of the replay, so one that breaks off is made again and changes nothing.

import type { Malformed } from "./job-content.ts";
import type { AcceptItem, AcceptReply } from "./protocol.ts";
import type { SubscriptionRoute } from "./event-protocol.ts";
import { MAX_HANDED_EVENTS, HOLD_MS, MAX_HOLD_MS, subscriptionItem, type PublishedEvent } from "./routes.ts";

/** The earliest next step: an alarm for now may not fire. */
const STEP_MS = 100;

export interface EventReplay {
  /** Unlike any other replay's. */
  readonly id: string;
  /** Numbers of events, ascending; null: all that were taken in between. */
  readonly seqs: readonly number[] | null;
  readonly since: number;
  readonly until: number;
  /** Events per second. */
  readonly rate: number;
  /** The last one that was handed on, and the last one that may be. */
  readonly after: number;
  readonly upTo: number;
  readonly handed: number;
}

export type EventReplayReply =
  /** Ids whose events follow at once; the others are not kept, or were never for this subscription. */
  | { readonly kind: "replayed"; readonly ids: readonly string[]; readonly unknown: readonly string[] }
  /** How many match; they follow at the rate, and not while the subscription is over its watermark. */
  | { readonly kind: "replaying"; readonly matching: number }
  /** It has had no event yet. */
  | { readonly kind: "no-events" }
  | Malformed;

/** What one boot knows of a replay. */
export interface ReplayProgress {
  run: EventReplay;
  /** Since when the next events are due. */
  countedFrom: number;
  heldUntil: number;
  failures: number;
  isBusy: boolean;
}

export function newProgress(run: EventReplay, now: number): ReplayProgress {
  // The first ones go at once.
  return { run, countedFrom: now - 1_000 / run.rate, heldUntil: 0, failures: 0, isBusy: false };
}

/** How many events may go now. */
export function allowedEvents({ run, countedFrom, heldUntil }: ReplayProgress, now: number): number {
  if (now < heldUntil) return 0;
  return Math.min(Math.floor(((now - countedFrom) * run.rate) / 1_000), MAX_HANDED_EVENTS);
}

/** When to go on. */
export function nextReplayAt({ run, countedFrom, heldUntil, isBusy }: ReplayProgress, now: number): number {
  if (isBusy) return now + MAX_HOLD_MS;
  return Math.max(heldUntil, countedFrom + Math.max(STEP_MS, 1_000 / run.rate));
}

/** An event as a job of its own, beside the one that it was before. */
export function replayItem(event: PublishedEvent, route: SubscriptionRoute, run: EventReplay): AcceptItem {
  // A reaction's time begins anew.
  const item = subscriptionItem(event, route, event.job.acceptedAt);
  const key = `${event.id}~${run.id}`;
  return { ...item, idempotency: item.idempotency === null ? null : { ...item.idempotency, key } };
}

/** After a page was offered; null: the replay is over. `asked`: how many the page may have held. */
export function afterReplay(
  progress: ReplayProgress,
  page: readonly PublishedEvent[],
  asked: number,
  reply: AcceptReply | null,
  now: number,
): EventReplay | null {
  const { run } = progress;
  if (page.length === 0) return null;
  if (reply?.kind !== "answered") {
    holdReplay(progress, now);
    return run;
  }
  progress.failures = 0;
  const refusedAt = reply.outcomes.findIndex(({ kind }) => kind === "backlog-full");
  const taken = refusedAt === -1 ? page : page.slice(0, refusedAt);
  const refusal = reply.outcomes[refusedAt];
  if (refusal?.kind === "backlog-full") {
    progress.heldUntil = now + Math.min(refusal.retryAfterMs, MAX_HOLD_MS);
  }
  // What could have gone while nothing could is not made up for at once.
  progress.countedFrom = Math.max(progress.countedFrom + (taken.length * 1_000) / run.rate, now - 1_000);
  const after = taken.at(-1)?.job.seq ?? run.after;
  const isOver = refusedAt === -1 && page.length < asked && run.seqs === null;
  const isListed = run.seqs !== null && after >= (run.seqs.at(-1) ?? 0);
  return isOver || isListed ? null : { ...run, after, handed: run.handed + taken.length };
}

/** It goes on later, and later each time. */
export function holdReplay(progress: ReplayProgress, now: number): void {
  progress.heldUntil = now + Math.min(HOLD_MS * 2 ** progress.failures, MAX_HOLD_MS);
  progress.failures += 1;
}

/** The first event that a replay still needs. */
export function firstNeeded({ seqs, after }: EventReplay): number {
  return seqs === null ? after + 1 : (seqs.find((seq) => seq > after) ?? Number.POSITIVE_INFINITY);
}
