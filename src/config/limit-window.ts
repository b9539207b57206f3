// What a limit's consistency means in numbers: the window in which it counts and what that admits.
//
//   local              windowMs = per                  windowLimit = burst (a drip, see rate-limit.ts)
//   regional, global   windowMs = per * burst / rate   windowLimit = burst (hubs count in whole ms)
//   capped, exact      windowMs = per                  windowLimit = rate  (burst says nothing)

import type { Consistency, LimitPlan } from "./plan.ts";

export const DEFAULT_CONSISTENCY: Consistency = "global";
/** From the cheapest to the strictest. */
export const CONSISTENCIES = [
  "local",
  "regional",
  "global",
  "capped",
  "exact",
] as const satisfies readonly Consistency[];

/** Units of a window, and of one request: a second's worth of either must fit into one report to a hub. */
export const MAX_LIMIT_UNITS = 1_000_000_000;
export const MAX_LIMIT_COST = 100_000;
/** A window of hubs is a whole number of ms. */
const SHORTEST_WINDOW_MS = 1;

/** Whether the limit admits its rate in each `per`, so that `burst` has no effect. */
export function ignoresBurst(consistency: Consistency): boolean {
  return consistency === "capped" || consistency === "exact";
}

/** The numbers of a limit that make its window. */
type LimitNumbers = Pick<LimitPlan, "consistency" | "rate" | "perMs" | "burst">;

/** Length of the window and the units that it admits. */
export function limitWindow(limit: LimitNumbers): Pick<LimitPlan, "windowMs" | "windowLimit"> {
  const { consistency, rate, perMs, burst } = limit;
  if (ignoresBurst(consistency)) return { windowMs: perMs, windowLimit: rate };
  if (consistency === "local") return { windowMs: perMs, windowLimit: burst };
  const windowMs = Math.max(SHORTEST_WINDOW_MS, Math.round((perMs * burst) / rate));
  return { windowMs, windowLimit: burst };
}

/** What happens while the count cannot be had: a limit that promises never to be passed refuses. */
export function defaultOnUnavailable(consistency: Consistency): LimitPlan["onUnavailable"] {
  return consistency === "capped" || consistency === "exact" ? "deny" : "allow";
}
