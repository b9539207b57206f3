// Advice on limits: consistencies that a limit is too small or too quick for, and fields without effect.

import { formatPath } from "./error-lines.ts";
import { ignoresBurst } from "./limit-window.ts";
import type { LimitPlan } from "./plan.ts";

/** Below this, sharing units out among isolates and regions ahead of need refuses or passes too many. */
export const MIN_SHARED_UNITS = 10;
/** Below this, a window is over before what other regions counted in it has arrived. */
export const MIN_GLOBAL_WINDOW_MS = 5000;

/** One line for each thing that is odd about a limit. */
export function limitAdvice(limit: LimitPlan): string[] {
  const path = formatPath(["limits", limit.name]);
  const size = [...sizeAdvice(limit), ...windowAdvice(limit)];
  return [
    ...size.map((line) => `${path}.consistency: ${line}`),
    ...burstAdvice(limit).map((line) => `${path}.burst: ${line}`),
    ...unavailableAdvice(limit).map((line) => `${path}.onUnavailable: ${line}`),
  ];
}

function sizeAdvice({ consistency, windowLimit }: LimitPlan): string[] {
  if (windowLimit >= MIN_SHARED_UNITS) return [];
  switch (consistency) {
    case "regional":
      return [`${windowLimit} per window are too few to share among isolates; use "exact"`];
    case "global":
      return [`${windowLimit} per window are too few to share among regions; use "exact" or "regional"`];
    case "capped":
      return [`${windowLimit} per period are too few to share out ahead of need; use "exact"`];
    case "local":
    case "exact":
      return [];
  }
}

function windowAdvice({ consistency, windowMs }: LimitPlan): string[] {
  if (consistency !== "global" || windowMs >= MIN_GLOBAL_WINDOW_MS) return [];
  return [
    `counts of other regions arrive too late for a window of ${windowMs} ms, so it is effectively "regional"`,
  ];
}

function burstAdvice({ consistency, rate, burst }: LimitPlan): string[] {
  if (!ignoresBurst(consistency) || burst === rate) return [];
  return [`has no effect, ${article(consistency)} limit admits its rate in each per`];
}

/** These two deny by default, so an "allow" was written. */
function unavailableAdvice({ consistency, onUnavailable }: LimitPlan): string[] {
  if (onUnavailable !== "allow") return [];
  if (consistency === "capped") {
    return ['"allow" has no effect, a "capped" limit never passes a request without rights'];
  }
  if (consistency === "exact") {
    return ['"allow" lets the cap be passed while the ledger cannot be reached; leave it out to deny'];
  }
  return [];
}

function article(consistency: LimitPlan["consistency"]): string {
  return consistency === "exact" ? `an "${consistency}"` : `a "${consistency}"`;
}
