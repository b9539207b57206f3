// `GET /_gateway/metrics`: Prometheus text. Counters are the hub's sums alone: with what one isolate has not
// told it yet, the next scrape by another isolate would show less. Gauges come from the upstreams' state at
// the moment of the scrape; a closed breaker is reported too, or dashboards would read "no data".

import type { Engine } from "../edge/engine.ts";
import type { HubDescription } from "../hub/description.ts";
import type { WorkerHub } from "../region/worker-hub.ts";
import { PrometheusText } from "../telemetry/prometheus.ts";
import type { CountsBySaga } from "./saga-counts.ts";
import { renderSagas } from "./saga-counts.ts";
import type { RelayStates } from "../delivery/relays/relays.ts";
import { renderRelays } from "./relays.ts";
import { renderEvents, type EventStates } from "./subscriptions.ts";
import type { QueueStates } from "./queues.ts";
import { renderQueues } from "./queues.ts";
import { describeUpstreams } from "./state.ts";

const PHASES = ["closed", "open", "half-open", "ramp"] as const;

const GAUGES = [
  ["tidegate_shed_cursor", "Levels below the cursor pass; 512 passes all.", "cursor"],
  ["tidegate_concurrency_limit", "Permits of an upstream.", "limit"],
  ["tidegate_concurrency_inflight", "Permits in use.", "inflight"],
  ["tidegate_concurrency_waiting", "Requests in line for a permit.", "waiting"],
] as const;

/** What the hub knows of its region. */
export interface HubView {
  readonly description: HubDescription;
  /** null: its isolate tells it nothing, being alone in its process. */
  readonly metrics: readonly (readonly [series: string, value: number])[] | null;
}

/** What waits in objects of its own. */
export interface StoredWork {
  readonly queues: QueueStates;
  readonly sagas: CountsBySaga;
  readonly events: EventStates;
  readonly relays: RelayStates;
}

/** `hub` null: there is none, and this isolate is all that there is. */
export function renderMetrics(
  engine: Engine,
  hub: HubView | null,
  { queues, sagas, events, relays }: StoredWork,
  now: number,
): string {
  const text = renderCounters(engine);
  if (hub !== null && hub.metrics !== null) {
    text.clear();
    text.add(hub.metrics);
  }
  const states = Object.entries(describeUpstreams(engine, hub?.description ?? null, now));
  for (const [metric, help, field] of GAUGES) {
    text.metric(metric, "gauge", help);
    for (const [name, state] of states) text.sample(metric, { tidegate_upstream: name }, state[field]);
  }
  text.metric("tidegate_breaker_phase", "gauge", "1 for the phase that the breaker is in, 0 for the others.");
  for (const [name, state] of states) {
    for (const phase of PHASES) {
      text.sample(
        "tidegate_breaker_phase",
        { tidegate_upstream: name, phase },
        state.breaker.phase === phase ? 1 : 0,
      );
    }
  }
  renderSteering(text, engine, hub?.description ?? null);
  if (hub !== null) renderHub(text, hub.description);
  renderQueues(text, queues, "queue");
  renderEvents(text, events);
  renderRelays(text, relays);
  renderSagas(text, sagas);
  return text.toString();
}

/** Everything that an isolate counts, as series that can be added up over isolates. */
export function renderCounters(engine: Engine): PrometheusText {
  const text = new PrometheusText();
  engine.telemetry.render(text);
  renderEjections(text, engine);
  if (engine.hub !== null) renderLink(text, engine.hub);
  return text;
}

/**
 * What the region cuts, and what of its permits the isolate that answers holds: the one gauge of an
 * isolate.
 */
function renderSteering(text: PrometheusText, engine: Engine, hub: HubDescription | null): void {
  const loads = engine.upstreams.flatMap(({ plan: { name } }) => {
    const load = hub?.upstreams[name]?.[engine.region]?.load;
    return load === undefined ? [] : [{ labels: { tidegate_upstream: name }, load }];
  });
  text.metric("tidegate_shed_cut_ratio", "gauge", "The part of arrivals that the region's cursor refuses.");
  for (const { labels, load } of loads) text.sample("tidegate_shed_cut_ratio", labels, load.cut);
  const share = "tidegate_concurrency_isolate_share";
  text.metric(share, "gauge", "Permits of an upstream that the isolate which answers this scrape holds.");
  for (const { plan, control } of engine.upstreams) {
    text.sample(share, { tidegate_upstream: plan.name }, control.bulkhead.permits.limit);
  }
}

/** By the target's index: its address is nobody's business. Upstreams with one target eject none. */
function renderEjections(text: PrometheusText, { upstreams }: Engine): void {
  const samples = upstreams.flatMap(({ plan, control }) =>
    (control.ejections?.health ?? []).map(({ tally }, target) => {
      return { labels: { tidegate_upstream: plan.name, target }, ...tally };
    }),
  );
  const done = "tidegate_target_ejections_total";
  text.metric(done, "counter", "Targets that were taken out because they failed.");
  for (const { labels, ejections } of samples) text.sample(done, labels, ejections);
  const withheld = "tidegate_target_ejections_withheld_total";
  text.metric(
    withheld,
    "counter",
    "Targets that failed and stayed, because half of the weight always stays.",
  );
  for (const { labels, withheld: count } of samples) text.sample(withheld, labels, count);
}

/** What an isolate has asked of its hub: the calls to objects that requests cost. */
function renderLink(text: PrometheusText, { link }: WorkerHub): void {
  text.metric("tidegate_hub_calls_total", "counter", "Calls of isolates to their region's hub, by reason.");
  text.sample("tidegate_hub_calls_total", { reason: "sync" }, link.tally.syncs);
  text.sample("tidegate_hub_calls_total", { reason: "lease" }, link.tally.asks);
  text.metric("tidegate_hub_calls_failed_total", "counter", "Calls to the hub without an answer.");
  text.sample("tidegate_hub_calls_failed_total", {}, link.tally.failed);
  text.metric("tidegate_lease_waits_unanswered_total", "counter", "Waits that ended without the hub's word.");
  text.sample("tidegate_lease_waits_unanswered_total", {}, link.tally.unanswered);
  text.metric("tidegate_ambiguous_units_total", "counter", "Units that may or may not be counted.");
  text.sample("tidegate_ambiguous_units_total", {}, link.replica.ambiguous);
}

/** The hub's own sums since it started. */
function renderHub(text: PrometheusText, { tally, peers, counters, states, isolates }: HubDescription): void {
  text.metric("tidegate_hub_events_total", "counter", "What the region's hub has done since it started.");
  for (const [event, count] of Object.entries(tally)) {
    text.sample("tidegate_hub_events_total", { event }, count);
  }
  text.metric("tidegate_hub_states", "gauge", "States that the hub keeps.");
  text.sample("tidegate_hub_states", {}, states);
  text.metric("tidegate_hub_isolates", "gauge", "Isolates that the hub has heard lately.");
  text.sample("tidegate_hub_isolates", {}, isolates);
  text.metric("tidegate_peer_age_seconds", "gauge", "Time since another region was heard.");
  for (const [region, { ageMs }] of Object.entries(peers)) {
    if (ageMs !== null) text.sample("tidegate_peer_age_seconds", { region }, ageMs / 1000);
  }
  text.metric("tidegate_usage_total", "counter", "Usage counters, summed over their keys and all regions.");
  for (const [counter, value] of Object.entries(counters)) {
    text.sample("tidegate_usage_total", { counter }, value);
  }
}
