// What wrangler.toml binds, for the tests that run inside the Worker.
import type { Ledger } from "../../durable-objects/ledger.ts";

declare global {
  namespace Cloudflare {
    interface Env {
      readonly LEDGER: DurableObjectNamespace<Ledger>;
    }
  }
}
