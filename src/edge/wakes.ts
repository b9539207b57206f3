// Objects that work by alarms of their own are woken, in case an alarm was lost or was never set: all of them
// by the cron of wrangler.toml, relays also behind the first request of an isolate and then once a minute.

import type { Plan } from "../config/plan.ts";
import { outboxesOf } from "../delivery/consumer-outboxes.ts";
import { outboxesOfPlan, wakeOutboxes } from "../delivery/watchdog.ts";
import { WAKE_PAUSE_MS, relaysOf, wakeRelays } from "../delivery/relays/relays.ts";
import type { Bindings } from "./bindings.ts";

/** Never rejects. */
export async function wakeAll(plan: Plan, bindings: Bindings): Promise<void> {
  const outboxes = outboxesOf(bindings);
  await Promise.all([
    wakeRelays(plan, relaysOf(bindings)),
    ...(outboxes === null ? [] : [wakeOutboxes(outboxes, outboxesOfPlan(plan))]),
  ]);
}

/** Of one isolate. */
export class RelayWaker {
  #wokenAt = Number.NEGATIVE_INFINITY;

  wake(plan: Plan, bindings: Bindings, context: { waitUntil(work: Promise<unknown>): void }): void {
    const now = Date.now();
    if (now < this.#wokenAt + WAKE_PAUSE_MS) return;
    this.#wokenAt = now;
    context.waitUntil(wakeRelays(plan, relaysOf(bindings)));
  }

  /** There may be new ones. */
  forget(): void {
    this.#wokenAt = Number.NEGATIVE_INFINITY;
  }
}
