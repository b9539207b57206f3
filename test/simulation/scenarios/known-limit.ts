// `node test/simulation/scenarios/known-limit.ts`: what S1 could give at an upstream that refuses if each
// isolate knew its part of the places from the first moment, had them to itself, and every request waited
// `maxWait` once at most. What a region does beyond that it does by lending, by trying again, or by waiting
// longer.

import { goodput, successShare } from "../harness/measures.ts";
import { SMALL_UPSTREAM, steadyLoad } from "../harness/scenarios.ts";
import { DEFAULT_OPTIONS } from "../harness/tidegate-options.ts";
import { tidegate } from "../harness/tidegate-policy.ts";
import { withMax } from "./options.ts";
import { sum } from "./recovery.ts";
import { format } from "./row.ts";

const SEEDS = [1, 2, 3, 4, 5, 6];
const LOADS = [1, 1.5, 3, 10];
/** Places of one isolate, and whether calls scatter. */
const PARTS = [
  { row: "S1.7", servers: 10, service: "fixed" },
  { row: "S1.8", servers: 3, service: "fixed" },
  { row: "S1.9", servers: 1, service: "fixed" },
  { row: "S1.10", servers: 100, service: "exponential" },
  { row: "S1.11", servers: 33, service: "exponential" },
  { row: "S1.12", servers: 10, service: "exponential" },
] as const;

for (const { row, servers, service } of PARTS) {
  const { upstream: withLimit } = withMax(servers);
  const concurrency = { ...withLimit.concurrency, adaptive: false };
  const policy = tidegate({ ...DEFAULT_OPTIONS, upstream: { ...withLimit, concurrency } });
  const upstream = { ...SMALL_UPSTREAM, servers, service, beyond: "refuse" } as const;
  const loads = LOADS.map((times) => {
    const results = SEEDS.map((seed) => steadyLoad({ policy, seed, upstream }, times));
    const critical = sum(results.map((result) => successShare(result, 0))) / SEEDS.length;
    const useful = sum(results.map((result) => goodput(result))) / SEEDS.length;
    return `${times}x P0 ${format(critical, "share")} goodput ${format(useful, "share")}`;
  });
  console.log(`${row} ${loads.join("; ")}`);
}
