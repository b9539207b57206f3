// `npm run simulate -- [--seeds 1000] [--from 1] [--seed N] [--scenario NAME]`: runs seeds through the
// simulated regions, prints those that fail and how to run each again. Exit code 1: some failed.

import { parseArgs } from "node:util";
import type { RunResult } from "./simulate.ts";
import { commandFor, simulate } from "./simulate.ts";
import { SCENARIOS, scenarioNamed } from "./scenarios.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    scenario: { type: "string" },
  },
});
const scenarios = values.scenario === undefined ? SCENARIOS : [scenarioNamed(values.scenario)];
const first = Number(values.seed ?? values.from);
const count = values.seed === undefined ? Number(values.seeds) : scenarios.length;
const startedAt = performance.now();
const failed: RunResult[] = [];
let requests = 0;
let messages = 0;
for (let run = 0; run < count; run++) {
  const scenario = scenarios[run % scenarios.length];
  const seed = values.seed === undefined ? first + run : first;
  const result = simulate(scenario, seed);
  requests += result.requests;
  messages += result.messages;
  if (result.violation === null) continue;
  failed.push(result);
  console.log(`seed ${seed} ${scenario.name}: ${result.violation}`);
  console.log(`  ${commandFor(result)}`);
}
const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
console.log(
  `${count} runs, ${failed.length} failed, ${requests} requests, ${messages} messages, ${seconds} s`,
);
process.exitCode = failed.length > 0 ? 1 : 0;
