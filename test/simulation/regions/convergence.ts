// How long until every region knows of an update: regions that gossip in rounds, under loss. Updates are
// usage counts, which wait for the next round; urgent ones (claims of limits) do not.

import { usageName } from "../../../src/hub/names.ts";
import { addUsage } from "../../../src/hub/usage.ts";
import { announceUse } from "../../../src/hub/membership.ts";
import { World } from "./world.ts";

const REGIONS = ["wnam", "enam", "sam", "weur", "eeur", "apac", "apac-ne", "apac-se", "oc", "afr", "me"];
const LOOK_MS = 10;
const UPDATE_MS = 700;

export interface ConvergenceOptions {
  readonly seed: number;
  /** At most 11. */
  readonly regions: number;
  /** Part of all messages that is lost. */
  readonly loss: number;
  readonly updates: number;
  readonly roundMs?: number;
}

export interface Convergence {
  /** Ms from each update until the last region knew of it, ascending. */
  readonly delaysMs: readonly number[];
  /** Of regions to each other, per second and region. */
  readonly messageRate: number;
}

/** Measures a number of updates, each in a region by chance. */
export function measureConvergence(options: ConvergenceOptions): Convergence {
  const { seed, regions, loss, updates, roundMs = 1_000 } = options;
  const universe = REGIONS.slice(0, regions);
  const world = new World({ seed, universe, roundMs });
  const { queue, chance, network } = world;
  for (const node of world.hubs()) {
    const instance = node.start();
    announceUse(instance.hub, instance.now());
    instance.alarm();
  }
  queue.runFor(5_000);
  network.faults = { loss, duplicate: 0, late: 0, latenessMs: [0, 0] };
  const sentBefore = network.sent;
  const startMs = queue.now;
  const delaysMs: number[] = [];
  let waiting: { readonly name: string; readonly at: number }[] = [];
  const look = (): void => {
    waiting = waiting.filter(({ name, at }) => {
      if (world.hubs().some((node) => !node.start().hub.states.has(name))) return true;
      delaysMs.push(queue.now - at);
      return false;
    });
    queue.after(LOOK_MS, look);
  };
  look();
  for (let update = 0; update < updates; update++) {
    const { hub } = world.hub(chance.pick(universe)).start();
    addUsage(hub, "update", String(update), 1, queue.now);
    waiting.push({ name: usageName("update", String(update)), at: queue.now });
    queue.runFor(UPDATE_MS * chance.within([0.5, 1.5]));
  }
  const messageRate = (network.sent - sentBefore) / ((queue.now - startMs) / 1_000) / regions;
  while (waiting.length > 0) queue.runFor(1_000);
  return { delaysMs: delaysMs.toSorted((left, right) => left - right), messageRate };
}

/** The value that a share of the sorted values does not pass. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
