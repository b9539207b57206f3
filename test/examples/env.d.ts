// What wrangler.toml binds, and what the tests add.
import type { OrderObject } from "../../examples/outbox-object/src/order.ts";

declare global {
  namespace Cloudflare {
    interface Env {
      readonly ORDERS: DurableObjectNamespace<OrderObject>;
      readonly GATEWAY: Fetcher;
      readonly KILLS: string;
      readonly KILLS_FIRST: string;
    }
  }
}
