// Two kinds of tests. `unit`: pure code and seeded simulations, no network. `integration`: the gateway as a
// black box behind `tidegate start`, against real HTTP servers. Tests inside workerd itself
// (@cloudflare/vitest-plugin) get a third project when there are Durable Objects to look into.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts", "test/simulation/**/*.test.ts", "test/tidy.test.ts"],
          environment: "node",
        },
      },
      {
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts", "test/conformance/**/*.test.ts"],
          environment: "node",
          testTimeout: 30_000,
          hookTimeout: 30_000,
          // Timings of one file must not depend on another one's load.
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
