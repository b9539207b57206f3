// How a limit may be enforced by many isolates in many regions: Tidegate's code in a simulated world, and the
// published alternatives as small models in the same world and under the same load.

import type { LimitTerms } from "../../../src/hub/protocol.ts";
import type { Range } from "./chance.ts";
import type { IsolateNode } from "./isolate-node.ts";
import { World } from "./world.ts";

export interface LimitSetup {
  readonly seed: number;
  readonly regions: readonly string[];
  readonly isolates: number;
  readonly terms: LimitTerms;
  readonly localMs?: Range;
  readonly worldMs?: Range;
}

export interface LimitPolicy {
  readonly name: string;
  /** Sets the world up; regions know each other by then, nobody knows the key. */
  readonly start: (setup: LimitSetup) => RunningPolicy;
}

export interface RunningPolicy {
  readonly world: World;
  /** Decides one request in a region's isolate; waited: whether it was answered at once. */
  readonly request: (
    region: number,
    isolate: number,
    done: (isAdmitted: boolean, waited: boolean) => void,
  ) => void;
  /** Calls of isolates so far. */
  readonly calls: () => number;
}

/** Other traffic has made regions and isolates known to each other for this long. */
const ACQUAINTED_MS = 4_000;

function createWorld({ seed, regions, localMs, worldMs }: LimitSetup): World {
  return new World({
    seed,
    universe: regions,
    ...(localMs === undefined ? {} : { localMs }),
    ...(worldMs === undefined ? {} : { worldMs }),
  });
}

/** The production code. `acquainted`: whether there has been other traffic before. */
export function tidegate(acquainted = true, onUnavailable: "allow" | "deny" = "allow"): LimitPolicy {
  return {
    name: "tidegate",
    start: (setup) => {
      const world = createWorld(setup);
      const { terms } = setup;
      const isolates: IsolateNode[][] = setup.regions.map((region) =>
        Array.from({ length: setup.isolates }, () => world.bearIsolate(region)),
      );
      // Windows and cells begin wherever they do.
      world.queue.runFor(world.chance.within([0, terms.windowMs]));
      if (acquainted) {
        const other = { ...terms, key: "other", units: 1_000_000, consistency: "global" as const };
        for (const isolate of isolates.flat()) {
          for (const ms of [0, 1_500, 3_000]) {
            world.queue.after(ms + world.chance.within([0, 900]), () =>
              isolate.request({ terms: other, cost: 1, onUnavailable }, () => {}),
            );
          }
        }
        world.queue.runFor(ACQUAINTED_MS);
      }
      const before = world.isolates.reduce((sum, isolate) => sum + isolate.calls, 0);
      return {
        world,
        request: (region, isolate, done) => {
          isolates[region][isolate].request({ terms, cost: 1, onUnavailable }, (ending) =>
            done(ending === "taken" || ending === "taken after a wait", ending.endsWith("wait")),
          );
        },
        calls: () => world.isolates.reduce((sum, isolate) => sum + isolate.calls, 0) - before,
      };
    },
  };
}

interface Counts {
  /** Of this isolate: not sent yet, and sent without an answer; of its region and of others by then. */
  pending: number;
  inFlight: number;
  region: number;
  foreign: number;
}

export interface PeriodicTimes {
  /** Isolates to their region (0: with each request, infinite: never), and regions to each other. */
  readonly flushMs: number;
  readonly gossipMs: number;
  /** Part of the times that is drawn. */
  readonly jitter: number;
  /** A region's total below this part of the limit is not sent on. */
  readonly floor: number;
}

/**
 * Counts are added up per region and sent to the others now and then; nobody reserves anything. With a
 * flush at every request and sums every 5 s +-20 % from a fifth of the limit on, this is the algorithm that
 * Unkey has published (github.com/unkeyed/unkey, RFC 0015). Counts start over with each window.
 */
export function periodicFlush(name: string, times: PeriodicTimes): LimitPolicy {
  return { name, start: (setup) => startPeriodic(setup, times) };
}

function startPeriodic(setup: LimitSetup, times: PeriodicTimes): RunningPolicy {
  const world = createWorld(setup);
  const { queue, chance, localMs, worldMs } = world;
  const { units, windowMs } = setup.terms;
  queue.runFor(chance.within([0, windowMs]));
  // The model's windows are those that are measured: the algorithm's error at their edges is left out.
  const startMs = queue.now;
  const totals = setup.regions.map(() => ({ own: 0, foreign: setup.regions.map(() => 0) }));
  const isolates = setup.regions.map(() =>
    Array.from({ length: setup.isolates }, (): Counts => ({
      pending: 0,
      inFlight: 0,
      region: 0,
      foreign: 0,
    })),
  );
  let calls = 0;
  let window = 0;
  const roll = (): void => {
    const now = Math.floor((queue.now - startMs) / windowMs);
    if (now === window) return;
    window = now;
    for (const total of totals) {
      total.own = 0;
      total.foreign.fill(0);
    }
    for (const isolate of isolates.flat()) {
      Object.assign(isolate, { pending: 0, inFlight: 0, region: 0, foreign: 0 });
    }
  };
  const every = (ms: number, run: () => void): void => {
    if (!Number.isFinite(ms)) return;
    const again = (): void => {
      queue.after(ms * chance.within([1 - times.jitter, 1 + times.jitter]), again);
      roll();
      run();
    };
    queue.after(ms * chance.next(), again);
  };
  const inWindow = (ms: number, run: () => void): void => {
    const of = window;
    queue.after(ms, () => {
      roll();
      if (of === window) run();
    });
  };
  const flush = (region: number, isolate: Counts): void => {
    const sent = isolate.pending;
    isolate.pending = 0;
    isolate.inFlight += sent;
    calls++;
    inWindow(chance.within(localMs), () => {
      const total = totals[region];
      total.own += sent;
      const answer = { own: total.own, foreign: total.foreign.reduce((sum, of) => sum + of, 0) };
      inWindow(chance.within(localMs), () => {
        isolate.inFlight -= sent;
        isolate.region = Math.max(isolate.region, answer.own);
        isolate.foreign = answer.foreign;
      });
    });
  };
  setup.regions.forEach((_name, region) => {
    for (const isolate of times.flushMs > 0 ? isolates[region] : []) {
      every(times.flushMs, () => flush(region, isolate));
    }
    every(times.gossipMs, () => {
      const { own } = totals[region];
      if (own < times.floor * units) return;
      totals.forEach((total, other) => {
        if (other === region) return;
        inWindow(chance.within(worldMs), () => {
          total.foreign[region] = Math.max(total.foreign[region], own);
        });
      });
    });
  });
  return {
    world,
    calls: () => calls,
    request: (region, index, done) => {
      roll();
      const isolate = isolates[region][index];
      const own = isolate.pending + isolate.inFlight;
      const isAdmitted = own + isolate.region + isolate.foreign + 1 <= units;
      if (isAdmitted) isolate.pending++;
      done(isAdmitted, false);
      if (times.flushMs === 0 && isAdmitted) flush(region, isolate);
    },
  };
}

export const PERIODIC_5S = periodicFlush("flush every 5 s", {
  flushMs: 5_000,
  gossipMs: 5_000,
  jitter: 0.1,
  floor: 0,
});
export const PERIODIC_1S = periodicFlush("flush every second", {
  flushMs: 1_000,
  gossipMs: 1_000,
  jitter: 0.1,
  floor: 0,
});
export const UNKEY = periodicFlush("Unkey's algorithm", {
  flushMs: 0,
  gossipMs: 5_000,
  jitter: 0.2,
  floor: 0.2,
});
/** Each isolate counts for itself. */
export const ISOLATES_ALONE = periodicFlush("isolates alone", {
  flushMs: Number.POSITIVE_INFINITY,
  gossipMs: Number.POSITIVE_INFINITY,
  jitter: 0,
  floor: 0,
});
