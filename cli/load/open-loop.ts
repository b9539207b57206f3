// An open-loop load generator: requests start at times that were fixed before, whatever the answers do.
// Latency counts from the intended start. It says when this machine could not keep up.
import { Pool } from "undici";
import { fieldOf, parseJson } from "../fields.ts";
import { arrivalGapMs, weightedChoice, type ArrivalProcess } from "./arrivals.ts";
import { seededRandom } from "./random.ts";
import { PathTally, type PathReport } from "./tally.ts";

export interface LoadTarget {
  readonly path: string;
  /** Share of the requests, relative to the sum of all weights. */
  readonly weight: number;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface LoadOptions {
  /** Origin, e.g. `http://127.0.0.1:8787`. */
  readonly url: string;
  /** More origins of the same gateway: requests go to all of them in turn. */
  readonly otherUrls?: readonly string[];
  /** Requests per second. */
  readonly rate: number;
  readonly seconds: number;
  readonly mix: readonly LoadTarget[];
  /** Each request claims one of this many client addresses (`cf-connecting-ip`); default 300, 0: none. */
  readonly addresses?: number;
  readonly arrivals?: ArrivalProcess;
  readonly seed?: number;
  /** One request, until its whole answer is there; default 30 s. */
  readonly timeoutMs?: number;
}

export interface LoadReport {
  readonly seed: number;
  readonly offered: number;
  /** Requests that really started. */
  readonly started: number;
  /** Started more than `LATE_MS` after the intended time. */
  readonly late: number;
  readonly maxLateMs: number;
  readonly dropped: number;
  /** Starts per second, over the time in which they were meant to start. */
  readonly achievedRate: number;
  /** Less than 1% of the requests late or dropped: the numbers say something about the gateway. */
  readonly keptUp: boolean;
  readonly paths: readonly PathReport[];
}

/** A start that is later than this is the generator's fault. */
export const LATE_MS = 10;
/** More than this many at once and further starts are dropped. */
export const MAX_IN_FLIGHT = 10_000;
const KEPT_UP_SHARE = 0.01;
const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_ADDRESSES = 300;

interface Run {
  readonly options: LoadOptions;
  readonly pools: readonly Pool[];
  readonly random: () => number;
  readonly tallies: readonly PathTally[];
  readonly pending: Set<Promise<void>>;
  started: number;
  late: number;
  maxLateMs: number;
}

/** Runs the load and waits for its last answer. */
export async function runOpenLoop(options: LoadOptions): Promise<LoadReport> {
  const { seed = 1, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  const settings = {
    connections: null,
    pipelining: 1,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  };
  const pools = [options.url, ...(options.otherUrls ?? [])].map((url) => new Pool(url, settings));
  const tallies = options.mix.map(({ path }) => new PathTally(path));
  const run: Run = {
    options,
    pools,
    random: seededRandom(seed),
    tallies,
    pending: new Set(),
    started: 0,
    late: 0,
    maxLateMs: 0,
  };
  await startAll(run);
  await Promise.all(run.pending);
  await Promise.all(pools.map((pool) => pool.close()));
  return summarise(run, seed);
}

async function startAll(run: Run): Promise<void> {
  const { rate, seconds, mix, arrivals = "poisson" } = run.options;
  const weights = mix.map(({ weight }) => weight);
  const firstMs = performance.now();
  const lastsMs = seconds * 1000;
  // Counted from the first start: added to the clock's own fractions, sums would round now up, now down.
  let offsetMs = arrivalGapMs(arrivals, rate, run.random);
  while (offsetMs < lastsMs) {
    const waitMs = firstMs + offsetMs - performance.now();
    // A timer is exact to a millisecond; what is due by then starts together.
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    while (offsetMs < lastsMs && firstMs + offsetMs <= performance.now()) {
      startOne(run, weightedChoice(weights, run.random), firstMs + offsetMs);
      offsetMs += arrivalGapMs(arrivals, rate, run.random);
    }
  }
}

function startOne(run: Run, index: number, intendedMs: number): void {
  const tally = run.tallies[index];
  tally.offered++;
  if (run.pending.size >= MAX_IN_FLIGHT) {
    tally.dropped++;
    return;
  }
  const lateMs = performance.now() - intendedMs;
  if (lateMs > LATE_MS) run.late++;
  run.maxLateMs = Math.max(run.maxLateMs, lateMs);
  const pool = run.pools[run.started % run.pools.length];
  run.started++;
  const done: Promise<void> = send(run, pool, run.options.mix[index], tally, intendedMs).finally(() => {
    run.pending.delete(done);
  });
  run.pending.add(done);
}

async function send(
  run: Run,
  pool: Pool,
  target: LoadTarget,
  tally: PathTally,
  intendedMs: number,
): Promise<void> {
  const { path, method = "GET" } = target;
  const { addresses = DEFAULT_ADDRESSES } = run.options;
  const claimed =
    addresses > 0 ? { "cf-connecting-ip": clientAddress(Math.floor(run.random() * addresses)) } : {};
  try {
    const { statusCode, headers, body } = await pool.request({
      path,
      method,
      headers: { ...claimed, ...target.headers },
    });
    const isProblem = String(headers["content-type"]).startsWith("application/problem+json");
    const code = isProblem ? problemCode(await body.text()) : null;
    if (!isProblem) await body.dump({ limit: Number.MAX_SAFE_INTEGER });
    tally.record({ status: statusCode, code, latencyMs: performance.now() - intendedMs });
  } catch {
    tally.errors++;
  }
}

/** Addresses of 198.18.0.0/15, which is set aside for load tests (RFC 2544). */
function clientAddress(index: number): string {
  return `198.${18 + ((index >> 16) & 1)}.${(index >> 8) & 255}.${index & 255}`;
}

function problemCode(body: string): string | null {
  const code = fieldOf(parseJson(body), "code");
  return typeof code === "string" ? code : null;
}

function summarise({ tallies, options, started, late, maxLateMs }: Run, seed: number): LoadReport {
  const paths = tallies.map((tally) => tally.report());
  const sum = (of: (path: PathReport) => number): number =>
    paths.reduce((total, path) => total + of(path), 0);
  const offered = sum((path) => path.offered);
  const dropped = sum((path) => path.dropped);
  return {
    seed,
    offered,
    started,
    late,
    maxLateMs,
    dropped,
    achievedRate: started / options.seconds,
    keptUp: late + dropped <= offered * KEPT_UP_SHARE,
    paths,
  };
}
