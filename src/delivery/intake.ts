// What is said to whoever sent something to be stored, where it was not: one verdict for each way in which a
// body or a store says no. Requests for a queue, requests that become events and those that start sagas share
// it.

import { className } from "../edge/checks.ts";
import type { Exchange } from "../edge/exchange.ts";
import { Verdict } from "../edge/verdict.ts";
import type { Submitted } from "./accept-batches.ts";
import type { ReadBody } from "./accept-body.ts";

type NotStored = Exclude<Submitted, { kind: "accepted" | "replayed" }>;
type Unread = Exclude<ReadBody, { kind: "read" }>;
type TooLarge = Extract<Unread, { kind: "too-large" }>;

/** What a store did not take. `tooLarge`: the verdict on an item that does not fit there. */
export function refuseSubmitted(x: Exchange, submitted: NotStored, tooLarge: Verdict): Verdict {
  switch (submitted.kind) {
    case "conflict":
      return Verdict.idempotencyConflict;
    case "in-flight":
      return Verdict.idempotencyInFlight;
    case "backlog-full":
      return refuseFull(x, submitted.retryAfterMs);
    case "unanswered":
      return Verdict.notAccepted;
    case "too-large":
      return tooLarge;
    case "malformed":
      throw new Error(`an outbox did not understand ${submitted.field}`);
  }
}

/** A body that was not read. `detail`: what to say of one that is too large; null: its bound says it. */
export function refuseBody(x: Exchange, body: Unread, detail: (body: TooLarge) => string | null): Verdict {
  switch (body.kind) {
    case "broken":
      return noteIntake(x, Verdict.badRequest, body.kind);
    case "too-slow":
      return noteIntake(x, Verdict.deadlineExceeded, body.kind);
    case "busy":
      return noteIntake(x, Verdict.notAccepted, body.kind);
    case "too-large": {
      const said = detail(body);
      x.problem = { limitBytes: body.limitBytes, ...(said === null ? {} : { detail: said }) };
      return noteIntake(x, Verdict.bodyTooLarge, body.kind);
    }
  }
}

export function refuseFull(x: Exchange, retryAfterMs: number): Verdict {
  x.retryAfterMs = retryAfterMs;
  return noteIntake(x, Verdict.backlogFull, "backlog-full");
}

export function refuse(x: Exchange, verdict: Verdict, detail: string): Verdict {
  x.problem = { detail };
  return noteIntake(x, verdict, "refused");
}

/** Notes the verdict for whoever asked for an explanation, and gives it back. */
export function noteIntake(x: Exchange, verdict: Verdict, said: string): Verdict {
  const stage = x.queue !== null ? "queue" : x.saga !== null ? "saga" : "event";
  const name = x.queue?.name ?? x.saga?.name ?? x.event ?? "";
  x.explanation?.note(stage, said, { [stage]: name, class: className(x.trafficClass) });
  return verdict;
}
