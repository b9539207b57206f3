// Relays of Postgres outboxes on the state page and among the metrics.

import type { RelayDescription } from "../delivery/core/relay-tally.ts";
import type { RelayStates } from "../delivery/relays/relays.ts";
import type { PrometheusText } from "../telemetry/prometheus.ts";

const GAUGES: readonly (readonly [name: string, help: string, value: (of: RelayDescription) => number])[] = [
  ["lag", "Rows of an outbox table that wait.", ({ lag }) => lag ?? 0],
  ["oldest_age_seconds", "Age of the oldest of them.", ({ oldestAgeMs }) => oldestAgeMs / 1000],
  ["alert", "1 while the alert on lag is raised.", ({ alert }) => Number(alert)],
  ["failing", "1 while its passes fail.", ({ failingSince }) => Number(failingSince !== null)],
];

/** Of relays whose object answered. */
export function renderRelays(text: PrometheusText, relays: RelayStates): void {
  const known = Object.entries(relays).flatMap(([name, relay]) =>
    relay === null ? [] : [{ labels: { tidegate_relay: name }, relay }],
  );
  if (known.length === 0) return;
  for (const [name, help, valueOf] of GAUGES) {
    text.metric(`tidegate_relay_${name}`, "gauge", help);
    for (const { labels, relay } of known) text.sample(`tidegate_relay_${name}`, labels, valueOf(relay));
  }
  text.metric("tidegate_relay_rows_total", "counter", "What a relay has done since it began.");
  for (const { labels, relay } of known) {
    for (const [event, count] of Object.entries(relay.counts)) {
      text.sample("tidegate_relay_rows_total", { ...labels, event }, count);
    }
  }
}
