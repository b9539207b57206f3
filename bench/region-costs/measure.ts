// Runs a world of hubs with one isolate each and gives what was billed, by million requests and by second.
import { LOCATION_HINTS } from "../../src/region/placement.ts";
import { createRandom } from "../../src/resilience/random.ts";
import type { Bill, World } from "./hub-model.ts";
import { HubModel, NO_BILL } from "./hub-model.ts";
import type { Traffic } from "./isolate-model.ts";
import { IsolateModel } from "./isolate-model.ts";
import { Timeline } from "./timeline.ts";

const FIRST_MS = 1_790_000_000_000;
const SEED = 20_261_124;
const MILLION = 1_000_000;
/** Regions have found each other and windows are full. */
const WARM_UP_MS = 70_000;
const QUIET_AFTER_MS = 600_000;
const IDLE_MS = 3_600_000;
/** A region falls out so long before the traffic ends. */
const CUT_BEFORE_MS = 5_000;

export interface Setting {
  readonly traffic: Traffic;
  readonly regions: number;
  readonly perSecond: number;
  /** Simulated time that is counted. */
  readonly forMs: number;
}

export interface Counted {
  readonly requests: number;
  readonly refused: number;
  readonly bill: Bill;
}

class Model {
  readonly world: World;
  readonly isolates: readonly IsolateModel[];

  constructor({ traffic, regions, perSecond }: Setting) {
    this.world = {
      time: new Timeline(FIRST_MS),
      random: createRandom(SEED),
      hubs: new Map(),
      cut: new Set(),
    };
    const { hubs } = this.world;
    for (const region of LOCATION_HINTS.slice(0, regions)) hubs.set(region, new HubModel(this.world, region));
    this.isolates = [...hubs].map(
      ([region, hub]) => new IsolateModel(this.world, hub, region, traffic, perSecond),
    );
  }

  run(ms: number): void {
    this.world.time.runUntil(this.world.time.now + ms);
  }

  /** What happens in the next `ms`. */
  count(ms: number): Counted {
    const before = this.#counted();
    this.run(ms);
    const after = this.#counted();
    return {
      requests: after.requests - before.requests,
      refused: after.refused - before.refused,
      bill: mapBill((line) => after.bill[line] - before.bill[line]),
    };
  }

  #counted(): Counted {
    const bills = [...this.world.hubs.values()].map(({ bill }) => bill);
    return {
      requests: this.isolates.reduce((sum, { requests }) => sum + requests, 0),
      refused: this.isolates.reduce((sum, { refused }) => sum + refused, 0),
      bill: mapBill((line) => bills.reduce((sum, bill) => sum + bill[line], 0)),
    };
  }
}

/** Under traffic. */
export function countTraffic(setting: Setting): Counted {
  const model = new Model(setting);
  model.run(WARM_UP_MS);
  return model.count(setting.forMs);
}

/** An hour that begins ten minutes after the last request; `isCut`: with one region out of reach. */
export function countIdle(setting: Setting, isCut: boolean): Counted {
  const model = new Model(setting);
  model.run(WARM_UP_MS + setting.forMs - CUT_BEFORE_MS);
  if (isCut) model.world.cut.add(LOCATION_HINTS[0]);
  model.run(CUT_BEFORE_MS);
  for (const isolate of model.isolates) isolate.isStopped = true;
  model.run(QUIET_AFTER_MS);
  return model.count(IDLE_MS);
}

/** By million requests. */
export function perMillion({ bill, requests }: Counted): Bill {
  return mapBill((line) => (bill[line] * MILLION) / requests);
}

/** By region and second. */
export function perRegionSecond({ bill }: Counted, regions: number, ms: number): Bill {
  return mapBill((line) => (bill[line] * 1_000) / regions / ms);
}

export const IDLE_COUNTED_MS = IDLE_MS;

function mapBill(value: (line: keyof Bill) => number): Bill {
  const bill: Bill = { ...NO_BILL };
  const lines: readonly (keyof Bill)[] = [
    "syncs",
    "asks",
    "rows",
    "foreignRows",
    "alarms",
    "alarmRows",
    "exchanges",
  ];
  for (const line of lines) bill[line] = value(line);
  return bill;
}
