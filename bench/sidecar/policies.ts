// The sidecar's configuration for its bench: every policy on, wide enough never to refuse.
import type { GatewayConfig } from "../../src/config/gateway-config.ts";
import { hashKey } from "../../src/edge/api-keys.ts";

export const API_KEY = "the-key-of-the-sidecar-bench";

const WIDE = 1_000;

export function sidecarPolicies(upstream: string): GatewayConfig {
  return {
    upstreams: {
      app: {
        targets: [upstream],
        timeout: "10s",
        breaker: { slowCall: "5s" },
        concurrency: { max: WIDE, adaptive: true, waiting: 64 },
        retry: { attempts: 2 },
      },
    },
    consumers: { acme: { keys: [`sha256:${hashKey(API_KEY)}`], tenant: "acme" } },
    tenants: { acme: { share: 0.9, concurrency: WIDE } },
    limits: {
      alone: { key: "consumer", rate: 1_000_000, per: "1s", burst: 1_000_000, consistency: "local" },
      shared: { key: "consumer", rate: 10_000_000, per: "10s", consistency: "global" },
    },
    counters: { calls: { key: "consumer" } },
    routes: [
      {
        path: "/v1/*",
        methods: ["GET", "POST"],
        upstream: "app",
        priority: "P1",
        auth: true,
        limits: ["alone", "shared"],
        count: ["calls"],
        deadline: "30s",
        concurrency: { max: WIDE, waiting: 64 },
      },
    ],
  };
}
