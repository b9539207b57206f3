// What is said to whoever sent something to be stored, where it was not: one verdict for each way in which a
// body or a store says no. Requests for a queue, requests that become events and those that start sagas share
// it.

import { className } from "../edge/class-names.ts";
import type { Exchange } from "../edge/exchange.ts";
import { Verdict, problemOf } from "../edge/verdict.ts";
import type { Submitted } from "./accept-batches.ts";
import type { ReadBody } from "./accept-body.ts";

type NotStored = Exclude<Submitted, { kind: "accepted" | "replayed" }>;
type Unread = Exclude<ReadBody, { kind: "read" }>;
type TooLarge = Extract<Unread, { kind: "too-large" }>;

/** What a store did not take. `tooLarge`: the verdict on an item that does not fit there. */
export function refuseSubmitted(x: Exchange, submitted: NotStored, tooLarge: Verdict): Verdict {
  switch (submitted.kind) {
    case "conflict":
      return noteIntake(x, Verdict.idempotencyConflict);
    case "in-flight":
      return noteIntake(x, Verdict.idempotencyInFlight);
    case "backlog-full":
      return refuseFull(x, submitted.retryAfterMs);
    case "unanswered":
      return noteIntake(x, Verdict.notAccepted);
    case "too-large":
      return noteIntake(x, tooLarge);
    case "malformed":
      throw new Error(`an outbox did not understand ${submitted.field}`);
  }
}

/** A body that was not read. `detail`: what to say of one that is too large; null: its bound says it. */
export function refuseBody(x: Exchange, body: Unread, detail: (body: TooLarge) => string | null): Verdict {
  switch (body.kind) {
    case "broken":
      return noteIntake(x, Verdict.badRequest);
    case "too-slow":
      return noteIntake(x, Verdict.deadlineExceeded);
    case "busy":
      return noteIntake(x, Verdict.notAccepted);
    case "too-large": {
      const said = detail(body);
      x.problem = { limitBytes: body.limitBytes, ...(said === null ? {} : { detail: said }) };
      return noteIntake(x, Verdict.bodyTooLarge);
    }
  }
}

export function refuseFull(x: Exchange, retryAfterMs: number): Verdict {
  x.retryAfterMs = retryAfterMs;
  return noteIntake(x, Verdict.backlogFull);
}

export function refuse(x: Exchange, verdict: Verdict, detail: string): Verdict {
  x.problem = { detail };
  return noteIntake(x, verdict);
}

/** Notes the verdict for whoever asked for an explanation, and gives it back. `taken`: how it was taken. */
export function noteIntake(x: Exchange, verdict: Verdict, taken = "accepted"): Verdict {
  const stage = x.queue !== null ? "queue" : x.saga !== null ? "saga" : "event";
  const name = x.queue?.name ?? x.saga?.name ?? x.event ?? "";
  const said = verdict === Verdict.admit ? taken : problemOf(verdict);
  x.explanation?.note(stage, said, { [stage]: name, class: className(x.trafficClass) });
  return verdict;
}
