// The pipeline alone, in this process: a request in, an upstream that answers at once, and the spans of it
// up to the text that would be sent. What the machine does besides hardly shows, because the process counts
// its own processor time; what a runtime adds for its requests is not in it, so only differences mean
// something.
import { setImmediate as nextTurn } from "node:timers/promises";
import { validateConfig } from "../../src/config/validate.ts";
import type { Carrier } from "../../src/edge/carrier.ts";
import { createEngine, type Engine } from "../../src/edge/engine.ts";
import { FETCH_CARRIER } from "../../src/edge/fetch-carrier.ts";
import { runPipeline } from "../../src/edge/pipeline.ts";
import { ANYBODY, type Shell } from "../../src/edge/shell.ts";
import { tryTraceparent } from "../../src/edge/trace.ts";
import { Verdict } from "../../src/edge/verdict.ts";
import { SpanExporter } from "../../src/telemetry/span-exporter.ts";
import { Telemetry } from "../../src/telemetry/telemetry.ts";
import { Tracer } from "../../src/telemetry/tracer.ts";
import { API_KEY, overheadConfig } from "../overhead/gateway-config.ts";
import { median } from "../statistics.ts";

const REQUESTS = 5_000;
/** Fewer than an adaptive limit ever cuts to because of latency alone. */
const AT_ONCE = 16;
/** A batch that is not full waits for so many turns of the event loop: for some thousand requests. */
const GATHER_TURNS = 200;

const HEADERS = {
  host: "api.example.com",
  "user-agent": "traces-bench/1.0",
  accept: "application/json",
  "x-api-key": API_KEY,
};

const CARRIER: Carrier = {
  bodyOf: (x, rules) => FETCH_CARRIER.bodyOf(x, rules),
  send(x) {
    // As fields they are read whole, which engines put off for texts that are made of pieces.
    const headers = { traceparent: tryTraceparent(x), "x-request-id": x.requestId };
    return Promise.resolve(new Response(null, { status: 200, headers }));
  },
  receive: (answer) => answer,
};

const refuse = (): Promise<Verdict> => Promise.resolve(Verdict.notAccepted);
const SHELL: Shell = {
  caller: ANYBODY,
  acceptJob: refuse,
  startSaga: refuse,
  publishRequest: refuse,
  answerOwnPath: () => Promise.reject(new Error("there are none")),
  waitUntil: (work) => void work.catch(() => {}),
};

/** Us of processor time that a request costs, by ratio; null: without a receiver. The median over rounds. */
export async function measurePipeline(
  ratios: readonly (number | null)[],
  rounds: number,
): Promise<readonly number[]> {
  const engines = ratios.map(engineWith);
  const request = new Request("http://api.example.com/v1/items/42?view=full", { headers: HEADERS });
  const costs: number[][] = engines.map(() => []);
  for (let round = -2; round < rounds; round++) {
    const order = [...engines.entries()];
    for (const [index, engine] of round % 2 === 0 ? order : order.toReversed()) {
      const micros = await serve(engine, request);
      if (round >= 0) costs[index].push(micros);
    }
  }
  return costs.map(median);
}

async function serve(engine: Engine, request: Request): Promise<number> {
  const before = process.cpuUsage();
  for (let served = 0; served < REQUESTS; served += AT_ONCE) {
    const answers = await Promise.all(
      Array.from({ length: AT_ONCE }, async () => runPipeline(engine, request, SHELL)),
    );
    if (answers.some(({ status }) => status !== 200)) throw new Error("refused");
    await nextTurn();
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / REQUESTS;
}

function engineWith(ratio: number | null): Engine {
  const validated = validateConfig(overheadConfig("http://upstream.invalid"));
  if (!validated.ok) throw new Error(validated.errors.join("\n"));
  const { plan } = validated;
  const identity = {
    session: "bench",
    region: "local",
    hub: null,
    outboxes: null,
    seed: 1,
    carrier: CARRIER,
  };
  const telemetry = new Telemetry(plan, () => {}, ratio === null ? null : tracerWith(ratio));
  return createEngine(plan, {}, identity, telemetry, null);
}

function tracerWith(ratio: number): Tracer {
  const receiver = { url: "http://collector.invalid/v1/traces", headers: [], timeoutMs: 10_000, gatherMs: 0 };
  const exporter = new SpanExporter({
    receiver,
    resource: { "service.name": "bench" },
    fetch: () => Promise.resolve(new Response("{}")),
    now: () => Date.now(),
    async pause() {
      for (let turn = 0; turn < GATHER_TURNS; turn++) await nextTurn();
    },
    write: (line) => process.stderr.write(`${line}\n`),
  });
  return new Tracer({ sampling: { ratio, keepsParent: true } }, exporter);
}
