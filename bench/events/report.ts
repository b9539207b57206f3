// Events through the gateway: how many a second are stored, how long one takes to whoever hears it, and
// what a million of them cost at list price.

import type { Bench, RunOptions } from "../bench.ts";
import { deliveryTable, measureAll, type DeliveryResult } from "../delivery/measure.ts";
import { markdownTable } from "../markdown.ts";
import { startPull, startRelay, startWebhook } from "./ways.ts";

/** Rows written, deletions included: what test/workers/events.test.ts counts, rounded up. */
const ROWS_OF_EVENT = 4.1;
const ROWS_OF_SUBSCRIPTION = 4.3;
/** Dollars per million: rows written, calls of objects, and three operations of a queue for each message. */
const ROW_PRICE = 1;
const CALL_PRICE = 0.15;
const MESSAGE_PRICE = 1.2;
/** Calls of objects for one event: it is published by itself; the rest is done for many at once. */
const CALLS_OF_EVENT = 1;
const CALLS_OF_SUBSCRIPTION = 0.2;

function measure(options: RunOptions): Promise<DeliveryResult> {
  return measureAll([startWebhook, startPull, startRelay], options);
}

/** Of a million events at list price, requests to the Worker aside. */
export function priceOfMillion(subscriptions: { readonly sent: number; readonly pulled: number }): number {
  const { sent, pulled } = subscriptions;
  const event = ROWS_OF_EVENT * ROW_PRICE + CALLS_OF_EVENT * CALL_PRICE;
  const each = ROWS_OF_SUBSCRIPTION * ROW_PRICE + CALLS_OF_SUBSCRIPTION * CALL_PRICE;
  return event + (sent + pulled) * each + sent * MESSAGE_PRICE;
}

function tables(result: DeliveryResult): string {
  const costs = [
    ["nobody", priceOfMillion({ sent: 0, pulled: 0 })],
    ["one that pulls", priceOfMillion({ sent: 0, pulled: 1 })],
    ["one webhook", priceOfMillion({ sent: 1, pulled: 0 })],
    ["three webhooks", priceOfMillion({ sent: 3, pulled: 0 })],
  ] as const;
  const rows = costs.map(([who, dollars]) => [who, `$${dollars.toFixed(2)}`]);
  return `${deliveryTable(result)}\n\n${markdownTable([["heard by", "a million events"], ...rows])}`;
}

export const events: Bench<DeliveryResult> = { name: "events", measure, tables };
