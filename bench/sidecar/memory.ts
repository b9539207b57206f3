// What the sidecar still holds when all garbage is collected, over a million requests: of both kinds that the
// bench sends, every policy on.
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Bench } from "../bench.ts";
import { markdownTable } from "../markdown.ts";
import { Generator, startUpstream } from "../overhead/children.ts";
import type { HeapAnswer } from "./heap-probe.ts";
import { REQUESTS } from "./measure.ts";
import { startSidecarProxy, type Proxy } from "./proxies.ts";

const STEPS = 10;
const CONNECTIONS = 16;
const MIB = 1024 * 1024;
/** From the first step to the last. */
const FLAT_GROWTH = 0.1;

export interface MemoryStep extends HeapAnswer {
  readonly requests: number;
  /** Share of answers with status 200. */
  readonly asMeant: number;
}

export interface SidecarMemoryResult {
  readonly steps: readonly MemoryStep[];
}

export const sidecarMemory: Bench<SidecarMemoryResult> = {
  name: "sidecar-memory",
  measure: async ({ quick }) => ({ steps: await measureSteps(quick ? 20_000 : 1_000_000) }),
  tables: ({ steps }) => {
    const row = (name: string, bytesOf: (step: MemoryStep) => number) => [
      name,
      ...steps.map((step) => (bytesOf(step) / MIB).toFixed(1)),
    ];
    const table = markdownTable([
      ["requests", ...steps.map(({ requests }) => `${Math.round(requests / 1000)}k`)],
      row("heap, MiB", ({ heapUsedBytes }) => heapUsedBytes),
      row("outside the heap, MiB", ({ externalBytes }) => externalBytes),
      row("RSS, MiB", ({ rssBytes }) => rssBytes),
    ]);
    const verdicts = [
      growth("heap", steps, ({ heapUsedBytes }) => heapUsedBytes),
      growth("RSS", steps, ({ rssBytes }) => rssBytes),
    ];
    const worst = Math.min(...steps.map(({ asMeant }) => asMeant));
    const asMeant = `At least ${(worst * 100).toFixed(1)} % of answers were 200.`;
    return `${table}\n\nFrom the first to the last: ${verdicts.join("; ")}. ${asMeant}`;
  },
};

function growth(name: string, steps: readonly MemoryStep[], of: (step: MemoryStep) => number): string {
  const part = of(steps[steps.length - 1]) / of(steps[0]) - 1;
  const percent = `${part >= 0 ? "+" : ""}${(part * 100).toFixed(1)} %`;
  return `${name} ${percent}, ${part <= FLAT_GROWTH ? "flat" : "not flat"}`;
}

async function measureSteps(requests: number): Promise<readonly MemoryStep[]> {
  const generator = new Generator();
  const upstream = await startUpstream();
  const probe = fileURLToPath(new URL("heap-probe.ts", import.meta.url));
  const proxy = await startSidecarProxy(upstream.url, ["--expose-gc", "--import", probe]);
  try {
    const steps: MemoryStep[] = [];
    let served = 0;
    for (let step = 1; step <= STEPS; step++) {
      let asMeant = 1;
      while (served < (requests * step) / STEPS) {
        for (const request of Object.values(REQUESTS)) {
          const load = { port: proxy.port, requests: [request], seconds: 1, connections: CONNECTIONS };
          const { answers, statuses } = await generator.run({ ...load, ratePerSecond: null });
          served += answers;
          asMeant = Math.min(asMeant, (statuses["200"] ?? 0) / answers);
        }
      }
      steps.push({ requests: served, asMeant, ...(await askHeap(proxy)) });
    }
    return steps;
  } finally {
    proxy.stop();
    upstream.child.stop();
    generator.child.stop();
  }
}

async function askHeap({ child }: Proxy): Promise<HeapAnswer> {
  child.send({});
  const [answer]: HeapAnswer[] = await once(child, "message");
  return answer;
}
