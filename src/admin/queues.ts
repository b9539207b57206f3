// Queues on the state page and among the metrics: what their outboxes say of themselves at that moment. An
// outbox is one for all regions, so every region shows the same.

import type { OutboxDescription } from "../delivery/core/protocol.ts";
import type { Engine } from "../edge/engine.ts";
import type { PrometheusText } from "../telemetry/prometheus.ts";

export interface QueueState {
  /** Taken in and not ended. */
  readonly depth: number;
  readonly lag: number;
  readonly oldestAgeMs: number;
  readonly drainPerSecond: number;
  readonly rejecting: boolean;
  readonly alert: boolean;
  readonly running: number;
  readonly deferred: number;
  /** Dead requests that are kept, and keys that one of them blocks. */
  readonly dead: number;
  readonly blockedKeys: number;
  readonly counts: OutboxDescription["counts"];
}

/** By name; null: the outbox did not answer. */
export type QueueStates = Readonly<Record<string, QueueState | null>>;

/** Asks every queue's outbox. */
export async function describeQueues({ plan, outboxes }: Engine): Promise<QueueStates> {
  const entries = plan.queues.map(async ({ name }) => {
    const described = (await outboxes?.askQueue(name, (outbox) => outbox.describe())) ?? null;
    return [name, described === null ? null : stateOf(described)] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

export function stateOf({ deadRows, ...described }: OutboxDescription): QueueState {
  const {
    depth,
    lag,
    oldestAgeMs,
    drainPerSecond,
    rejecting,
    alert,
    running,
    deferred,
    blockedKeys,
    counts,
  } = described;
  return {
    depth,
    lag,
    oldestAgeMs,
    drainPerSecond,
    rejecting,
    alert,
    running,
    deferred,
    dead: deadRows,
    blockedKeys,
    counts,
  };
}

const GAUGES: readonly (readonly [name: string, help: string, value: (queue: QueueState) => number])[] = [
  ["depth", "Requests that were taken in and have not ended.", ({ depth }) => depth],
  ["lag", "Requests that were taken in and not delivered.", ({ lag }) => lag],
  ["oldest_age_seconds", "Age of the oldest of them.", ({ oldestAgeMs }) => oldestAgeMs / 1000],
  ["drain_per_second", "Requests that end in a second, a decaying mean.", (queue) => queue.drainPerSecond],
  ["rejecting", "1 while less important requests are refused.", ({ rejecting }) => Number(rejecting)],
  ["alert", "1 while the alert on lag is raised.", ({ alert }) => Number(alert)],
  ["running", "Requests that a consumer is delivering.", ({ running }) => running],
  ["deferred", "Requests that wait for their next try.", ({ deferred }) => deferred],
  ["dead_requests", "Dead requests that are kept.", ({ dead }) => dead],
  [
    "blocked_keys",
    "Keys whose first request is dead and blocks the others.",
    ({ blockedKeys }) => blockedKeys,
  ],
];

/** Of queues whose outbox answered; `of`: what they are called in the names of metrics and labels. */
export function renderQueues(
  text: PrometheusText,
  queues: QueueStates,
  of: "queue" | "subscription" | "reaction",
): void {
  const known = Object.entries(queues).flatMap(([name, queue]) =>
    queue === null ? [] : [{ labels: { [`tidegate_${of}`]: name }, queue }],
  );
  if (known.length === 0) return;
  for (const [name, help, valueOf] of GAUGES) {
    const metric = `tidegate_${of}_${name}`;
    text.metric(metric, "gauge", help);
    for (const { labels, queue } of known) text.sample(metric, labels, valueOf(queue));
  }
  const total = `tidegate_${of}_events_total`;
  text.metric(total, "counter", `What a ${of}'s outbox has done since it began.`);
  for (const { labels, queue } of known) {
    for (const [event, count] of Object.entries(queue.counts)) {
      text.sample(total, { ...labels, event }, count);
    }
  }
}
