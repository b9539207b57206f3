// `GET /_gateway/metrics`: Prometheus text. Counters come from telemetry, gauges from the upstreams'
// state at the moment of the scrape; a closed breaker is reported too, or dashboards would read "no data".

import type { Engine } from "../edge/engine.ts";
import { PrometheusText } from "../telemetry/prometheus.ts";
import { describeUpstream } from "./state.ts";

const PHASES = ["closed", "open", "half-open", "ramp"] as const;

const GAUGES = [
  ["tidegate_shed_cursor", "Levels below the cursor pass; 512 passes all.", "cursor"],
  ["tidegate_concurrency_limit", "Permits of an upstream.", "limit"],
  ["tidegate_concurrency_inflight", "Permits in use.", "inflight"],
  ["tidegate_concurrency_waiting", "Requests in line for a permit.", "waiting"],
] as const;

export function renderMetrics(engine: Engine, now: number): string {
  const text = new PrometheusText();
  engine.telemetry.render(text);
  const states = engine.upstreams.map((upstream) => ({
    name: upstream.plan.name,
    state: describeUpstream(upstream, now),
  }));
  for (const [metric, help, field] of GAUGES) {
    text.metric(metric, "gauge", help);
    for (const { name, state } of states) text.sample(metric, { tidegate_upstream: name }, state[field]);
  }
  text.metric("tidegate_breaker_phase", "gauge", "1 for the phase that the breaker is in, 0 for the others.");
  for (const { name, state } of states) {
    for (const phase of PHASES) {
      text.sample(
        "tidegate_breaker_phase",
        { tidegate_upstream: name, phase },
        state.breaker.phase === phase ? 1 : 0,
      );
    }
  }
  return text.toString();
}
