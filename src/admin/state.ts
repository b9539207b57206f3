// `GET /_gateway/state`: what the gateway knows about its upstreams, for people and dashboards. Today
// this isolate is the whole region.

import type { Engine, Upstream } from "../edge/engine.ts";
import type { BreakerPhase } from "../resilience/breaker.ts";
import { phaseAt } from "../resilience/breaker.ts";
import {
  advanceWindow,
  localFailureCount,
  okCount,
  remoteFailureCount,
  slowCount,
} from "../resilience/call-window.ts";
import { refreshControl } from "../resilience/upstream-control.ts";

export interface UpstreamState {
  readonly breaker: { phase: BreakerPhase; generation: number; openUntil: number | null };
  readonly cursor: number;
  readonly limit: number;
  readonly inflight: number;
  readonly waiting: number;
  readonly window: { ok: number; failRemote: number; failLocal: number; slow: number };
  readonly targets: readonly { url: string; weight: number; inflight: number }[];
}

export interface GatewayState {
  readonly region: string;
  readonly isolate: { session: string; snapshotAgeMs: number | null; mode: "alone" | "synced" };
  readonly upstreams: Record<string, UpstreamState>;
  readonly regions: Record<string, { upstreams: Record<string, UpstreamState> }>;
  readonly queues: Record<string, never>;
  readonly subscriptions: Record<string, never>;
  readonly sagas: Record<string, never>;
  readonly config: string;
}

export function describeState(engine: Engine, now: number): GatewayState {
  const upstreams = Object.fromEntries(
    engine.upstreams.map((upstream) => [upstream.plan.name, describeUpstream(upstream, now)]),
  );
  return {
    region: engine.region,
    isolate: { session: engine.session, snapshotAgeMs: null, mode: "alone" },
    upstreams,
    regions: { [engine.region]: { upstreams } },
    queues: {},
    subscriptions: {},
    sagas: {},
    config: engine.plan.hash,
  };
}

export function describeUpstream({ plan, control }: Upstream, now: number): UpstreamState {
  const { breaker, bulkhead, shed } = control;
  refreshControl(control, now);
  if (breaker !== null) advanceWindow(breaker.window, now);
  return {
    breaker: {
      phase: breaker === null ? "closed" : phaseAt(breaker, now),
      generation: breaker?.state.generation ?? 0,
      openUntil: breaker?.state.phase === "open" ? Math.ceil(breaker.state.openUntil) : null,
    },
    cursor: shed.cursor,
    limit: bulkhead.permits.limit,
    inflight: bulkhead.permits.inUse,
    waiting: bulkhead.line.length,
    window: {
      ok: breaker === null ? 0 : okCount(breaker.window),
      failRemote: breaker === null ? 0 : remoteFailureCount(breaker.window),
      failLocal: breaker === null ? 0 : localFailureCount(breaker.window),
      slow: breaker === null ? 0 : slowCount(breaker.window),
    },
    targets: plan.targets.map(({ baseUrl, weight }, index) => ({
      url: baseUrl,
      weight,
      inflight: control.targets.inflight[index].inUse,
    })),
  };
}
