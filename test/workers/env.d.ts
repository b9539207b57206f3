// What wrangler.toml binds, for the tests that run inside the Worker.
import type { Ledger } from "../../durable-objects/ledger.ts";
import type { Outbox } from "../../durable-objects/outbox.ts";
import type { RegionHub } from "../../durable-objects/region-hub.ts";
import type { SagaLedger } from "../../durable-objects/saga-ledger.ts";

declare global {
  namespace Cloudflare {
    interface Env {
      readonly HUB: DurableObjectNamespace<RegionHub>;
      readonly LEDGER: DurableObjectNamespace<Ledger>;
      readonly SAGA: Workflow;
      readonly SAGA_LEDGER: DurableObjectNamespace<SagaLedger>;
      readonly OUTBOX: DurableObjectNamespace<Outbox>;
      readonly CLAIMS: R2Bucket;
      readonly DELIVERY: Queue;
      /** How often each fault is injected; empty: a few times. */
      readonly FAULT_RUNS: string;
      readonly FAULT_FIRST: string;
    }
  }
}
