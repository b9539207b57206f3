// One alert when lag stays high: raised once it was over the threshold for 60 s without a break, cleared
// below 0.7 of it. In between nothing is said twice.

/** For how long lag must be over the threshold. */
export const ALERT_AFTER_MS = 60_000;
/** Part of the threshold below which the alert ends. */
export const ALERT_CLEARED_AT = 0.7;

export interface LagAlert {
  /** Since when lag has been over the threshold; null: it is not. */
  readonly overSince: number | null;
  readonly raised: boolean;
}

export const NO_ALERT: LagAlert = { overSince: null, raised: false };

/** The alert after lag was seen at `now`; `threshold` in jobs. */
export function observeLag(alert: LagAlert, lag: number, threshold: number, now: number): LagAlert {
  if (alert.raised) return lag < ALERT_CLEARED_AT * threshold ? NO_ALERT : alert;
  if (lag <= threshold) return alert.overSince === null ? alert : NO_ALERT;
  const overSince = alert.overSince ?? now;
  const raised = now - overSince >= ALERT_AFTER_MS;
  return raised === alert.raised && overSince === alert.overSince ? alert : { overSince, raised };
}

/** When to look again even if nothing happens; null: no need. */
export function alertDueAt(alert: LagAlert): number | null {
  return alert.raised || alert.overSince === null ? null : alert.overSince + ALERT_AFTER_MS;
}
