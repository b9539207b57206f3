// What an operator has forced, brought from the hub's snapshot into the upstreams of this isolate. Each
// snapshot is looked at once; what it forces ends by its own `until`, with or without a hub.

import type { OverrideTerms } from "../hub/protocol.ts";
import { drainTargets } from "../resilience/target-choice.ts";
import type { Engine, Upstream } from "./engine.ts";

/** Puts the newest snapshot's overrides in force, and ends those whose time is over. */
export function followOverrides(engine: Engine): void {
  const snapshot = engine.hub?.link.replica.snapshot ?? null;
  if (snapshot === null) return;
  if (snapshot === engine.overridesOf && engine.overridesUntil === Number.POSITIVE_INFINITY) return;
  const now = Date.now();
  if (snapshot === engine.overridesOf && now < engine.overridesUntil) return;
  engine.overridesOf = snapshot;
  engine.overridesUntil = Number.POSITIVE_INFINITY;
  for (const upstream of engine.upstreams) {
    const terms = snapshot.overrides[upstream.plan.name];
    const inForce = terms !== undefined && terms.until > now ? terms : null;
    if (inForce !== null) engine.overridesUntil = Math.min(engine.overridesUntil, inForce.until);
    force(upstream, inForce);
  }
}

function force(upstream: Upstream, terms: OverrideTerms | null): void {
  const isChanged = upstream.forced !== null || terms !== null;
  upstream.forced =
    terms === null
      ? null
      : { breaker: terms.breaker ?? null, cursor: terms.cursor ?? null, until: terms.until };
  if (!isChanged) return;
  const drained = new Set((terms?.drain ?? []).map(withoutSlash));
  const { plan, control } = upstream;
  drainTargets(control.targets, (index) => {
    const { baseUrl, binding } = plan.targets[index];
    return drained.has(withoutSlash(baseUrl)) || (binding !== null && drained.has(binding));
  });
}

function withoutSlash(url: string): string {
  return url.endsWith("/") ? url.slice(0, -1) : url;
}
