// `npm run faults -- --seeds 100`: the faults that are injected inside the runtime, each with so many seeds;
// crashes within a transaction a hundred times as often.
import { runTool } from "../../cli/verify/tool.ts";

/** True: they all hold. */
export function injectFaults(seeds: number): Promise<boolean> {
  if (!Number.isInteger(seeds) || seeds < 1) throw new Error("--seeds takes a number of seeds, at least 1");
  process.env.TIDEGATE_FAULT_RUNS = String(seeds);
  process.env.TIDEGATE_KILLS = String(seeds * 100);
  return runTool(
    "vitest",
    "run",
    "test/workers/outbox-faults",
    "test/workers/consumer-faults",
    "object-kills",
  );
}
