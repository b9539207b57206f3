// The proxies in turn, round by round, on the same requests; whatever else the machine does hits all alike.
import { readFileSync } from "node:fs";
import { Generator, startUpstream } from "../overhead/children.ts";
import { processorTimeMs } from "../overhead/processor-time.ts";
import { API_KEY } from "./policies.ts";
import type { Proxy } from "./proxies.ts";
import { startFastifyProxy, startHaproxy, startNginx, startSidecarProxy } from "./proxies.ts";

export interface Sample {
  readonly round: number;
  readonly proxy: string;
  readonly request: string;
  /** Of all its processes, per request; null where the system does not tell. */
  readonly cpuMicros: number | null;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Share of answers with status 200. */
  readonly asMeant: number;
}

export interface MeasureOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** Whether nginx and HAProxy are there. */
  readonly withPeers: boolean;
}

export interface MemoryResult {
  readonly requests: number;
  /** RSS after the warm-up and after each tenth of the requests. */
  readonly rssMiB: readonly number[];
}

const CONNECTIONS = 16;
/** Enough for just-in-time compilation, connections and the first collections of garbage. */
const MEMORY_WARM_UP_REQUESTS = 100_000;

const FIELDS = [
  "host: app.example.com",
  "user-agent: sidecar-bench/1.0 (closed loop)",
  "accept: application/json, text/plain, */*",
  "accept-encoding: gzip, br",
  "accept-language: en-GB,en;q=0.9",
  `x-api-key: ${API_KEY}`,
];
const BODY = JSON.stringify({ amount: 1200, currency: "EUR", note: "x".repeat(150) });

export const REQUESTS: Readonly<Record<string, string>> = {
  GET: `GET /v1/items/42?view=full HTTP/1.1\r\n${FIELDS.join("\r\n")}\r\n\r\n`,
  POST: [
    "POST /v1/items HTTP/1.1",
    ...FIELDS,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(BODY)}`,
    "",
    BODY,
  ].join("\r\n"),
};

export async function measureProxies(options: MeasureOptions): Promise<readonly Sample[]> {
  const generator = new Generator();
  const upstream = await startUpstream();
  const proxies = [await startFastifyProxy(upstream.url), await startSidecarProxy(upstream.url)];
  try {
    if (options.withPeers) proxies.push(await startNginx(upstream.url), await startHaproxy(upstream.url));
    for (const proxy of proxies) {
      for (const name of Object.keys(REQUESTS)) await load(generator, proxy, name, options.warmUpSeconds);
    }
    const samples: Sample[] = [];
    for (let round = 0; round < options.rounds; round++) {
      for (const proxy of round % 2 === 0 ? proxies : proxies.toReversed()) {
        for (const name of Object.keys(REQUESTS)) {
          samples.push(await measure(generator, proxy, name, round, options.seconds));
        }
      }
    }
    return samples;
  } finally {
    for (const proxy of proxies) proxy.stop();
    upstream.child.stop();
    generator.child.stop();
  }
}

/** How much memory the sidecar holds while it serves so many requests. */
export async function measureMemory(requests: number): Promise<MemoryResult> {
  const generator = new Generator();
  const upstream = await startUpstream();
  const proxy = await startSidecarProxy(upstream.url);
  try {
    await serve(generator, proxy, MEMORY_WARM_UP_REQUESTS);
    const rssMiB = [residentMiB(proxy)];
    let served = 0;
    for (let tenth = 0; tenth < 10; tenth++) {
      served += await serve(generator, proxy, requests / 10);
      rssMiB.push(residentMiB(proxy));
    }
    return { requests: served, rssMiB };
  } finally {
    proxy.stop();
    upstream.child.stop();
    generator.child.stop();
  }
}

async function serve(generator: Generator, proxy: Proxy, requests: number): Promise<number> {
  let served = 0;
  while (served < requests) {
    for (const name of Object.keys(REQUESTS)) served += (await load(generator, proxy, name, 1)).answers;
  }
  return served;
}

async function measure(
  generator: Generator,
  proxy: Proxy,
  request: string,
  round: number,
  seconds: number,
): Promise<Sample> {
  const before = processorTime(proxy);
  const result = await load(generator, proxy, request, seconds);
  const after = processorTime(proxy);
  return {
    round,
    proxy: proxy.name,
    request,
    cpuMicros: before === null || after === null ? null : ((after - before) * 1000) / result.answers,
    perSecond: result.perSecond,
    p50Ms: result.latencyMs.p50,
    p99Ms: result.latencyMs.p99,
    asMeant: (result.statuses["200"] ?? 0) / result.answers,
  };
}

function processorTime({ pids }: Proxy): number | null {
  const times = pids().map(processorTimeMs);
  return times.includes(null) ? null : times.reduce<number>((sum, time) => sum + (time ?? 0), 0);
}

function residentMiB({ pids }: Proxy): number {
  const [pid] = pids();
  const kib = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
  return Number(kib) / 1024;
}

function load(generator: Generator, { port }: Proxy, request: string, seconds: number) {
  return generator.run({
    port,
    requests: [REQUESTS[request]],
    seconds,
    connections: CONNECTIONS,
    ratePerSecond: null,
  });
}
