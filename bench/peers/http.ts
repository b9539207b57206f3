// S1 through real HTTP: each gateway in front of a server of its own, with open-loop load. Gateways take
// turns at each load, so that a busy minute of the machine meets all of them. A run has two parts without a
// pause between them: the first, in which whoever has to learn something learns it, and the rest.
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { report } from "../../cli/output.ts";
import { runOpenLoop, type LoadReport } from "../../cli/load/open-loop.ts";
import { SMALL_UPSTREAM, offeredRates } from "../../test/simulation/harness/scenarios.ts";
import { Child } from "../overhead/children.ts";
import { GATEWAYS, PATIENCE_MS, type GatewayKind } from "./gateways.ts";
import { installPeers, type Versions } from "./installed.ts";
import { SERVER } from "./server.ts";

interface Load {
  /** Of the capacity. */
  readonly times: number;
  readonly coldSeconds: number;
  readonly settledSeconds: number;
}

const LOADS: readonly Load[] = [
  { times: 0.5, coldSeconds: 4, settledSeconds: 4 },
  { times: 1, coldSeconds: 5, settledSeconds: 5 },
  { times: 2, coldSeconds: 6, settledSeconds: 6 },
  { times: 5, coldSeconds: 10, settledSeconds: 8 },
];
const QUICK_LOADS: readonly Load[] = [{ times: 2, coldSeconds: 3, settledSeconds: 3 }];
/** No run begins after this: the whole takes four minutes at most, and a slow machine leaves runs out. */
const LAST_START_MS = 225_000;

export interface HttpRow {
  readonly times: number;
  readonly gateway: string;
  readonly cold: HttpPart;
  readonly settled: HttpPart;
}

export interface HttpPart {
  readonly seconds: number;
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
  readonly patienceMs: number;
  readonly runsLeftOut: number;
  readonly rows: readonly HttpRow[];
}

/** null where there are no peers to stand beside. */
export async function measureHttpPeers(quick: boolean): Promise<HttpPeers | null> {
  const versions = installPeers();
  if (versions === null) return null;
  const startedAt = performance.now();
  const rows: HttpRow[] = [];
  let runsLeftOut = 0;
  for (const load of quick ? QUICK_LOADS : LOADS) {
    for (const gateway of GATEWAYS) {
      if (performance.now() - startedAt > LAST_START_MS) runsLeftOut++;
      else rows.push(await run(gateway, load));
    }
  }
  return { versions, capacity: capacity(), patienceMs: PATIENCE_MS, runsLeftOut, rows };
}

function capacity(): number {
  return (SERVER.places * 1000) / SERVER.serviceMs;
}

async function run(kind: GatewayKind, { times, coldSeconds, settledSeconds }: Load): Promise<HttpRow> {
  const server = new Child("../peers/server.ts");
  try {
    const { port } = await server.ask<AddressInfo>(null);
    const gateway = await kind.start(port);
    try {
      const cold = offer(gateway.urls, times, coldSeconds, 1);
      await pause(coldSeconds * 1000);
      const settled = offer(gateway.urls, times, settledSeconds, 2);
      const row = { times, gateway: kind.name, cold: await cold, settled: await settled };
      const text = [row.cold, row.settled].map(({ success }) => success[0].toFixed(3)).join(", then ");
      report(`${times}x ${kind.name}: P0 ${text}`);
      return row;
    } finally {
      await gateway.stop();
    }
  } finally {
    server.stop();
  }
}

async function offer(
  [url, ...otherUrls]: readonly string[],
  times: number,
  seconds: number,
  seed: number,
): Promise<HttpPart> {
  const upstream = { ...SMALL_UPSTREAM, servers: SERVER.places, serviceMs: SERVER.serviceMs };
  const rates = offeredRates(upstream, times).slice(0, 3);
  const loadReport = await runOpenLoop({
    url,
    otherUrls,
    seed,
    rate: rates.reduce((sum, rate) => sum + rate, 0),
    seconds,
    mix: rates.map((rate, index) => ({ path: `/p${index}/x`, weight: rate })),
    timeoutMs: PATIENCE_MS,
  });
  return partOf(seconds, loadReport);
}

function partOf(seconds: number, { paths, keptUp }: LoadReport): HttpPart {
  return {
    seconds,
    success: paths.map(({ ok, offered }) => (offered === 0 ? 1 : ok / offered)),
    goodput: paths.reduce((sum, { ok }) => sum + ok, 0) / seconds / capacity(),
    p50P0Ms: paths[0].okLatencyMs.p50,
    p99P0Ms: paths[0].okLatencyMs.p99,
    p99P1Ms: paths[1].okLatencyMs.p99,
    keptUp,
  };
}
