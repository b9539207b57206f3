// Runs one Worker as `tidegate start` does: bundled the same way, in a workerd of its own, on a direct
// socket. A process of its own, so that what the launcher itself does is not counted with the Worker's
// processor time. Takes its orders from the parent and ends with it.
import { bindLifetime } from "../../cli/lifetime.ts";
import { compileForWorker } from "../../cli/prepare.ts";
import { WRANGLER_TOML } from "../../cli/project.ts";
import { bundleWorker } from "../../cli/worker-bundle.ts";
import { readWorkerShape, startWorkerd } from "../../cli/workerd.ts";
import type { GatewayConfig } from "../../src/config/gateway-config.ts";
import { workerdOf } from "../../test/integration/rig/index.ts";

export interface LaunchOrder {
  /** The Worker's entry file; null: the gateway's. */
  readonly main: string | null;
  /** The gateway's configuration; the others do not read it. */
  readonly config: GatewayConfig;
  readonly bindings: Readonly<Record<string, string>>;
}

export interface Launched {
  readonly port: number;
  readonly workerdPid: number;
}

/** The other Workers export a fetch handler alone. */
const NOTHING_EXPORTED = { durableObjects: {}, workflows: {}, queueConsumers: {} };

async function launch({ main, config, bindings }: LaunchOrder): Promise<Launched> {
  const folder = bindLifetime();
  const shape = await readWorkerShape(WRANGLER_TOML);
  const { aliases } = shape;
  const bundle = bundleWorker({ main: main ?? shape.main, aliases }, compileForWorker(config));
  if (!bundle.ok) throw new Error(bundle.errors.join("\n"));
  const [port] = await startWorkerd({
    code: bundle.code,
    shape: main === null ? shape : { ...shape, options: { ...shape.options, ...NOTHING_EXPORTED } },
    host: "127.0.0.1",
    regions: [{ region: "weur", port: 0 }],
    bindings,
    persist: `${folder}/data`,
    onRestart: () => process.exit(1),
  });
  return { port, workerdPid: workerdOf(process.pid) };
}

process.once("disconnect", () => process.exit(0));
process.once("message", (order: LaunchOrder) => {
  void launch(order).then((launched) => process.send?.(launched));
});
