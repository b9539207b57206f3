// The Worker. Custom code has its place here: `gateway.app.use("/v1/*", cors())`, before the export.

import { WorkerEntrypoint } from "cloudflare:workers";
import config from "#config";
import { createRelayObject } from "#relay";
import { createGateway } from "./edge/gateway.ts";
import { createSagaWorkflow } from "./saga/workflow.ts";
import { callerOfBinding } from "./sidecar/binding.ts";

const gateway = createGateway(config);

export default gateway.handler;

/** Executes sagas; it runs on the engine that this isolate's requests run on. */
export const SagaWorkflow = createSagaWorkflow(gateway);

/** Relays a Postgres outbox, by the configuration that this isolate goes by. */
export const Relay = createRelayObject(gateway);

/** What another Worker binds: `env.SIDECAR.fetch("http://<upstream>.upstream/path")`. */
export class Sidecar extends WorkerEntrypoint<Record<string, unknown>> {
  override fetch(request: Request): Response | Promise<Response> {
    return gateway.callUpstream(request, this.env, this.ctx, callerOfBinding(request, this.ctx.props));
  }
}

// What Cloudflare instantiates by name; wrangler.toml lists the same names.
export { Ledger } from "../durable-objects/ledger.ts";
export { Outbox } from "../durable-objects/outbox.ts";
export { RegionHub } from "../durable-objects/region-hub.ts";
export { SagaLedger } from "../durable-objects/saga-ledger.ts";
