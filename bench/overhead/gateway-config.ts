// The gateway's configuration for the overhead bench. The measured route has every policy on, wide
// enough never to refuse; the other routes are there to refuse, each at another stage.
import type { GatewayConfig } from "../../src/config/gateway-config.ts";
import { hashKey } from "../../src/edge/api-keys.ts";

export const API_KEY = "the-key-of-the-overhead-bench";

const WIDE = 1000;
const LONG = "10m";

export function overheadConfig(upstream: string): GatewayConfig {
  return {
    upstreams: {
      measured: {
        targets: [upstream],
        timeout: "10s",
        breaker: { slowCall: "5s" },
        concurrency: { max: WIDE, adaptive: true, waiting: 64 },
        retry: { attempts: 2 },
      },
      // Fails at every call, and only the cursor answers to that.
      shedding: { targets: [upstream], breaker: false, retry: false },
      failing: {
        targets: [upstream],
        breaker: { consecutive: 5, openFor: LONG, maxOpenFor: LONG },
        retry: false,
      },
    },
    consumers: { acme: { keys: [`sha256:${hashKey(API_KEY)}`], tenant: "acme" } },
    tenants: { acme: { share: 0.9, concurrency: WIDE } },
    limits: {
      generous: { key: "consumer", rate: 1_000_000, per: "1s", burst: 1_000_000, consistency: "local" },
      spent: { key: "route", rate: 1, per: "1h", burst: 1, consistency: "local" },
    },
    routes: [
      {
        path: "/v1/*",
        methods: ["GET", "POST"],
        upstream: "measured",
        priority: "P1",
        auth: true,
        limits: ["generous"],
        deadline: "30s",
        concurrency: { max: WIDE, waiting: 64 },
      },
      { path: "/limited/*", upstream: "measured", limits: ["spent"] },
      { path: "/fail/shed/*", upstream: "shedding", priority: "P2" },
      { path: "/fail/*", upstream: "failing" },
    ],
  };
}
