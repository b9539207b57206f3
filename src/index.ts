// The Worker. Custom code has its place here: `gateway.app.use("/v1/*", cors())`, before the export.

import config from "#config";
import { createGateway } from "./edge/gateway.ts";

const gateway = createGateway(config);

export default gateway.handler;

// What Cloudflare instantiates by name; wrangler.toml lists the same names.
export { Ledger } from "../durable-objects/ledger.ts";
export { Outbox } from "../durable-objects/outbox.ts";
export { RegionHub } from "../durable-objects/region-hub.ts";
