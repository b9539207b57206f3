// What an operator has forced, brought from the hub's snapshot into the upstreams of this isolate. Each
// snapshot is looked at once; what it forces ends by its own `until`, with or without a hub.

import type { TargetPlan } from "../config/plan.ts";
import type { OverrideTerms } from "../hub/protocol.ts";
import { drainTargets } from "../resilience/target-choice.ts";
import type { Engine, Upstream } from "./engine.ts";
import { Verdict } from "./verdict.ts";

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
  const drained = terms?.drain ?? [];
  const { plan, control } = upstream;
  drainTargets(control.targets, (index) => drained.some((name) => isTargetNamed(plan.targets[index], name)));
}

/** Whether an operator has refused the request, not the upstream's state: that says nothing about it. */
export function isOperatorsRefusal({ forced }: Upstream, verdict: Verdict): boolean {
  if (verdict === Verdict.noTarget) return true;
  if (verdict === Verdict.circuitOpen) return forced?.breaker === "open";
  return verdict === Verdict.shed && (forced?.cursor ?? null) !== null;
}

/** Whether an operator means this target: by its URL, with or without a slash at the end, or its binding. */
export function isTargetNamed({ baseUrl, binding }: TargetPlan, name: string): boolean {
  return withoutSlash(baseUrl) === withoutSlash(name) || binding === name;
}

function withoutSlash(url: string): string {
  return url.endsWith("/") ? url.slice(0, -1) : url;
}
