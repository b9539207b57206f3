// `GET /_gateway/state`: what the gateway knows about its upstreams and regions, for people and dashboards.
// Of its own region it shows the hub's breaker, cursor and limit, what the other isolates hold besides this
// one, and the greater of what the hub has counted and what this isolate has not told it yet; of other
// regions what their hubs have told ours.

import type { UpstreamPlan } from "../config/plan.ts";
import type { Engine, Upstream } from "../edge/engine.ts";
import type { HubDescription, RegionalUpstream } from "../hub/description.ts";
import type { OverrideTerms } from "../hub/protocol.ts";
import type { SagaPhase } from "../saga/core/state.ts";
import type { StoredWork } from "./metrics.ts";
import type { RelayStates } from "../delivery/relays/relays.ts";
import type { EventStates } from "./subscriptions.ts";
import type { QueueStates } from "./queues.ts";
import { sumSagas } from "./saga-counts.ts";
import { isAlone, overrideOf } from "../region/replica.ts";
import type { BreakerPhase } from "../resilience/breaker.ts";
import { phaseAt } from "../resilience/breaker.ts";
import {
  advanceWindow,
  localFailureCount,
  okCount,
  remoteFailureCount,
  slowCount,
} from "../resilience/call-window.ts";
import { START_LIMIT } from "../resilience/concurrency-limit.ts";
import { LEVEL_COUNT } from "../resilience/level.ts";
import type { UpstreamControl } from "../resilience/upstream-control.ts";
import { refreshControl } from "../resilience/upstream-control.ts";

interface BreakerView {
  readonly phase: BreakerPhase;
  readonly generation: number;
  readonly openUntil: number | null;
}

export interface UpstreamState {
  readonly breaker: BreakerView;
  readonly cursor: number;
  readonly limit: number;
  readonly inflight: number;
  readonly waiting: number;
  readonly window: { ok: number; failRemote: number; failLocal: number; slow: number };
  readonly targets: readonly TargetState[];
  /** What an operator has forced; null: nothing. */
  readonly override: OverrideTerms | null;
}

export interface TargetState {
  readonly url: string;
  readonly weight: number;
  readonly inflight: number;
  readonly drained: boolean;
  /** Taken out by its own failures, until then (ms since 1970); null: it is not. */
  readonly ejected: boolean;
  readonly ejectedUntil: number | null;
}

/** Another region's upstream, of which regions tell each other what moves slowly. */
export interface RemoteUpstreamState extends Omit<
  UpstreamState,
  "inflight" | "waiting" | "targets" | "override"
> {
  /** null: known in its own region alone. */
  readonly inflight: null;
  readonly waiting: null;
  readonly targets: null;
}

export interface GatewayState {
  readonly region: string;
  readonly isolate: { session: string; snapshotAgeMs: number | null; mode: "alone" | "synced" };
  readonly upstreams: Record<string, UpstreamState>;
  /** Every region in use, and how long ago this one heard from it. */
  readonly regions: Record<
    string,
    { ageMs: number | null; upstreams: Record<string, UpstreamState | RemoteUpstreamState> }
  >;
  /** null: the hub did not answer. */
  readonly hub: HubDescription | null;
  readonly queues: QueueStates;
  /** Counts by state, over all sagas; empty without any. */
  readonly sagas: Partial<Record<SagaPhase, number>>;
  readonly subscriptions: EventStates["subscriptions"];
  readonly reactions: EventStates["reactions"];
  /** The outbox of all events; null: it did not answer, or there are none. */
  readonly events: EventStates["events"];
  /** By name; null: its object did not answer. */
  readonly relays: RelayStates;
  readonly config: string;
}

export function describeState(
  engine: Engine,
  described: HubDescription | null,
  { queues, sagas, events, relays }: StoredWork,
  now: number,
): GatewayState {
  const replica = engine.hub?.link.replica ?? null;
  const upstreams = describeUpstreams(engine, described, now);
  const others = Object.entries(described?.peers ?? {}).map(([region, { ageMs }]) => [
    region,
    { ageMs, upstreams: upstreamsOf(engine, described, region, now) },
  ]);
  return {
    region: engine.region,
    isolate: {
      session: engine.session,
      snapshotAgeMs: replica === null || replica.snapshot === null ? null : now - replica.snapshotAt,
      mode: replica === null || isAlone(replica) ? "alone" : "synced",
    },
    upstreams,
    regions: { [engine.region]: { ageMs: 0, upstreams }, ...Object.fromEntries(others) },
    hub: described,
    queues,
    sagas: sumSagas(sagas),
    ...events,
    relays,
    config: engine.plan.hash,
  };
}

/** Every upstream as the region has it. */
export function describeUpstreams(
  engine: Engine,
  described: HubDescription | null,
  now: number,
): Record<string, UpstreamState> {
  const link = engine.hub?.link ?? null;
  const replica = link?.replica ?? null;
  // A process that is all there is keeps its upstreams to itself.
  const hasTold = described !== null && link !== null && link.upstreams !== null;
  const entries = engine.upstreams.map((upstream) => {
    const override = replica === null ? null : overrideOf(replica, upstream.plan.name, now);
    const own = described?.upstreams[upstream.plan.name]?.[engine.region] ?? null;
    const view = describeUpstream(upstream, override, now);
    return [upstream.plan.name, hasTold ? addRegion(view, upstream.plan, own, now) : view] as const;
  });
  return Object.fromEntries(entries);
}

/** The isolate's view with what the hub and the other isolates of its region add. */
function addRegion(
  view: UpstreamState,
  plan: UpstreamPlan,
  own: RegionalUpstream | null,
  now: number,
): UpstreamState {
  const { gauges = NOTHING_HELD, load, window } = own ?? UNTOLD;
  return {
    ...view,
    breaker: plan.breaker === null || own === null ? view.breaker : breakerOf(view, own.breaker, now),
    cursor: view.override?.cursor ?? load?.cursor ?? view.cursor,
    limit: load?.limit ?? firstLimitOf(plan),
    inflight: view.inflight + gauges.inflight,
    waiting: view.waiting + gauges.waiting,
    window: {
      ok: Math.max(view.window.ok, window.ok),
      failRemote: Math.max(view.window.failRemote, window.failRemote),
      failLocal: Math.max(view.window.failLocal, window.failLocal),
      slow: Math.max(view.window.slow, window.slow),
    },
  };
}

/**
 * The region's breaker; what this isolate has opened on its own evidence the hub will hear of in a moment.
 */
function breakerOf({ breaker, override }: UpstreamState, region: BreakerView, now: number): BreakerView {
  if ((override?.breaker ?? null) !== null) return breaker;
  const isAhead = breaker.phase === "open" && (region.phase === "closed" || region.phase === "ramp");
  return isAhead ? { ...breaker, generation: region.generation + 1 } : breakerAt(region, now);
}

/** An open time that is over reads as half-open. */
function breakerAt(breaker: BreakerView, now: number): BreakerView {
  const isOver = breaker.phase === "open" && breaker.openUntil !== null && breaker.openUntil <= now;
  return isOver ? { ...breaker, phase: "half-open", openUntil: null } : breaker;
}

/** What a region gives out of an upstream that it knows nothing of. */
function firstLimitOf({ concurrency: { max, adaptive } }: UpstreamPlan): number {
  return adaptive ? Math.min(max, START_LIMIT) : max;
}

/**
 * Every upstream as another region has it; one that it has told nothing of is as it is before the first
 * call. An open time that is over reads as half-open, as it does here.
 */
function upstreamsOf(
  engine: Engine,
  described: HubDescription | null,
  region: string,
  now: number,
): Record<string, RemoteUpstreamState> {
  const entries = engine.upstreams.map(({ plan }) => {
    const { breaker, window, load } = described?.upstreams[plan.name]?.[region] ?? UNTOLD;
    const state: RemoteUpstreamState = {
      breaker: breakerAt(breaker, now),
      cursor: load?.cursor ?? LEVEL_COUNT,
      limit: load?.limit ?? firstLimitOf(plan),
      inflight: null,
      waiting: null,
      window,
      targets: null,
    };
    return [plan.name, state] as const;
  });
  return Object.fromEntries(entries);
}

const NOTHING_HELD = { inflight: 0, waiting: 0 } as const;

const UNTOLD: RegionalUpstream = {
  breaker: { phase: "closed", generation: 1, openUntil: null },
  window: { ok: 0, failRemote: 0, failLocal: 0, slow: 0 },
};

export function describeUpstream(
  { plan, control }: Upstream,
  override: OverrideTerms | null,
  now: number,
): UpstreamState {
  const { breaker, bulkhead, shed } = control;
  refreshControl(control, now);
  if (breaker !== null) advanceWindow(breaker.window, now);
  return {
    breaker: {
      phase: override?.breaker ?? (breaker === null ? "closed" : phaseAt(breaker, now)),
      generation: breaker?.state.generation ?? 0,
      openUntil: openUntilOf(control, override, now),
    },
    cursor: override?.cursor ?? shed.cursor,
    limit: bulkhead.permits.limit,
    inflight: bulkhead.permits.inUse,
    waiting: bulkhead.line.length,
    window: {
      ok: breaker === null ? 0 : okCount(breaker.window),
      failRemote: breaker === null ? 0 : remoteFailureCount(breaker.window),
      failLocal: breaker === null ? 0 : localFailureCount(breaker.window),
      slow: breaker === null ? 0 : slowCount(breaker.window),
    },
    targets: describeTargets(plan, control),
    override,
  };
}

function describeTargets(plan: UpstreamPlan, { targets, ejections }: UpstreamControl): TargetState[] {
  return plan.targets.map(({ baseUrl, weight }, index) => {
    const health = ejections?.health[index];
    const ejected = health?.place === "ejected";
    return {
      url: baseUrl,
      weight,
      inflight: targets.inflight[index].inUse,
      drained: targets.drained[index] === 1,
      ejected,
      ejectedUntil: ejected && health !== undefined ? Math.ceil(health.ejectedUntil) : null,
    };
  });
}

/** null: not open, or the open time is over, which reads as half-open. */
function openUntilOf(
  { breaker }: UpstreamControl,
  override: OverrideTerms | null,
  now: number,
): number | null {
  if (override?.breaker !== undefined) return override.breaker === "open" ? override.until : null;
  if (breaker?.state.phase !== "open" || breaker.state.openUntil <= now) return null;
  return Math.ceil(breaker.state.openUntil);
}
