// What a hub writes to the log: one JSON line each.

import type { Hub } from "../hub/hub.ts";

/** Why a breaker of this region moved: one line for each move, with the numbers that decided. */
export function logTransitions(hub: Hub): void {
  for (const { at, ...transition } of hub.transitions.splice(0)) {
    const time = new Date(at ?? Date.now()).toISOString();
    const level = transition.to === "open" ? "warn" : "info";
    console.log(JSON.stringify({ time, level, event: "region_breaker", region: hub.region, ...transition }));
  }
}

/** Something that should not happen, with its stack. */
export function report(hub: Hub, event: string, error: unknown): void {
  const time = new Date().toISOString();
  const stack = error instanceof Error ? error.stack : String(error);
  console.error(JSON.stringify({ time, level: "error", event, region: hub.region, stack }));
}
