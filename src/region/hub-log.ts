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

/** What the cursor of an upstream begins or ceases to cut, and where its limit has gone. */
export function logLoadChanges(hub: Hub): void {
  for (const change of hub.loadChanges.splice(0)) {
    const time = new Date().toISOString();
    const level = change.cut > 0 ? "warn" : "info";
    console.log(JSON.stringify({ time, level, event: "region_load", region: hub.region, ...change }));
  }
}

/** Something that should not happen, with its stack. */
export function report(hub: Hub, event: string, error: unknown): void {
  const time = new Date().toISOString();
  const stack = error instanceof Error ? error.stack : String(error);
  console.error(JSON.stringify({ time, level: "error", event, region: hub.region, stack }));
}
