// One gateway four times: without a receiver for spans, and with one for none, a hundredth and all of its
// traces. Requests have no parent, so the ratio decides. They take turns, so that whatever else the machine
// does hits all alike.
import { createServer, type Server } from "node:http";
import { PROXY_CASES } from "../overhead/cases.ts";
import { Generator, launchWorker, startUpstream, type Child } from "../overhead/children.ts";
import { overheadConfig } from "../overhead/gateway-config.ts";
import type { Launched } from "../overhead/launcher.ts";
import { processorTimeMs } from "../overhead/processor-time.ts";

export interface Sample {
  readonly round: number;
  readonly name: string;
  readonly cpuMicros: number | null;
  readonly perSecond: number;
}

export const NO_RECEIVER = "no receiver";

/** By name: the ratio of `OTEL_TRACES_SAMPLER_ARG`; null: no receiver. */
export const CASES: Readonly<Record<string, string | null>> = {
  [NO_RECEIVER]: null,
  "0 %": "0",
  "1 %": "0.01",
  "100 %": "1",
};

const CONNECTIONS = 16;
const WARM_UP_SECONDS = 3;

export async function measureTraces(rounds: number, seconds: number): Promise<readonly Sample[]> {
  const children: Child[] = [];
  const receiver = await startReceiver();
  try {
    const upstream = await startUpstream();
    const generator = new Generator();
    children.push(upstream.child, generator.child);
    const config = overheadConfig(upstream.url);
    const workers: [string, Launched][] = [];
    for (const [name, ratio] of Object.entries(CASES)) {
      const bindings = ratio === null ? {} : bindingsFor(receiver.url, ratio);
      const worker = await launchWorker({ main: null, config, bindings });
      children.push(worker.child);
      workers.push([name, worker]);
    }
    for (const [, { port }] of workers) await load(generator, port, WARM_UP_SECONDS);
    const samples: Sample[] = [];
    for (let round = 0; round < rounds; round++) {
      for (const [name, worker] of round % 2 === 0 ? workers : workers.toReversed()) {
        samples.push(await measure(generator, name, worker, round, seconds));
      }
    }
    return samples;
  } finally {
    for (const child of children) child.stop();
    receiver.server.closeAllConnections();
    receiver.server.close();
  }
}

function bindingsFor(endpoint: string, ratio: string): Record<string, string> {
  return {
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
    OTEL_TRACES_SAMPLER_ARG: ratio,
  };
}

async function measure(
  generator: Generator,
  name: string,
  { port, workerdPid }: Launched,
  round: number,
  seconds: number,
): Promise<Sample> {
  const before = processorTimeMs(workerdPid);
  const { answers, perSecond } = await load(generator, port, seconds);
  const after = processorTimeMs(workerdPid);
  const cpuMicros = before === null || after === null ? null : ((after - before) * 1000) / answers;
  return { round, name, cpuMicros, perSecond };
}

function load(generator: Generator, port: number, seconds: number) {
  const [{ requests }] = PROXY_CASES;
  return generator.run({ port, requests, seconds, connections: CONNECTIONS, ratePerSecond: null });
}

/** Takes everything and looks at nothing. */
async function startReceiver(): Promise<{ readonly server: Server; readonly url: string }> {
  const server = createServer((request, response) => {
    request.resume();
    request.on("end", () => response.writeHead(200, { "content-type": "application/json" }).end("{}"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no address");
  return { server, url: `http://127.0.0.1:${address.port}` };
}
