// The circuits of a region that are open, told to isolates that have no traffic for them: an isolate that
// speaks to its hub for other upstreams must not find out by itself. After a boot those that were stored.

import type { Hub } from "./hub.ts";
import { statusName } from "./names.ts";
import { statusByRegion } from "./upstream-book.ts";
import type { BreakerStatus, UpstreamAsk, UpstreamVerdict } from "./upstream-protocol.ts";

/**
 * Circuits that are open, for an isolate that asked for others: its first request would find out otherwise.
 */
export function openVerdicts(hub: Hub, asked: readonly UpstreamAsk[], now: number): UpstreamVerdict[] {
  const known = new Set(asked.map(({ terms }) => terms.upstream));
  const verdicts: UpstreamVerdict[] = [];
  const tell = (upstream: string, generation: number, openUntil: number): void => {
    if (openUntil <= now || known.has(upstream)) return;
    known.add(upstream);
    const verdict = { generation, phase: "open", openForMs: openUntil - now, rampedMs: 0 } as const;
    verdicts.push({ upstream, ...verdict, lease: 0, leaseMs: 0, isUnasked: true });
  };
  for (const [upstream, { region }] of hub.upstreams) {
    const { state } = region.breaker;
    if (state.phase === "open") tell(upstream, state.generation, state.openUntil);
    else known.add(upstream);
  }
  hub.openAtBoot ??= findOpen(hub);
  for (const [upstream, { generation, openUntil }] of hub.openAtBoot) {
    tell(upstream, generation, openUntil ?? now);
    if ((openUntil ?? now) <= now) hub.openAtBoot.delete(upstream);
  }
  return verdicts;
}

/** What this region had open when it was stored last. */
function findOpen(hub: Hub): Map<string, BreakerStatus> {
  const open = new Map<string, BreakerStatus>();
  for (const name of hub.states.keys()) {
    const upstream = name.startsWith(statusName("")) ? name.slice(statusName("").length) : null;
    const status = upstream === null ? undefined : statusByRegion(hub, upstream).get(hub.region);
    if (upstream !== null && status?.phase === "open") open.set(upstream, status);
  }
  return open;
}
