// Sagas of five steps through the gateway as `npm start` runs it, with real workflow instances and four
// services beside it: how many end per second, and how long one takes from its start to its end.

import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import type { RunningCheckout } from "../../test/integration/rig/checkout.ts";
import { startCheckout } from "../../test/integration/rig/checkout.ts";
import { workerdOf } from "../../test/integration/rig/index.ts";
import type { Bench, RunOptions } from "../bench.ts";
import { markdownTable } from "../markdown.ts";
import type { CostRow } from "./costs.ts";
import { STEPS, sagaCosts } from "./costs.ts";

/** No step fails here, however slow the machine is. */
const STEP_TIMEOUT_MS = 60_000;
const GIVE_UP_MS = 300_000;
const POLL_MS = 100;
/** Linux counts CPU time in hundredths of a second. */
const TICK_MS = 10;

export interface SagasResult {
  readonly burst: number;
  readonly startedPerSecond: number;
  readonly endedPerSecond: number;
  readonly cpuMsPerSaga: number;
  readonly steadyPerSecond: number;
  readonly steadySeconds: number;
  /** Sent to ended, at the steady rate. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly notCompleted: number;
  readonly costs: readonly CostRow[];
}

async function measure({ quick }: RunOptions): Promise<SagasResult> {
  const checkout = await startCheckout(STEP_TIMEOUT_MS, STEP_TIMEOUT_MS);
  try {
    const steadyPerSecond = 5;
    const steadySeconds = quick ? 4 : 20;
    for (let warm = 0; warm < 5; warm++) await runOne(checkout, `warm-${warm}`);
    const tookMs = await runSteady(checkout, steadyPerSecond, steadySeconds);
    const burst = await runBurst(checkout, quick ? 40 : 300);
    const counts = await countsOf(checkout);
    const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
    const sorted = tookMs.toSorted((one, other) => one - other);
    return {
      ...burst,
      steadyPerSecond,
      steadySeconds,
      p50Ms: sorted[Math.floor(sorted.length * 0.5)] ?? Number.NaN,
      p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN,
      notCompleted: all - (counts.get("completed") ?? 0),
      costs: sagaCosts(burst.cpuMsPerSaga),
    };
  } finally {
    await checkout.stop();
  }
}

/** Ms from sending a start to the answer that it has ended; one that takes longer is asked for. */
async function runOne(checkout: RunningCheckout, order: string): Promise<number> {
  const from = performance.now();
  const response = await checkout.start(order, { prefer: "wait=10" });
  await response.arrayBuffer();
  const location = response.headers.get("location");
  if (location === null) throw new Error(`${order} was not accepted: ${response.status}`);
  if (response.status !== 200) await checkout.rest(location, GIVE_UP_MS);
  return performance.now() - from;
}

async function runSteady(checkout: RunningCheckout, perSecond: number, seconds: number): Promise<number[]> {
  const from = performance.now();
  const running: Promise<number>[] = [];
  for (let sent = 0; sent < perSecond * seconds; sent++) {
    await pause(Math.max(0, from + (sent * 1_000) / perSecond - performance.now()));
    running.push(runOne(checkout, `steady-${sent}`));
  }
  return Promise.all(running);
}

async function runBurst(checkout: RunningCheckout, burst: number) {
  const process = workerdOf(checkout.gateway.pid());
  const before = (await countsOf(checkout)).get("completed") ?? 0;
  const cpuFrom = cpuMsOf(process);
  const from = performance.now();
  await Promise.all(Array.from({ length: burst }, (_, index) => checkout.begin(`burst-${index}`)));
  const startedMs = performance.now() - from;
  while (((await countsOf(checkout)).get("completed") ?? 0) < before + burst) {
    if (performance.now() > from + GIVE_UP_MS) throw new Error("the burst does not end");
    await pause(POLL_MS);
  }
  const endedMs = performance.now() - from;
  return {
    burst,
    startedPerSecond: (burst * 1_000) / startedMs,
    endedPerSecond: (burst * 1_000) / endedMs,
    cpuMsPerSaga: (cpuMsOf(process) - cpuFrom) / burst,
  };
}

async function countsOf(checkout: RunningCheckout): Promise<ReadonlyMap<string, number>> {
  const state: unknown = await (await checkout.admin("GET", "/_gateway/state")).json();
  const sagas: unknown = typeof state === "object" && state !== null ? Reflect.get(state, "sagas") : null;
  if (typeof sagas !== "object" || sagas === null) throw new Error("the gateway counts no sagas");
  return new Map(Object.entries(sagas).map(([name, count]) => [name, Number(count)]));
}

/** User and system time of a process (proc(5), fields 14 and 15 of stat); NaN where there is no /proc. */
function cpuMsOf(pid: number): number {
  try {
    const [, rest] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ");
    const fields = rest.split(" ");
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  } catch {
    return Number.NaN;
  }
}

function tables(result: SagasResult): string {
  const { burst, steadyPerSecond, steadySeconds, costs } = result;
  const measured = markdownTable([
    [
      `sagas of ${STEPS} steps`,
      `started per s, ${burst} at once`,
      "ended per s",
      "CPU ms each",
      `p50 at ${steadyPerSecond}/s for ${steadySeconds} s, ms`,
      "p99, ms",
      "not completed",
    ],
    [
      "Tidegate",
      result.startedPerSecond.toFixed(0),
      result.endedPerSecond.toFixed(1),
      result.cpuMsPerSaga.toFixed(1),
      result.p50Ms.toFixed(0),
      result.p99Ms.toFixed(0),
      result.notCompleted,
    ],
  ]);
  const total = costs.reduce((sum, { dollarsPerMillion }) => sum + dollarsPerMillion, 0);
  const priced = markdownTable([
    ["a million sagas, list price", "of each", "$"],
    ...costs.map(({ what, perSaga, dollarsPerMillion }) => [
      what,
      Number.isInteger(perSaga) ? perSaga : perSaga.toFixed(1),
      dollarsPerMillion.toFixed(2),
    ]),
    ["all", "", total.toFixed(2)],
  ]);
  return `${measured}\n\n${priced}`;
}

export const sagas: Bench<SagasResult> = { name: "sagas", measure, tables };
