// `npm run faults -- --seeds 100` injects faults inside the runtime, see failpoints.ts (`--only crash`:
// some).
//
// `npm run faults`: a long run of queued routes under faults, through `tidegate start`. Jobs go to an
// upstream that fails, and is down for a while; everything is killed with SIGKILL in the middle and started
// again on its data.
//
//   every job that was accepted ends, succeeded or dead with its reason
//   every one that succeeded has had its effect, and none that was not accepted
//   all tries of a job carry one idempotency key
//   effects of one key come in the order in which its jobs were accepted
import { parseArgs } from "node:util";
import { setTimeout as pause } from "node:timers/promises";
import { startRegions, type RunningRegions } from "../integration/rig/index.ts";
import { injectFaults } from "./failpoints.ts";
import { produce, type Accepted, type Produced } from "./producer.ts";
import { startReceiver, type Report } from "./receiver.ts";

const { values } = parseArgs({
  options: {
    jobs: { type: "string", default: "2000" },
    fail: { type: "string", default: "0.3" },
    "down-seconds": { type: "string", default: "20" },
    kills: { type: "string", default: "1" },
    rate: { type: "string", default: "60" },
    "give-up-seconds": { type: "string", default: "600" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    regions: { type: "string", default: "weur" },
    // Of the faults that are injected inside the runtime, instead of the long run.
    seeds: { type: "string" },
    only: { type: "string", default: "" },
  },
});

const JOBS = Number(values.jobs);
const KILLS = Number(values.kills);
const RATE = Number(values.rate);
const PER_KEY = 10;
const STATUS_BATCH = 50;

interface Ended {
  readonly accepted: Accepted;
  readonly status: string;
  readonly reason: string;
}

const startedAt = Date.now();

function say(text: string): void {
  console.log(`${((Date.now() - startedAt) / 1_000).toFixed(1).padStart(7)} s  ${text}`);
}

/** Uniform in [0, 1), the same for a seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function configFor(url: string): object {
  return {
    // What fails so often all the time would be taken for broken by the defaults, on the ramp above all.
    upstreams: {
      orders: {
        targets: [url],
        timeout: "2s",
        breaker: { failureRate: 0.7, consecutive: 8, probes: 1, maxOpenFor: "3s", rampUp: 0 },
      },
    },
    queues: {
      orders: {
        upstream: "orders",
        orderBy: "header:x-order-id",
        retry: { attempts: 20, delay: "500ms", maxDelay: "10s" },
      },
    },
    routes: [{ path: "/v1/orders", methods: ["POST"], queue: "orders" }],
  };
}

async function main(): Promise<number> {
  say(`seed ${values.seed}: ${JOBS} jobs, failing ${values.fail}, down ${values["down-seconds"]} s`);
  const receiver = await startReceiver(Number(values.fail), randomOf(Number(values.seed)));
  const regions = values.regions.split(",");
  const gateway = await startRegions({ config: configFor(receiver.url), regions });
  const produced: Produced = { accepted: [], unanswered: new Set(), refused: 0 };
  let turn = 0;
  const url = (): string => gateway.url(regions[turn++ % regions.length]);
  try {
    const production = produce({ jobs: JOBS, perKey: PER_KEY, jobsPerSecond: RATE, url }, produced);
    await disturb(gateway, (ms) => receiver.goDown(ms));
    await production;
    say(`${produced.accepted.length} accepted, ${produced.unanswered.size} lost their answer`);
    const ended = await untilEnded(gateway, regions[0], produced.accepted);
    return judge(produced, ended, receiver.report);
  } finally {
    await gateway.stop();
    receiver.stop();
  }
}

/** Down after a quarter of the load, killed while it is down, and as often as asked for after that. */
async function disturb(gateway: RunningRegions, goDown: (ms: number) => Promise<void>): Promise<void> {
  const loadMs = (JOBS / RATE) * 1_000;
  const downMs = Number(values["down-seconds"]) * 1_000;
  await pause(loadMs / 4);
  say("the upstream is down");
  const down = goDown(downMs).then(() => say("the upstream is up"));
  await pause(downMs / 2);
  for (let kill = 0; kill < KILLS; kill++) {
    await gateway.kill();
    say("killed");
    await gateway.restart();
    say("started again");
    await pause(loadMs / 4 / KILLS);
  }
  await down;
}

async function untilEnded(
  gateway: RunningRegions,
  region: string,
  accepted: readonly Accepted[],
): Promise<readonly Ended[]> {
  const ended: Ended[] = [];
  let open = [...accepted];
  const giveUpAt = Date.now() + Number(values["give-up-seconds"]) * 1_000;
  while (open.length > 0 && Date.now() < giveUpAt) {
    const left: Accepted[] = [];
    for (let at = 0; at < open.length; at += STATUS_BATCH) {
      const part = open.slice(at, at + STATUS_BATCH);
      const jobs = await Promise.all(part.map((each) => statusOf(gateway.url(region), each)));
      for (const job of jobs) {
        if (/^(?:queued|running|deferred)$/.test(job.status)) left.push(job.accepted);
        else ended.push(job);
      }
    }
    if (left.length < open.length) say(`${left.length} jobs left`);
    open = left;
    await pause(1_000);
  }
  for (const each of open) ended.push(await statusOf(gateway.url(region), each));
  const reasons = await deadReasons(gateway, region);
  return ended.map((job) => ({ ...job, reason: reasons.get(idOf(job.accepted)) ?? "" }));
}

/** Why jobs are dead, by id. */
async function deadReasons(gateway: RunningRegions, region: string): Promise<ReadonlyMap<string, string>> {
  const reasons = new Map<string, string>();
  const headers = { authorization: `Bearer ${gateway.adminToken}` };
  for (
    let page = `${gateway.url(region)}/_gateway/dead-letters/orders`, after: string | null = "";
    after !== null;
  ) {
    const query = after === "" ? "" : `?after=${encodeURIComponent(after)}`;
    const list: unknown = await (await fetch(page + query, { headers })).json();
    const items: unknown = typeof list === "object" && list !== null ? Reflect.get(list, "items") : [];
    for (const item of Array.isArray(items) ? items : []) {
      reasons.set(textAt(item, "id") ?? "", textAt(item, "reason") ?? "");
    }
    after = textAt(list, "next");
  }
  return reasons;
}

function idOf({ location }: Accepted): string {
  return location.split("/").at(-1) ?? "";
}

async function statusOf(url: string, accepted: Accepted): Promise<Ended> {
  const response = await fetch(url + accepted.location);
  const job: unknown = await response.json();
  return {
    accepted,
    status: textAt(job, "status") ?? `HTTP ${response.status}`,
    reason: "",
  };
}

function textAt(value: unknown, name: string): string | null {
  const field: unknown = typeof value === "object" && value !== null ? Reflect.get(value, name) : null;
  return typeof field === "string" ? field : null;
}

function judge({ accepted, unanswered, refused }: Produced, ended: readonly Ended[], report: Report): number {
  const { effects, keys, places, regressions } = report;
  const counts = Map.groupBy(ended, ({ status }) => status);
  const known = new Set(accepted.map(({ order }) => order.job));
  const dead = counts.get("dead") ?? [];
  const succeeded = counts.get("succeeded") ?? [];
  const sum = [...counts].map(([status, jobs]) => `${jobs.length} ${status}`).join(", ");
  say(`${sum}; ${report.tries} tries, ${report.failures} failed, ${report.repeated} of jobs that were done`);
  say(`${refused} answers that asked to come again; ${places.size} keys`);
  const checks: readonly (readonly [string, number])[] = [
    ["jobs that did not end", ended.length - succeeded.length - dead.length],
    ["dead jobs without a reason", dead.filter(({ reason }) => reason === "").length],
    [
      "succeeded without an effect",
      succeeded.filter(({ accepted: { order } }) => !effects.has(order.job)).length,
    ],
    [
      "effects nobody asked for",
      [...effects].filter((job) => !known.has(job) && !unanswered.has(job)).length,
    ],
    ["jobs with two keys", [...keys.values()].filter((each) => each.size > 1).length],
    ["tries after a later one's effect", regressions.length],
    ["keys out of order", [...places.values()].filter((each) => !isAscending(each)).length],
    ["jobs that two clients' answers name", accepted.length - new Set(accepted.map((a) => a.location)).size],
  ];
  for (const [what, count] of checks) say(`${count === 0 ? "ok    " : "FAILED"} ${what}: ${count}`);
  for (const other of ended.filter((job) => job.status !== "succeeded").slice(0, 5)) {
    say(`${other.accepted.location} ${other.status}: ${other.reason}`);
  }
  return checks.some(([, count]) => count > 0) ? 1 : 0;
}

function isAscending(places: readonly number[]): boolean {
  return places.every((place, index) => index === 0 || place > places[index - 1]);
}

async function inject(seeds: number): Promise<number> {
  return (await injectFaults(seeds, values.only)) ? 0 : 1;
}

process.exit(await (values.seeds === undefined ? main() : inject(Number(values.seeds))));
