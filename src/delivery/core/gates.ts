// What is refused by the terms of each configuration that is in use: two versions of the Worker may have
// different watermarks while one takes the place of the other.

import type { GateTerms, Refusing } from "./backpressure.ts";

/** Watermarks that are watched; one per configuration that is in use, and some that were lately. */
const MAX_GATES = 16;

export interface Gate {
  readonly terms: GateTerms;
  refusing: Refusing;
}

/** Two versions of the configuration may have different watermarks: each has a gate of its own. */
export function gateOf(gates: Map<string, Gate>, terms: GateTerms): Gate {
  const name = gateName(terms);
  const known = gates.get(name);
  if (known !== undefined) return known;
  const { highWatermark, resumeAt } = terms;
  const gate: Gate = { terms: { highWatermark, resumeAt }, refusing: "nothing" };
  if (gates.size >= MAX_GATES) {
    for (const [other, { refusing }] of gates) if (refusing === "nothing") gates.delete(other);
  }
  gates.set(name, gate);
  return gate;
}

export function gateName({ highWatermark, resumeAt }: GateTerms): string {
  return `${highWatermark}:${resumeAt}`;
}

/** The terms that a gate's name spells; null: none. */
export function parseGateName(name: string): GateTerms | null {
  const [highWatermark, resumeAt] = name.split(":").map(Number);
  return Number.isFinite(highWatermark) && Number.isFinite(resumeAt) ? { highWatermark, resumeAt } : null;
}
