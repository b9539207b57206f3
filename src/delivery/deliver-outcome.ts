// What a delivery amounts to, from the pipeline's verdict and the upstream's status.
//
//   2xx                                       succeeded
//   408, 425, 429, 5xx                        failed: again later, not before `Retry-After`
//   every other answer                        refused: no try would change it
//   no answer, or one that is none            failed, if anything may have reached the upstream
//   circuit open, shed, no permit, no target  deferred: nothing was tried
//
// A deferred job comes back when the circuit may close, a second later while that is being found out, else
// after a time that doubles with each deferral.

import { parseRetryAfterMs } from "../http/retry-after.ts";
import { Verdict, problemOf } from "../edge/verdict.ts";
import type { ClaimedJob, DeliveryOutcome, JobResult } from "./core/protocol.ts";

/** Statuses below 500 that ask for another try (RFC 9110, RFC 8470, RFC 6585). */
const AGAIN = new Set([408, 425, 429]);
export const FIRST_DEFERRAL_MS = 500;
export const MAX_DEFERRAL_MS = 10_000;
/** A circuit that is half-open, or lets more through by and by, has changed a second later. */
export const RECOVERING_DEFERRAL_MS = 1_000;
const FIRST_BUG_MS = 5_000;
const MAX_BUG_MS = 300_000;
/** Only an operator or a configuration brings a target back. */
export const NO_TARGET_DEFERRAL_MS = 5_000;

/** Whether the answer is kept whatever happens next. */
export function isFinal(status: number): boolean {
  return status < 500 && !AGAIN.has(status);
}

/** Outcome of a job that the upstream answered; `result` is null where the answer was not read. */
export function outcomeOfAnswer(response: Response, result: JobResult | null, now: number): DeliveryOutcome {
  const { status } = response;
  if (isFinal(status) && result !== null) {
    return { kind: status >= 200 && status < 300 ? "succeeded" : "refused", result };
  }
  const wished = response.headers.get("retry-after");
  const retryAfterMs = wished === null ? null : parseRetryAfterMs(wished, now);
  return { kind: "failed", status, error: null, retryAfterMs, result };
}

/** Outcome of a job without an answer. */
export function outcomeOfRefusal(
  verdict: Exclude<Verdict, 0>,
  tried: { readonly sent: boolean; readonly retryAfterMs: number; readonly isRamping: boolean },
  job: Pick<ClaimedJob, "deferrals">,
): DeliveryOutcome {
  const code = problemOf(verdict);
  if (tried.sent) return { kind: "failed", status: null, error: code, retryAfterMs: null, result: null };
  return { kind: "deferred", forMs: deferralOf(verdict, tried, job.deferrals ?? 0), reason: code };
}

/** Outcome of a job that met a bug on this side: it waits for a better version, longer each time. */
export function outcomeOfBug(job: Pick<ClaimedJob, "deferrals">): DeliveryOutcome {
  const forMs = Math.min(FIRST_BUG_MS * 2 ** Math.min(job.deferrals ?? 0, 10), MAX_BUG_MS);
  return { kind: "deferred", forMs, reason: "internal_error" };
}

function deferralOf(
  verdict: Verdict,
  { retryAfterMs, isRamping }: { readonly retryAfterMs: number; readonly isRamping: boolean },
  deferrals: number,
): number {
  if (verdict === Verdict.circuitOpen && retryAfterMs > 0) return Math.ceil(retryAfterMs);
  if (verdict === Verdict.circuitOpen || isRamping) return RECOVERING_DEFERRAL_MS;
  if (verdict === Verdict.noTarget) return NO_TARGET_DEFERRAL_MS;
  return Math.min(FIRST_DEFERRAL_MS * 2 ** Math.min(deferrals, 10), MAX_DEFERRAL_MS);
}
