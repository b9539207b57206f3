// The Worker. Custom code has its place here: `gateway.app.use("/v1/*", cors())`, before the export.

import config from "#config";
import { createGateway } from "./edge/gateway.ts";
import { createSagaWorkflow } from "./saga/workflow.ts";

const gateway = createGateway(config);

export default gateway.handler;

/** Executes sagas; it runs on the engine that this isolate's requests run on. */
export const SagaWorkflow = createSagaWorkflow(gateway);

// What Cloudflare instantiates by name; wrangler.toml lists the same names.
export { Ledger } from "../durable-objects/ledger.ts";
export { Outbox } from "../durable-objects/outbox.ts";
export { RegionHub } from "../durable-objects/region-hub.ts";
export { SagaLedger } from "../durable-objects/saga-ledger.ts";
