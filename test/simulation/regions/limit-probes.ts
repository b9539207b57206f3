// Single questions to a limit: does a small one count exactly, how much does a region get at once, what
// happens while a hub is gone.

import type { LimitTerms } from "../../../src/hub/protocol.ts";
import type { Range } from "./chance.ts";
import { usageName } from "../../../src/hub/names.ts";
import { gCounterValue } from "../../../src/crdt/g-counter.ts";
import { tidegate } from "./limit-policies.ts";

const REGIONS = ["weur", "enam", "apac", "oc"];

function termsOf(units: number, consistency: LimitTerms["consistency"] = "global"): LimitTerms {
  return { limit: "measured", key: "acme", consistency, units, windowMs: 60_000 };
}

/** Requests one after the other, from one isolate or several: how many pass. Nothing was used before. */
export function admitInTurn(options: {
  readonly seed: number;
  readonly units: number;
  readonly requests: number;
  readonly gapMs: number;
  readonly consistency?: LimitTerms["consistency"];
  readonly regions?: number;
  readonly isolates?: number;
}): { readonly admitted: number; readonly firstRefused: number } {
  const { seed, units, requests, gapMs, consistency, isolates = 1 } = options;
  const regions = REGIONS.slice(0, options.regions ?? 1);
  const terms = termsOf(units, consistency);
  const { world, request } = tidegate(false).start({ seed, regions, isolates, terms });
  if (consistency === "capped") world.queue.runFor(60_000 - (world.queue.now % 60_000));
  let admitted = 0;
  let answered = 0;
  let firstRefused = requests;
  const next = (): void => {
    if (answered >= requests) return;
    request(answered % regions.length, Math.floor(answered / regions.length) % isolates, (isAdmitted) => {
      if (isAdmitted) admitted++;
      else firstRefused = Math.min(firstRefused, answered);
      answered++;
      world.queue.after(gapMs, next);
    });
  };
  next();
  world.queue.runFor(50_000);
  return { admitted, firstRefused };
}

/** Three regions of one isolate get `rho` times the units, evenly spread over `ms`: how many pass. */
export function admitEvenly(seed: number, units: number, rho: number, ms: number): number {
  const regions = REGIONS.slice(0, 3);
  const { world, request } = tidegate().start({ seed, regions, isolates: 1, terms: termsOf(units) });
  const offered = rho * units;
  let admitted = 0;
  for (let at = 0; at < offered; at++) {
    world.queue.after((at * ms) / offered, () =>
      request(at % regions.length, 0, (isAdmitted) => {
        if (isAdmitted) admitted++;
      }),
    );
  }
  world.queue.runFor(2 * ms);
  return admitted;
}

/** One region of several idle ones that know each other gets `units` requests at once. */
export function admitAtOnce(options: {
  readonly seed: number;
  readonly units: number;
  /** A client that is refused tries again after this, ms; absent: never. */
  readonly retryMs?: number;
  readonly withinMs: number;
}): number {
  const { seed, units, retryMs, withinMs } = options;
  const isolates = 8;
  const { world, request } = tidegate().start({ seed, regions: REGIONS, isolates, terms: termsOf(units) });
  const endMs = world.queue.now + withinMs;
  let admitted = 0;
  const attempt = (isolate: number): void => {
    request(0, isolate, (isAdmitted) => {
      if (isAdmitted && world.queue.now <= endMs) admitted++;
      if (!isAdmitted && retryMs !== undefined) world.queue.after(retryMs, () => attempt(isolate));
    });
  };
  for (let count = 0; count < units; count++) attempt(count % isolates);
  world.queue.runFor(withinMs);
  return admitted;
}

export interface Outage {
  /** Before the hub was gone, while it was, and after. */
  readonly offered: readonly number[];
  readonly refused: readonly number[];
  /** Of the usage counter that every admitted request counts, in both hubs, and what it ought to be. */
  readonly counted: readonly number[];
  readonly admitted: number;
}

/** One of two regions has no hub for a minute; the load stays below the limit. */
export function loseHub(seed: number, onUnavailable: "allow" | "deny", units = 1_000): Outage {
  const regions = REGIONS.slice(0, 2);
  const isolates = 4;
  const terms = termsOf(units);
  const { world } = tidegate(true, onUnavailable).start({ seed, regions, isolates, terms });
  const { queue, chance } = world;
  const startMs = queue.now;
  const minutes = 3;
  const offered = Array.from({ length: minutes }, () => 0);
  const refused = Array.from({ length: minutes }, () => 0);
  let admitted = 0;
  const arrive = (): void => {
    const minute = Math.floor((queue.now - startMs) / 60_000);
    if (minute >= minutes) return;
    queue.after(chance.gap((0.5 * units) / 60_000), arrive);
    const isolate = chance.pick(world.isolates);
    if (isolate.region !== regions[0]) return;
    offered[minute]++;
    isolate.request({ terms, cost: 1, onUnavailable }, (ending) => {
      if (!ending.startsWith("taken")) {
        refused[minute]++;
        return;
      }
      admitted++;
      isolate.count("calls", "acme", 1);
    });
  };
  arrive();
  queue.after(60_000, () => world.hub(regions[0]).kill(60_000));
  queue.runFor(minutes * 60_000);
  for (const isolate of world.isolates) isolate.link.afterResponse();
  queue.runFor(5_000);
  const counted = regions.map((region) => {
    const state = world.hub(region).start().hub.states.get(usageName("calls", "acme"));
    return state?.kind === "g-counter" ? gCounterValue(state) : 0;
  });
  return { offered, refused, counted, admitted };
}

export interface FewUnits {
  readonly seed: number;
  readonly units: number;
  readonly requests: number;
  /** Ms between them; 0: all at once. */
  readonly gapMs: number;
  /** Which region, of `regions`, gets each request. */
  readonly regions: number;
  readonly regionAt: (request: number) => number;
  /** One way: to the hub and between regions. One machine unless told. */
  readonly localMs?: Range;
  readonly worldMs?: Range;
  readonly acquainted?: boolean;
  readonly consistency?: LimitTerms["consistency"];
}

/** Few units in several regions: for each request, in order, whether it passed. */
export function offerFew(options: FewUnits): boolean[] {
  const { seed, units, requests, gapMs, regionAt, consistency } = options;
  const { world, request } = tidegate(options.acquainted ?? true).start({
    seed,
    regions: REGIONS.slice(0, options.regions),
    isolates: 1,
    terms: termsOf(units, consistency),
    localMs: options.localMs ?? [0.3, 1.5],
    worldMs: options.worldMs ?? [0.5, 2],
  });
  const passed = Array.from({ length: requests }, () => false);
  for (let at = 0; at < requests; at++) {
    world.queue.after(at * gapMs, () =>
      request(regionAt(at), 0, (isAdmitted) => {
        passed[at] = isAdmitted;
      }),
    );
  }
  world.queue.runFor(requests * gapMs + 1_000);
  return passed;
}

/** A burst of all units in one region, and as many again `againMs` after it: how many of these pass. */
export function offerTwice(options: {
  readonly seed: number;
  readonly units: number;
  readonly windowMs: number;
  readonly againMs: number;
  readonly regions?: number;
  readonly consistency?: LimitTerms["consistency"];
}): { readonly first: number; readonly second: number } {
  const { seed, units, windowMs, againMs, consistency, regions = 1 } = options;
  const { world, request } = tidegate().start({
    seed,
    regions: REGIONS.slice(0, regions),
    isolates: 1,
    terms: { ...termsOf(units, consistency), windowMs },
    localMs: [0.3, 1.5],
    worldMs: [0.5, 2],
  });
  const passed = { first: 0, second: 0 };
  for (let at = 0; at < units; at++) {
    for (const which of ["first", "second"] as const) {
      world.queue.after(at * 4 + (which === "second" ? againMs : 0), () =>
        request(0, 0, (isAdmitted) => {
          if (isAdmitted) passed[which]++;
        }),
      );
    }
  }
  world.queue.runFor(againMs + 2_000);
  return passed;
}
