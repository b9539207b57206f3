// What an isolate counts and writes down: metrics, the access log, moves of breakers and targets, bugs. The
// pipeline reports events; nothing here decides. Counting a request allocates nothing once its route
// and status have been seen.

import type { Plan, UpstreamPlan } from "../config/plan.ts";
import { allRoutes } from "../config/plan.ts";
import type { Breaker, BreakerTransition } from "../resilience/breaker.ts";
import type { TargetEjections } from "../resilience/target-ejection.ts";
import { takeMoves } from "../resilience/target-ejection.ts";
import type { AccessRecord } from "./access-log.ts";
import { AccessLog } from "./access-log.ts";
import type { DurationHistogram } from "./histogram.ts";
import { createDurationHistogram, recordDuration } from "./histogram.ts";
import { METHODS, methodIndex } from "./http-method.ts";
import { MetricDeltas } from "./metric-deltas.ts";
import type { PrometheusText } from "./prometheus.ts";
import type { Tracer } from "./tracer.ts";

const OUTCOMES = ["ok", "fail_remote", "fail_local", "ignored"] as const;
const STATUSES = 1000;
const NO_ROUTE = "";

export class Telemetry {
  readonly accessLog: AccessLog;
  /** null: no trace begins here, and none is recorded. */
  readonly tracer: Tracer | null;
  /** What the hub has not heard of the counters. */
  readonly deltas = new MetricDeltas();
  readonly #plan: Plan;
  readonly #write: (line: string) => void;
  readonly #requests = new Map<number, DurationHistogram>();
  readonly #refusals = new Map<string, number>();
  readonly #tries = new Map<number, DurationHistogram>();
  readonly #retries: Float64Array;
  readonly #limitRefusals: Float64Array;
  readonly #transitions = new Map<string, number>();
  readonly #lastTransitions: (BreakerTransition | null)[];
  #bugs = 0;

  constructor(plan: Plan, write: (line: string) => void, tracer: Tracer | null = null) {
    this.tracer = tracer;
    this.#plan = plan;
    this.#write = write;
    this.accessLog = new AccessLog(write);
    this.#retries = new Float64Array(plan.upstreams.length);
    this.#limitRefusals = new Float64Array(plan.limits.length);
    this.#lastTransitions = plan.upstreams.map(() => null);
  }

  /** A request is answered. `route` is -1 where none matched; `code` null where the upstream answered. */
  answered(method: string, route: number, status: number, code: string | null, durationMs: number): void {
    const key = ((route + 1) * STATUSES + status) * METHODS.length + methodIndex(method);
    recordDuration(histogramAt(this.#requests, key), durationMs);
    if (code !== null) this.#refusals.set(code, (this.#refusals.get(code) ?? 0) + 1);
  }

  tried(method: string, upstream: number, outcome: number, durationMs: number): void {
    const key = (upstream * OUTCOMES.length + outcome) * METHODS.length + methodIndex(method);
    recordDuration(histogramAt(this.#tries, key), durationMs);
  }

  retried(upstream: number): void {
    this.#retries[upstream]++;
  }

  limitRefused(limit: number): void {
    this.#limitRefusals[limit]++;
  }

  /** Notices a breaker that has moved since it was last seen, counts it and says why. */
  breakerSeen(upstream: UpstreamPlan, breaker: Breaker | null): void {
    const transition = breaker?.lastTransition ?? null;
    if (transition === null || transition === this.#lastTransitions[upstream.index]) return;
    this.#lastTransitions[upstream.index] = transition;
    const { at, from, to, ...numbers } = transition;
    const key = JSON.stringify({ tidegate_upstream: upstream.name, from, to });
    this.#transitions.set(key, (this.#transitions.get(key) ?? 0) + 1);
    const level = to === "open" ? "warn" : "info";
    this.#writeLine(at, level, "breaker", { upstream: upstream.name, from, to, ...numbers });
  }

  /** Says which targets were ejected or have returned since the last time: by index, never by address. */
  targetsSeen(upstream: UpstreamPlan, ejections: TargetEjections | null): void {
    if (ejections === null || ejections.moves.length === 0) return;
    for (const { at, kind, ...numbers } of takeMoves(ejections)) {
      const level = kind === "ejected" ? "warn" : "info";
      this.#writeLine(at, level, `target_${kind}`, { upstream: upstream.name, ...numbers });
    }
  }

  /** A bug: logged with its stack, answered without it. */
  bug(requestId: string, error: unknown, now: number): void {
    this.#bugs++;
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#writeLine(now, "error", "bug", { requestId, stack });
  }

  logRequest(record: AccessRecord, now: number): void {
    this.accessLog.write(record, now);
  }

  /** Adds what was counted to a scrape. */
  render(text: PrometheusText): void {
    text.metric(
      "http_server_request_duration_seconds",
      "histogram",
      "Time until response headers, by route, status and method.",
    );
    const routes = allRoutes(this.#plan);
    for (const [key, histogram] of this.#requests) {
      const [place, method] = [Math.floor(key / METHODS.length), METHODS[key % METHODS.length]];
      const labels = {
        http_route: routes[Math.floor(place / STATUSES) - 1]?.name ?? NO_ROUTE,
        http_response_status_code: place % STATUSES,
        http_request_method: method,
      };
      text.histogram("http_server_request_duration_seconds", labels, histogram);
    }
    text.metric(
      "http_client_request_duration_seconds",
      "histogram",
      "Time of a try until response headers, by upstream, outcome and method.",
    );
    for (const [key, histogram] of this.#tries) {
      const [place, method] = [Math.floor(key / METHODS.length), METHODS[key % METHODS.length]];
      const labels = {
        tidegate_upstream: this.#plan.upstreams[Math.floor(place / OUTCOMES.length)].name,
        outcome: OUTCOMES[place % OUTCOMES.length],
        http_request_method: method,
      };
      text.histogram("http_client_request_duration_seconds", labels, histogram);
    }
    this.#renderCounters(text);
  }

  #renderCounters(text: PrometheusText): void {
    text.metric(
      "tidegate_refusals_total",
      "counter",
      "Answers that the gateway made itself, by problem code.",
    );
    for (const [code, count] of this.#refusals) text.sample("tidegate_refusals_total", { code }, count);
    text.metric("tidegate_retries_total", "counter", "Tries that were not the first, by upstream.");
    for (const { name, index } of this.#plan.upstreams) {
      text.sample("tidegate_retries_total", { tidegate_upstream: name }, this.#retries[index]);
    }
    text.metric(
      "tidegate_limit_refusals_total",
      "counter",
      "Requests over a limit; with shadow=true they passed.",
    );
    for (const { name, index, shadow } of this.#plan.limits) {
      text.sample(
        "tidegate_limit_refusals_total",
        { limit: name, shadow: String(shadow) },
        this.#limitRefusals[index],
      );
    }
    text.metric("tidegate_breaker_transitions_total", "counter", "Phase changes of breakers.");
    for (const [key, count] of this.#transitions) {
      const labels: Record<string, string> = JSON.parse(key);
      text.sample("tidegate_breaker_transitions_total", labels, count);
    }
    text.metric("tidegate_bugs_total", "counter", "Requests that ended in internal_error.");
    text.sample("tidegate_bugs_total", {}, this.#bugs);
    this.#renderSpans(text);
  }

  #renderSpans(text: PrometheusText): void {
    const exporter = this.tracer?.exporter ?? null;
    if (exporter === null) return;
    text.metric("tidegate_spans_exported_total", "counter", "Spans that the receiver has taken.");
    text.sample("tidegate_spans_exported_total", {}, exporter.exported);
    text.metric("tidegate_spans_dropped_total", "counter", "Spans that were lost, by reason.");
    for (const [reason, count] of Object.entries(exporter.dropped)) {
      text.sample("tidegate_spans_dropped_total", { reason }, count);
    }
  }

  #writeLine(now: number, level: string, event: string, fields: Record<string, unknown>): void {
    this.#write(JSON.stringify({ time: new Date(now).toISOString(), level, event, ...fields }));
  }
}

/** Made with its first duration: what never happens has no series. */
function histogramAt(histograms: Map<number, DurationHistogram>, key: number): DurationHistogram {
  let histogram = histograms.get(key);
  if (histogram === undefined) {
    histogram = createDurationHistogram();
    histograms.set(key, histogram);
  }
  return histogram;
}
