// The watchdog: once a minute it has every outbox of the configuration do what is due. An outbox lives by its
// alarm, and a platform may lose one: it gives it up after some failures in a row. The cron trigger for this
// stands in wrangler.toml; without it such an outbox sleeps until somebody calls it.

import type { Plan } from "../config/plan.ts";
import type { OutboxNamespace } from "./consumer-outboxes.ts";
import { outboxNamed } from "./consumer-outboxes.ts";
import { logFault } from "./consumer-settle.ts";
import { EVENTS_OUTBOX, outboxName } from "./core/job-id.ts";

/** Names of the outboxes that a configuration works with. */
export function outboxesOfPlan(
  plan: Pick<Plan, "queues" | "subscriptions" | "relays" | "routes">,
): readonly string[] {
  const { queues, subscriptions, relays, routes } = plan;
  const publishes =
    subscriptions.length + relays.length > 0 ||
    routes.some(({ destination }) => destination.kind === "event");
  const events = publishes ? [outboxName(EVENTS_OUTBOX)] : [];
  return [
    ...queues.map(({ name }) => outboxName({ kind: "queue", queue: name, shard: 0 })),
    ...events,
    ...subscriptions.map(({ name }) => outboxName({ kind: "subscription", queue: name, shard: 0 })),
  ];
}

/** Wakes each of them; never throws, so that one that fails keeps no other from being woken. */
export async function wakeOutboxes(outboxes: OutboxNamespace, names: readonly string[]): Promise<void> {
  await Promise.all(
    names.map(async (name) => {
      try {
        await outboxNamed(outboxes, name).wake();
      } catch (error) {
        logFault("wake-failed", name, error);
      }
    }),
  );
}
