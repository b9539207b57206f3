// Kinds of tests. `unit`: pure code and seeded simulations, no network. `workers`: Durable Objects with real
// storage, inside workerd. `integration` and `timed`: the gateway as a black box behind `tidegate start`, against
// real HTTP servers; `timed` one file at a time, because times count in it.
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { DOUBLE_TOKEN, gatewayDouble } from "./test/examples/gateway-double.ts";

/** Of those that run the whole gateway: in which it counts how long something takes. All others wait for it. */
const TIMED = [
  "test/conformance/{hostile-clients,limits,observability,overload,resilience,target-ejection}.test.ts",
  "test/conformance/regions-{breakers,faults,limits}.test.ts",
  "test/integration/sidecar/{drain,outbound,outbound-breaking}.test.ts",
];

/** What waits for processes and objects more than it computes: some files at a time. */
const WAITING = { maxWorkers: 3, sequence: { groupOrder: 1 } };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts", "test/simulation/**/*.test.ts", "test/tidy.test.ts"],
          environment: "node",
          // Nothing here waits: how long it computes is the machine's matter.
          testTimeout: 60_000,
        },
      },
      {
        // `main` of wrangler.toml is loaded as it is; the `[build]` command there is not run. Vitest itself
        // imports node:inspector, which the Worker's own flags leave out. TIDEGATE_FAULT_RUNS=100: runs of each
        // fault that is injected.
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              compatibilityFlags: ["enable_nodejs_inspector_module"],
              bindings: {
                FAULT_RUNS: process.env.TIDEGATE_FAULT_RUNS ?? "",
                FAULT_FIRST: process.env.TIDEGATE_FAULT_FIRST ?? "",
              },
            },
          }),
        ],
        test: {
          name: "workers",
          include: ["test/workers/**/*.test.ts"],
          ...WAITING,
        },
      },
      {
        // A Worker of a user's own, as it stands in examples/. TIDEGATE_KILLS=10000: how often its object dies.
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./examples/outbox-object/wrangler.toml" },
            miniflare: {
              compatibilityFlags: ["enable_nodejs_inspector_module"],
              bindings: {
                GATEWAY_TOKEN: DOUBLE_TOKEN,
                TIDEGATE_LOCAL: "1",
                KILLS: process.env.TIDEGATE_KILLS ?? "",
                KILLS_FIRST: process.env.TIDEGATE_KILLS_FIRST ?? "",
              },
              serviceBindings: { GATEWAY: gatewayDouble },
            },
          }),
        ],
        test: {
          name: "outbox-object",
          include: ["test/examples/**/*.test.ts"],
          ...WAITING,
        },
      },
      {
        test: {
          name: "integration",
          include: ["test/{integration,conformance}/**/*.test.ts"],
          exclude: TIMED,
          environment: "node",
          testTimeout: 60_000,
          hookTimeout: 60_000,
          ...WAITING,
        },
      },
      {
        test: {
          name: "timed",
          include: TIMED,
          environment: "node",
          testTimeout: 30_000,
          hookTimeout: 30_000,
          // Timings of one file must not depend on another one's load.
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
