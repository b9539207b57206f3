// Queued delivery beside two job queues on Postgres: how many jobs a second are stored, how long one takes
// to its receiver at a moderate rate. All through one receiver, one after the other, in one run.

import type { Bench, RunOptions } from "../bench.ts";
import { deliveryTable, measureAll, type DeliveryResult } from "./measure.ts";
import { startGraphile, startPgBoss, startTidegate } from "./queues.ts";

const startGateway = (receiver: string) => startTidegate(new URL(receiver).origin);

function measure(options: RunOptions): Promise<DeliveryResult> {
  return measureAll([startGateway, startPgBoss, startGraphile], options);
}

export const delivery: Bench<DeliveryResult> = { name: "delivery", measure, tables: deliveryTable };
