// S1 through real HTTP: each gateway in front of a server of its own, with open-loop load. Gateways take
// turns at each load, so that a busy minute of the machine meets all of them.
import type { AddressInfo } from "node:net";
import { report } from "../../cli/output.ts";
import { runOpenLoop, type LoadReport } from "../../cli/load/open-loop.ts";
import { SMALL_UPSTREAM, offeredRates } from "../../test/simulation/harness/scenarios.ts";
import { Child } from "../overhead/children.ts";
import { GATEWAYS, PATIENCE_MS, type GatewayKind } from "./gateways.ts";
import { installPeers, type Versions } from "./installed.ts";
import { SERVER } from "./server.ts";

const TIMES = [0.5, 1, 2, 5];
const QUICK_TIMES = [2];
const SECONDS = 11;
const QUICK_SECONDS = 5;
/** No run begins after this: the whole takes four minutes at most, and a slow machine leaves runs out. */
const LAST_START_MS = 225_000;

export interface HttpRow {
  readonly times: number;
  readonly gateway: string;
  /** P0, P1, P2. */
  readonly success: readonly number[];
  /** Answers with success per second, against the server's capacity. */
  readonly goodput: number;
  /** Of successes, from the intended start. */
  readonly p50P0Ms: number;
  readonly p99P0Ms: number;
  readonly p99P1Ms: number;
  readonly keptUp: boolean;
}

export interface HttpPeers {
  readonly versions: Versions;
  readonly capacity: number;
  readonly secondsPerRun: number;
  readonly patienceMs: number;
  readonly runsLeftOut: number;
  readonly rows: readonly HttpRow[];
}

/** null where there are no peers to stand beside. */
export async function measureHttpPeers(quick: boolean): Promise<HttpPeers | null> {
  const versions = installPeers();
  if (versions === null) return null;
  const secondsPerRun = quick ? QUICK_SECONDS : SECONDS;
  const startedAt = performance.now();
  const rows: HttpRow[] = [];
  let runsLeftOut = 0;
  for (const times of quick ? QUICK_TIMES : TIMES) {
    for (const gateway of GATEWAYS) {
      if (performance.now() - startedAt > LAST_START_MS) runsLeftOut++;
      else rows.push(await run(gateway, times, secondsPerRun));
    }
  }
  return { versions, capacity: capacity(), secondsPerRun, patienceMs: PATIENCE_MS, runsLeftOut, rows };
}

function capacity(): number {
  return (SERVER.places * 1000) / SERVER.serviceMs;
}

async function run(kind: GatewayKind, times: number, seconds: number): Promise<HttpRow> {
  const server = new Child("../peers/server.ts");
  try {
    const { port } = await server.ask<AddressInfo>(null);
    const gateway = await kind.start(port);
    try {
      const result = await load(gateway.urls, times, seconds);
      const row = rowOf(kind.name, times, seconds, result);
      report(`${times}x ${kind.name}: P0 ${row.success[0].toFixed(3)}, goodput ${row.goodput.toFixed(3)}`);
      return row;
    } finally {
      await gateway.stop();
    }
  } finally {
    server.stop();
  }
}

function load([url, ...otherUrls]: readonly string[], times: number, seconds: number): Promise<LoadReport> {
  const upstream = { ...SMALL_UPSTREAM, servers: SERVER.places, serviceMs: SERVER.serviceMs };
  const rates = offeredRates(upstream, times).slice(0, 3);
  return runOpenLoop({
    url,
    otherUrls,
    rate: rates.reduce((sum, rate) => sum + rate, 0),
    seconds,
    mix: rates.map((rate, index) => ({ path: `/p${index}/x`, weight: rate })),
    timeoutMs: PATIENCE_MS,
  });
}

function rowOf(gateway: string, times: number, seconds: number, { paths, keptUp }: LoadReport): HttpRow {
  return {
    times,
    gateway,
    success: paths.map(({ ok, offered }) => (offered === 0 ? 1 : ok / offered)),
    goodput: paths.reduce((sum, { ok }) => sum + ok, 0) / seconds / capacity(),
    p50P0Ms: paths[0].okLatencyMs.p50,
    p99P0Ms: paths[0].okLatencyMs.p99,
    p99P1Ms: paths[1].okLatencyMs.p99,
    keptUp,
  };
}
