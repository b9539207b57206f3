// S1 through real HTTP: the gateway as `tidegate start` runs it, an upstream that serves ten requests of
// 100 ms at a time and lets the rest stand in line, and the open-loop generator. Each run has a gateway
// and an upstream of its own, so that nothing of one reaches into the next.
import type { ServerResponse } from "node:http";
import { runOpenLoop } from "../../cli/load/open-loop.ts";
import type { GatewayConfig } from "../../src/config/gateway-config.ts";
import { startGateway, startUpstream } from "../../test/integration/rig/index.ts";
import { SMALL_UPSTREAM, offeredRates } from "../../test/simulation/harness/scenarios.ts";

const { servers: SERVERS, serviceMs: SERVICE_MS } = SMALL_UPSTREAM;
const CAPACITY = (SERVERS * 1000) / SERVICE_MS;
const TIMES = [1, 1.5, 3, 5];
/** How long a client waits: an answer that comes later is of no use to it. */
const PATIENCE_MS = 2000;
const FOREVER = "5m";

export interface RealRow {
  readonly times: number;
  readonly policy: string;
  readonly successByClass: readonly number[];
  /** Answers with success per second, against the upstream's capacity. */
  readonly goodput: number;
  readonly p50P0Ms: number;
  readonly p99P0Ms: number;
  /** Whether the generator could keep up. */
  readonly keptUp: boolean;
}

export interface RealResult {
  readonly secondsPerRun: number;
  readonly patienceMs: number;
  readonly rows: readonly RealRow[];
}

type Upstreams = GatewayConfig["upstreams"];

interface Variant {
  readonly name: string;
  readonly upstream: Omit<Upstreams[string], "targets">;
  readonly oneClass: boolean;
}

const VARIANTS: readonly Variant[] = [
  { name: "tidegate", upstream: {}, oneClass: false },
  {
    name: "no shedding",
    upstream: {
      timeout: FOREVER,
      breaker: false,
      retry: false,
      concurrency: { max: 16_384, adaptive: false, waiting: 0 },
    },
    oneClass: true,
  },
  {
    name: "plain concurrency limit",
    upstream: { breaker: false, retry: false, concurrency: { max: SERVERS, adaptive: false, waiting: 0 } },
    oneClass: true,
  },
];

export async function overloadReally(quick: boolean): Promise<RealResult> {
  const secondsPerRun = quick ? 6 : 20;
  const rows: RealRow[] = [];
  for (const times of quick ? [3] : TIMES) {
    for (const variant of VARIANTS) rows.push(await runVariant(variant, times, secondsPerRun));
  }
  return { secondsPerRun, patienceMs: PATIENCE_MS, rows };
}

async function runVariant(variant: Variant, times: number, seconds: number): Promise<RealRow> {
  const upstream = await startUpstream(queueing());
  const gateway = await startGateway({ config: configOf(variant, upstream.url) });
  const rates = offeredRates(SMALL_UPSTREAM, times).slice(0, 3);
  try {
    const { paths, keptUp } = await runOpenLoop({
      url: gateway.url,
      rate: rates.reduce((sum, rate) => sum + rate, 0),
      seconds,
      mix: rates.map((rate, index) => ({ path: `/p${index}/x`, weight: rate })),
      timeoutMs: PATIENCE_MS,
    });
    const inTime = paths.map(({ ok, offered }) => (offered === 0 ? 1 : ok / offered));
    return {
      times,
      policy: variant.name,
      successByClass: inTime,
      goodput: paths.reduce((sum, { ok }) => sum + ok, 0) / seconds / CAPACITY,
      p50P0Ms: paths[0].okLatencyMs.p50,
      p99P0Ms: paths[0].okLatencyMs.p99,
      keptUp,
    };
  } finally {
    await gateway.stop();
    await upstream.stop();
  }
}

function configOf({ upstream, oneClass }: Variant, url: string): GatewayConfig {
  const classes = ["P0", "P1", "P2"] as const;
  return {
    upstreams: { shop: { targets: [url], ...upstream } },
    routes: classes.map((priority, index) => ({
      path: `/p${index}/*`,
      upstream: "shop",
      priority: oneClass ? "P1" : priority,
      deadline: upstream.timeout === FOREVER ? FOREVER : "30s",
    })),
  };
}

/** Ten at a time, first come first served, also those whose client has gone. */
function queueing(): (request: unknown, response: ServerResponse) => void {
  const line: ServerResponse[] = [];
  let serving = 0;
  const serveNext = (): void => {
    const response = serving < SERVERS ? line.shift() : undefined;
    if (response === undefined) return;
    serving++;
    setTimeout(() => {
      response.end("ok");
      serving--;
      serveNext();
    }, SERVICE_MS);
  };
  return (_, response) => {
    line.push(response);
    serveNext();
  };
}
