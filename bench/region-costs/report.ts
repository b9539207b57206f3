// What the hub costs: Durable Object calls and rows written by million gateway requests, over how much
// traffic one isolate sees, and what a region costs in a month whether there is traffic or not.
import type { Bench } from "../bench.ts";
import { markdownTable, type Cell } from "../markdown.ts";
import type { Bill } from "./hub-model.ts";
import type { Traffic } from "./isolate-model.ts";
import { IDLE_COUNTED_MS, countIdle, countTraffic, perMillion, perRegionSecond } from "./measure.ts";
import {
  GIGABYTE_SECONDS,
  MONTH_SECONDS,
  OBJECT_GIGABYTES,
  OBJECT_REQUESTS,
  ROWS_WRITTEN,
  WORKER_REQUESTS,
} from "./prices.ts";

const TRAFFIC: Readonly<Record<string, Traffic>> = {
  "no limits, no counters": { counterKeys: 0, limitKeys: 0 },
  "a usage counter with 1 key": { counterKeys: 1, limitKeys: 0 },
  "a usage counter with 1000 keys": { counterKeys: 1_000, limitKeys: 0 },
  "a global limit, 1000 keys": { counterKeys: 0, limitKeys: 1_000 },
};
const COUNTERS = ["a usage counter with 1 key", "a usage counter with 1000 keys"] as const;
const RATES = [0.1, 1, 10, 100, 1_000] as const;
const REGIONS = [1, 3, 11] as const;
/** So much simulated time is counted, and at least so many requests of an isolate. */
const COUNTED_MS = 60_000;
const COUNTED_REQUESTS = 150;
const ROUNDS_PER_SECOND = 1;
const MILLION = 1_000_000;

export interface TrafficRow {
  readonly traffic: string;
  readonly regions: number;
  readonly perSecond: number;
  readonly requests: number;
  readonly refused: number;
  readonly perMillion: Bill;
}

export interface RegionRow {
  readonly state: string;
  readonly regions: number;
  readonly perRegionSecond: Bill;
}

export interface CostsResult {
  readonly traffic: readonly TrafficRow[];
  readonly regions: readonly RegionRow[];
}

export const regionCosts: Bench<CostsResult> = {
  name: "region-costs",
  measure: async ({ quick }) => ({
    traffic: [
      ...Object.keys(TRAFFIC).flatMap((traffic) => RATES.map((rate) => trafficRow(traffic, 1, rate))),
      ...COUNTERS.flatMap((traffic) =>
        (quick ? [3] : [3, 11]).flatMap((regions) => RATES.map((rate) => trafficRow(traffic, regions, rate))),
      ),
    ],
    regions: REGIONS.flatMap(regionRows),
  }),
  tables: (result) =>
    [
      "By million gateway requests, one isolate in one region; without the rounds, which the last table has.",
      callsTable(result.traffic),
      "Counters in several regions, one isolate in each: rows by million requests, those of a region's own " +
        "reports and those that it stores of the others, and USD with all calls.",
      counterTable(result.traffic),
      "One region's rounds, by second and in a month of 30 days.",
      monthTable(result.regions),
    ].join("\n\n"),
};

function trafficRow(traffic: string, regions: number, perSecond: number): TrafficRow {
  const forMs = Math.max(COUNTED_MS, (COUNTED_REQUESTS / perSecond) * 1_000);
  const counted = countTraffic({ traffic: TRAFFIC[traffic], regions, perSecond, forMs });
  const { requests, refused } = counted;
  return { traffic, regions, perSecond, requests, refused, perMillion: perMillion(counted) };
}

/** What rounds cost: while every region is used and counts, while it is used alone, and in silence. */
function regionRows(regions: number): RegionRow[] {
  const [nothing, counter] = Object.values(TRAFFIC);
  const setting = { traffic: counter, regions, perSecond: ROUNDS_PER_SECOND, forMs: 2 * COUNTED_MS };
  const row = (state: string, counted: ReturnType<typeof countTraffic>, ms: number): RegionRow => ({
    state,
    regions,
    perRegionSecond: perRegionSecond(counted, regions, ms),
  });
  const rows = [
    row("active, counting", countTraffic(setting), setting.forMs),
    row("active, nothing to tell", countTraffic({ ...setting, traffic: nothing }), setting.forMs),
    row("idle", countIdle(setting, false), IDLE_COUNTED_MS),
  ];
  if (regions > 1) rows.push(row("idle, one out of reach", countIdle(setting, true), IDLE_COUNTED_MS));
  return rows;
}

function callsTable(rows: readonly TrafficRow[]): string {
  const headings = [
    "",
    "requests/s of the isolate",
    "syncs",
    "lease asks",
    "calls/s of the isolate",
    "rows",
    "USD",
    "of the Worker's own price",
  ];
  const lines = rows
    .filter(({ regions }) => regions === 1)
    .map(({ traffic, perSecond, perMillion: bill }): Cell[] => {
      const calls = bill.syncs + bill.asks;
      const usd = usdOfTraffic(bill);
      return [
        traffic,
        perSecond,
        count(bill.syncs),
        count(bill.asks),
        ((calls * perSecond) / MILLION).toFixed(2),
        count(bill.rows),
        usd.toFixed(3),
        `${((usd / WORKER_REQUESTS) * 100).toFixed(0)} %`,
      ];
    });
  return markdownTable([headings, ...lines]);
}

function counterTable(rows: readonly TrafficRow[]): string {
  const headings = ["", "requests/s of each isolate"];
  for (const regions of REGIONS) {
    const where = regions === 1 ? "1 region" : `${regions} regions`;
    headings.push(`${where}: own`, "of others", "USD");
  }
  const lines = COUNTERS.flatMap((traffic) =>
    RATES.map((perSecond): Cell[] => {
      const cells: Cell[] = [traffic, perSecond];
      for (const regions of REGIONS) {
        const row = rows.find(
          (one) => one.traffic === traffic && one.perSecond === perSecond && one.regions === regions,
        );
        if (row === undefined) cells.push("", "", "");
        else {
          const { rows: own, foreignRows } = row.perMillion;
          cells.push(count(own), count(foreignRows), usdOfTraffic(row.perMillion).toFixed(2));
        }
      }
      return cells;
    }),
  );
  return markdownTable([headings, ...lines]);
}

function monthTable(rows: readonly RegionRow[]): string {
  const headings = [
    "",
    "regions",
    "alarms/s",
    "calls/s",
    "USD calls",
    "USD alarm rows",
    "USD awake",
    "USD in all",
  ];
  const lines = rows.map(({ state, regions, perRegionSecond: bill }): Cell[] => {
    const calls = inMonth(bill.alarms + bill.exchanges, OBJECT_REQUESTS);
    const alarmRows = inMonth(bill.alarmRows, ROWS_WRITTEN);
    const isAwake = bill.alarms >= ROUNDS_PER_SECOND / 2;
    const awake = isAwake ? inMonth(OBJECT_GIGABYTES, GIGABYTE_SECONDS) : 0;
    return [
      state,
      regions,
      bill.alarms.toFixed(2),
      bill.exchanges.toFixed(2),
      calls.toFixed(2),
      alarmRows.toFixed(2),
      awake.toFixed(2),
      (calls + alarmRows + awake).toFixed(2),
    ];
  });
  return markdownTable([headings, ...lines]);
}

/** USD in a month of something that happens so often; `price`: of a million. */
function inMonth(perSecond: number, price: number): number {
  return (perSecond * MONTH_SECONDS * price) / MILLION;
}

/** What requests cause: calls of isolates, and rows of what they reported. */
function usdOfTraffic({ syncs, asks, rows, foreignRows }: Bill): number {
  return ((syncs + asks) * OBJECT_REQUESTS + (rows + foreignRows) * ROWS_WRITTEN) / MILLION;
}

function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
