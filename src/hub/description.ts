// A hub as an operator reads it: who it hears from, how old that is, what it keeps.

import type { CallCounts } from "../crdt/call-vectors.ts";
import { gCounterValue } from "../crdt/g-counter.ts";
import { phaseAt } from "../resilience/breaker.ts";
import { LEVEL_COUNT } from "../resilience/level.ts";
import type { Hub, HubTally } from "./hub.ts";
import { loadStatusOf } from "./load-book.ts";
import type { LoadStatus } from "./load-status.ts";
import { loadByRegion } from "./load-status.ts";
import { countPresent } from "./sessions.ts";
import { callsByRegion, statusByRegion } from "./upstream-book.ts";
import type { BreakerStatus, UpstreamGauges } from "./upstream-protocol.ts";

export interface PeerDescription {
  /** Ms since it was heard; null: never. */
  readonly ageMs: number | null;
  /** Whether it has everything that this hub wrote. */
  readonly caughtUp: boolean;
  readonly failures: number;
}

/** An upstream as one region has it. */
export interface RegionalUpstream {
  readonly breaker: {
    readonly phase: BreakerStatus["phase"];
    readonly generation: number;
    readonly openUntil: number | null;
  };
  /** Calls of the last ten seconds. */
  readonly window: CallCounts;
  /** What the region's hub steers by; absent where nothing is known of it. */
  readonly load?: LoadStatus;
  /** Of the own region alone, without what the isolate that asks has told. */
  readonly gauges?: UpstreamGauges;
}

export interface HubDescription {
  readonly region: string;
  readonly shard: number;
  readonly boot: number;
  readonly epoch: number;
  readonly slots: { readonly durable: string; readonly ephemeral: string };
  readonly isolates: number;
  readonly sessions: number;
  readonly states: number;
  readonly peers: Readonly<Record<string, PeerDescription>>;
  readonly tally: HubTally;
  /** Every upstream that any region has told of, region by region. */
  readonly upstreams: Readonly<Record<string, Readonly<Record<string, RegionalUpstream>>>>;
  /** Sum over the keys of each usage counter, for metrics. */
  readonly counters: Readonly<Record<string, number>>;
}

/** For the isolate of `session`, which knows best what it holds itself; null: for anybody. */
export function describeHub(hub: Hub, now: number, session: string | null = null): HubDescription {
  const peers = [...hub.peers.values()].map((peer) => [
    peer.region,
    {
      ageMs: Number.isFinite(peer.heardAt) ? now - peer.heardAt : null,
      caughtUp: peer.acked >= hub.version,
      failures: peer.failures,
    },
  ]);
  return {
    region: hub.region,
    shard: hub.shard,
    boot: hub.boot,
    epoch: hub.durableEpoch,
    slots: { durable: hub.durableSlot, ephemeral: hub.ephemeralSlot },
    isolates: countPresent(hub, now),
    sessions: hub.sessions.size,
    states: hub.states.size,
    peers: Object.fromEntries(peers),
    tally: { ...hub.tally },
    upstreams: describeUpstreams(hub, session, now),
    counters: sumCounters(hub),
  };
}

function describeUpstreams(
  hub: Hub,
  session: string | null,
  now: number,
): Record<string, Record<string, RegionalUpstream>> {
  const names = new Set(hub.upstreams.keys());
  for (const name of hub.states.keys()) {
    const parsed = /^[slc]:/.test(name) ? name.slice("s:".length) : null;
    if (parsed !== null) names.add(parsed);
  }
  return Object.fromEntries([...names].map((name) => [name, describeRegions(hub, name, session, now)]));
}

function describeRegions(
  hub: Hub,
  upstream: string,
  session: string | null,
  now: number,
): Record<string, RegionalUpstream> {
  const statuses = statusByRegion(hub, upstream);
  const calls = callsByRegion(hub, upstream, now);
  const loads = loadByRegion(hub, upstream);
  const book = hub.loads.get(upstream);
  if (book !== undefined) loads.set(hub.region, loadStatusOf(book));
  const regions = new Set([...statuses.keys(), ...calls.keys(), ...loads.keys()]);
  return Object.fromEntries(
    [...regions].map((region) => [
      region,
      {
        breaker:
          (region === hub.region ? ownBreaker(hub, upstream, now) : null) ?? phaseOf(statuses.get(region)),
        window: calls.get(region) ?? { ok: 0, failRemote: 0, failLocal: 0, slow: 0 },
        ...loadOf(loads.get(region)),
        ...(region === hub.region ? { gauges: sumGauges(hub, upstream, session) } : {}),
      },
    ]),
  );
}

function loadOf(load: LoadStatus | undefined): { load?: LoadStatus } {
  return load === undefined ? {} : { load };
}

/** As it is at this moment, not when it was last stored. */
function ownBreaker(hub: Hub, upstream: string, now: number): RegionalUpstream["breaker"] | null {
  const breaker = hub.upstreams.get(upstream)?.region.breaker;
  if (breaker === undefined) return null;
  const { state } = breaker;
  const phase = phaseAt(breaker, now);
  const openUntil = state.phase === "open" && phase === "open" ? Math.ceil(state.openUntil) : null;
  return { phase, generation: state.generation, openUntil };
}

function phaseOf(status: BreakerStatus | undefined): RegionalUpstream["breaker"] {
  if (status === undefined) return { phase: "closed", generation: 1, openUntil: null };
  const { phase, generation, openUntil } = status;
  return { phase, generation, openUntil };
}

/** What the isolates of this region hold together; without a hub's cursor, that of the one that cuts most. */
function sumGauges(hub: Hub, upstream: string, session: string | null): UpstreamGauges {
  const sums: Record<keyof UpstreamGauges, number> = {
    cursor: LEVEL_COUNT,
    limit: 0,
    inflight: 0,
    waiting: 0,
  };
  for (const [isolate, { gauges }] of hub.upstreams.get(upstream)?.gauges ?? []) {
    if (isolate === session) continue;
    sums.cursor = Math.min(sums.cursor, gauges.cursor);
    sums.limit += gauges.limit;
    sums.inflight += gauges.inflight;
    sums.waiting += gauges.waiting;
  }
  return sums;
}

function sumCounters(hub: Hub): Record<string, number> {
  // A counter may have a name that every object has, such as "constructor".
  const sums = new Map<string, number>();
  for (const [name, state] of hub.states) {
    if (state.kind !== "g-counter") continue;
    const counter = name.split(":", 2)[1];
    sums.set(counter, (sums.get(counter) ?? 0) + gCounterValue(state));
  }
  return Object.fromEntries(sums);
}
