// The overhead of the gateway: three Workers that proxy the same request to the same upstream, measured in
// turn in one run, round by round, so that whatever else the machine does hits all alike.
import { fileURLToPath } from "node:url";
import { PROXY_CASES, REFUSAL_CASES, type Case, type WorkerName } from "./cases.ts";
import { Generator, launchWorker, startUpstream, type Child } from "./children.ts";
import { overheadConfig } from "./gateway-config.ts";
import type { Launched } from "./launcher.ts";
import { processorTimeMs } from "./processor-time.ts";

export interface Sample {
  readonly round: number;
  readonly name: string;
  /** Of the Worker's process, per request; null where the system does not tell. */
  readonly cpuMicros: number | null;
  readonly perSecond: number;
  /** Share of the answers with the status that the case is about. */
  readonly asMeant: number;
  /** At a fixed rate; null for refusals. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

export interface OverheadOptions {
  readonly launches: number;
  /** Per launch. */
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

/** Fewer than an adaptive limit ever cuts to because of latency alone: nothing may be refused here. */
const CONNECTIONS = 16;
const SETTLE_SECONDS = 1;
export const OPEN_LOOP_RATE = 400;

type Workers = Readonly<Record<WorkerName, Launched>>;

interface Bench {
  readonly workers: Workers;
  readonly generator: Generator;
  readonly options: OverheadOptions;
}

const worker = (file: string): string => fileURLToPath(new URL(`workers/${file}`, import.meta.url));

export async function measureOverhead(options: OverheadOptions): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  for (let launch = 0; launch < options.launches; launch++) {
    samples.push(...(await measureLaunch(options, launch * options.rounds)));
  }
  return samples;
}

/** One set of processes: two of the same Worker can differ by some percent for as long as they live. */
async function measureLaunch(options: OverheadOptions, firstRound: number): Promise<readonly Sample[]> {
  const children: Child[] = [];
  try {
    const upstream = await startUpstream();
    const generator = new Generator();
    children.push(upstream.child, generator.child);
    const bindings = { UPSTREAM: upstream.url };
    const config = overheadConfig(upstream.url);
    const bare = await launchWorker({ main: worker("bare.ts"), config, bindings });
    const hono = await launchWorker({ main: worker("hono-proxy.ts"), config, bindings });
    const gateway = await launchWorker({ main: null, config, bindings: {} });
    children.push(bare.child, hono.child, gateway.child);
    const workers = { bare, "hono/proxy": hono, gateway };
    return await runRounds({ workers, generator, options }, firstRound);
  } finally {
    for (const child of children) child.stop();
  }
}

async function runRounds(bench: Bench, firstRound: number): Promise<readonly Sample[]> {
  const { rounds, warmUpSeconds } = bench.options;
  for (const one of [...PROXY_CASES, ...REFUSAL_CASES]) await load(bench, one, warmUpSeconds, null);
  const samples: Sample[] = [];
  for (let round = firstRound; round < firstRound + rounds; round++) {
    // Every other round goes backwards, so that none always follows the same one.
    const cases = round % 2 === 0 ? PROXY_CASES : PROXY_CASES.toReversed();
    for (const one of cases) samples.push(await measure(bench, one, round, true));
    for (const one of REFUSAL_CASES) {
      // A cursor that has not been needed for a while is back at the top.
      await load(bench, one, SETTLE_SECONDS, null);
      samples.push(await measure(bench, one, round, false));
    }
  }
  return samples;
}

async function measure(bench: Bench, one: Case, round: number, withLatency: boolean): Promise<Sample> {
  const { seconds } = bench.options;
  const pid = bench.workers[one.worker].workerdPid;
  const before = processorTimeMs(pid);
  const closed = await load(bench, one, seconds, null);
  const after = processorTimeMs(pid);
  const open = withLatency ? await load(bench, one, seconds, OPEN_LOOP_RATE) : null;
  return {
    round,
    name: one.name,
    cpuMicros: before === null || after === null ? null : ((after - before) * 1000) / closed.answers,
    perSecond: closed.perSecond,
    asMeant: (closed.statuses[one.status] ?? 0) / closed.answers,
    p50Ms: open?.latencyMs.p50 ?? null,
    p99Ms: open?.latencyMs.p99 ?? null,
  };
}

function load({ workers, generator }: Bench, one: Case, seconds: number, ratePerSecond: number | null) {
  const { port } = workers[one.worker];
  return generator.run({ port, requests: one.requests, seconds, connections: CONNECTIONS, ratePerSecond });
}
