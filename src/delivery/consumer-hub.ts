// The consumer and the hub of its jobs' region. A consumer may run anywhere and after any pause, so it asks
// for the hub's verdicts before it begins, and waits for a probe where it needs one.

import type { Engine, Upstream } from "../edge/engine.ts";
import type { Shell } from "../edge/shell.ts";
import { wantsLease } from "../resilience/regional-breaker.ts";
import { expectArrivals } from "../resilience/upstream-control.ts";

/** A batch begins without the hub's verdicts after this. */
export const VERDICT_WAIT_MS = 500;
/** Longest wait for a probe: a sync comes once a second, and takes a moment. */
export const PROBE_WAIT_MS = 1_500;
const POLL_MS = 25;

type Keeper = Pick<Shell, "waitUntil">;

/** Asks for verdicts on an upstream that there is work for. */
export async function askVerdicts(engine: Engine, upstream: Upstream, shell: Keeper): Promise<void> {
  const { hub } = engine;
  if (hub === null) return;
  expectArrivals(upstream.control, Date.now());
  hub.link.afterResponse();
  hub.keepBegun(shell);
  await hub.settled(VERDICT_WAIT_MS);
}

/** One waits for a probe, the others need not: there are few, and they come one after the other. */
export class ProbeQueue {
  readonly #waiting = new Set<Upstream>();

  /** Whether this isolate got a probe. */
  async wait(engine: Engine, upstream: Upstream, shell: Keeper): Promise<boolean> {
    const { hub } = engine;
    const { breaker } = upstream.control;
    if (hub === null || breaker === null || this.#waiting.has(upstream)) return false;
    this.#waiting.add(upstream);
    try {
      for (let waitedMs = 0; waitedMs < PROBE_WAIT_MS; waitedMs += POLL_MS) {
        const now = Date.now();
        const { regional, state } = breaker;
        // Nobody leases probes here; or the region has closed the circuit, or opened it again.
        if (regional === null || now >= regional.until) return false;
        if (state.phase === "open" && state.openUntil > now) return false;
        if (state.phase === "closed" || state.phase === "ramp" || !wantsLease(regional, now)) return true;
        expectArrivals(upstream.control, now);
        hub.link.afterResponse();
        hub.keepBegun(shell);
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
      return false;
    } finally {
      this.#waiting.delete(upstream);
    }
  }
}

/** Has the hub hear how deliveries went: the next batch, or the next request here, may be long in coming. */
export async function tellNews(engine: Engine, shell: Keeper): Promise<void> {
  const { hub } = engine;
  if (hub === null) return;
  for (let waitedMs = 0; waitedMs < VERDICT_WAIT_MS && !hub.link.syncEarly(); waitedMs += POLL_MS) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  hub.keepBegun(shell);
}
