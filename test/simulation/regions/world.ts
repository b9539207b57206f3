// A simulated world: regions with a hub and isolates each, one ledger, the network between them, and a
// witness that sees everything. All of it around the production code of `src/hub` and `src/region`.

import { Chance } from "./chance.ts";
import type { Range } from "./chance.ts";
import { EventQueue } from "./event-queue.ts";
import type { Flaws } from "./flaws.ts";
import { HubNode } from "./hub-node.ts";
import { IsolateNode } from "./isolate-node.ts";
import { LedgerModel } from "./ledger-model.ts";
import { Network } from "./network.ts";
import { randomClock } from "./node-clock.ts";
import { Witness } from "./witness.ts";

/** True time at which worlds begin; no boundary of a window is near. */
export const START_MS = 1_900_000_000_000;

export interface WorldOptions {
  readonly seed: number;
  /** Every region there can be. */
  readonly universe: readonly string[];
  readonly roundMs?: number;
  /** One way: from isolates to their hub, and between regions. */
  readonly localMs?: Range;
  readonly worldMs?: Range;
  /** Clocks are off by at most this. */
  readonly skewMs?: number;
  readonly flaws?: Flaws;
}

export class World {
  readonly queue = new EventQueue(START_MS);
  readonly chance: Chance;
  readonly network: Network;
  readonly witness = new Witness();
  readonly ledger = new LedgerModel();
  readonly universe: readonly string[];
  readonly isolates: IsolateNode[] = [];
  /** There is little traffic. */
  isSilent = false;
  /** Faults are over. */
  isHealed = false;
  readonly roundMs: number;
  readonly localMs: Range;
  readonly worldMs: Range;
  readonly skewMs: number;
  readonly flaws: Flaws;
  readonly #hubs = new Map<string, HubNode>();

  constructor(options: WorldOptions) {
    this.chance = new Chance(options.seed);
    this.network = new Network(this.queue, this.chance);
    this.universe = options.universe;
    this.roundMs = options.roundMs ?? 1_000;
    this.localMs = options.localMs ?? [3, 9];
    this.worldMs = options.worldMs ?? [40, 120];
    this.skewMs = options.skewMs ?? 0;
    this.flaws = options.flaws ?? {};
    for (const region of this.universe) {
      const clock = randomClock(this.queue, this.chance, this.skewMs);
      this.#hubs.set(region, new HubNode(this, region, clock));
    }
  }

  hub(region: string): HubNode {
    const node = this.#hubs.get(region);
    if (node === undefined) throw new Error(`no region ${region}`);
    return node;
  }

  hubs(): HubNode[] {
    return [...this.#hubs.values()];
  }

  bearIsolate(region: string): IsolateNode {
    const clock = randomClock(this.queue, this.chance, this.skewMs);
    const isolate = new IsolateNode(this, region, `${region}_${this.isolates.length}`, clock);
    this.isolates.push(isolate);
    return isolate;
  }

  living(region?: string): IsolateNode[] {
    return this.isolates.filter(
      (isolate) => !isolate.isDead && (region === undefined || isolate.region === region),
    );
  }
}
