// How an endpoint fares, and when nothing is sent to it any more.
//
//   disabled   at once by 410; by 5 days of nothing but failure
//   alerts     once each at 50, 70, 90 and 100 failures in a row, until a success
//
// How many failures stand in a row disables nobody: a busy endpoint has a hundred of them in the first minute
// of an outage that is over in the second one.
//
// A success ends a run of failures, and enables again what was disabled (a replay by hand may succeed). Two
// failures with nothing between them for 5 days belong to different runs: what was not tried did not fail.

export const DISABLE_AFTER_MS = 5 * 24 * 3600 * 1000;
/** Failures in a row at which people are told. */
export const ALERTS_AT = [50, 70, 90, 100] as const;

export type AlertStep = (typeof ALERTS_AT)[number];
export type DisableReason = "gone" | "days-of-failure";

export interface EndpointHealth {
  readonly failuresInRow: number;
  /** When the run of failures began; null: the last try was a success, or there was none. */
  readonly failingSince: number | null;
  readonly lastFailureAt: number | null;
  /** The highest alert of this run, 0: none. */
  readonly alerted: AlertStep | 0;
  readonly disabled: { readonly reason: DisableReason; readonly at: number } | null;
}

export const HEALTHY: EndpointHealth = {
  failuresInRow: 0,
  failingSince: null,
  lastFailureAt: null,
  alerted: 0,
  disabled: null,
};

export type HealthNotice =
  | { readonly kind: "alert"; readonly failuresInRow: AlertStep }
  | { readonly kind: "disabled"; readonly reason: DisableReason }
  | { readonly kind: "enabled" };

export interface HealthChange {
  readonly health: EndpointHealth;
  /** What people are told, each once. */
  readonly notices: readonly HealthNotice[];
}

/** What one try that reached the receiver, or could have, says of it. */
export function recordTry(
  health: EndpointHealth,
  outcome: "delivered" | "failed" | "gone",
  now: number,
): HealthChange {
  if (outcome === "delivered") {
    return { health: HEALTHY, notices: health.disabled === null ? [] : [{ kind: "enabled" }] };
  }
  const isNewRun = health.lastFailureAt === null || now - health.lastFailureAt >= DISABLE_AFTER_MS;
  const failingSince = isNewRun ? now : (health.failingSince ?? now);
  const failuresInRow = health.failuresInRow + 1;
  const alerted = alertFor(failuresInRow, health.alerted);
  const notices: HealthNotice[] =
    alerted === health.alerted || alerted === 0 ? [] : [{ kind: "alert", failuresInRow: alerted }];
  const reason = health.disabled === null ? disableReason(outcome, now - failingSince) : null;
  if (reason !== null) notices.push({ kind: "disabled", reason });
  const disabled = reason === null ? health.disabled : { reason, at: now };
  return { health: { failuresInRow, failingSince, lastFailureAt: now, alerted, disabled }, notices };
}

/** An operator has said that it works again. */
export function enableEndpoint(health: EndpointHealth): HealthChange {
  return { health: HEALTHY, notices: health.disabled === null ? [] : [{ kind: "enabled" }] };
}

function alertFor(failuresInRow: number, alerted: AlertStep | 0): AlertStep | 0 {
  const reached = ALERTS_AT.findLast((step) => failuresInRow >= step) ?? 0;
  return reached > alerted ? reached : alerted;
}

function disableReason(outcome: "failed" | "gone", failingForMs: number): DisableReason | null {
  if (outcome === "gone") return "gone";
  return failingForMs >= DISABLE_AFTER_MS ? "days-of-failure" : null;
}
