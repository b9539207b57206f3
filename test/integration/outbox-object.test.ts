// The example's Worker with the gateway that it is for, bound as its wrangler.toml says, in one workerd: what
// an order emits comes to a subscription.
import { Miniflare, convertV4MiniflareOptions, type V4WorkerOptions } from "miniflare";
import { afterAll, beforeAll, describe, it } from "vitest";
import { bundle } from "../../cli/bundling.ts";
import { compileForWorker } from "../../cli/prepare.ts";
import { PROJECT_ROOT, WRANGLER_TOML } from "../../cli/project.ts";
import { bundleWorker } from "../../cli/worker-bundle.ts";
import { readWorkerShape } from "../../cli/workerd.ts";
import { until } from "./rig/index.ts";

const EXAMPLE = `${PROJECT_ROOT}examples/outbox-object`;
const TOKEN = "token-of-both";
const CONFIG = {
  upstreams: { any: { targets: ["http://127.0.0.1:9"] } },
  routes: [{ path: "/v1/*", upstream: "any" }],
  subscriptions: { audit: { events: ["order.*"], deliver: { pull: true } } },
};

const worker = (name: string, code: string, options: V4WorkerOptions, bindings: Record<string, string>) => ({
  ...options,
  name,
  modulesRoot: "/",
  modules: [{ type: "ESModule" as const, path: "/index.mjs", contents: code }],
  modulesRules: undefined,
  bindings,
  unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
});

describe("the example of an outbox of one's own", () => {
  let runtime: Miniflare;
  let orders: URL;
  let gateway: URL;

  beforeAll(async () => {
    const [shape, example] = await Promise.all([
      readWorkerShape(WRANGLER_TOML),
      readWorkerShape(`${EXAMPLE}/wrangler.toml`),
    ]);
    const tidegate = bundleWorker(shape, compileForWorker(CONFIG));
    const own = bundle({
      entryPoints: [example.main],
      absWorkingDir: PROJECT_ROOT,
      external: ["cloudflare:*"],
    });
    if (!tidegate.ok || !own.ok) throw new Error("not bundled");
    runtime = new Miniflare(
      convertV4MiniflareOptions({
        host: "127.0.0.1",
        port: 0,
        cf: false,
        telemetry: { enabled: false },
        handleStructuredLogs: () => {},
        workers: [
          worker("tidegate", tidegate.code, shape.options, { ADMIN_TOKEN: TOKEN }),
          worker("orders", own.code, example.options, { GATEWAY_TOKEN: TOKEN }),
        ],
      }),
    );
    await runtime.ready;
    gateway = await runtime.unsafeGetDirectURL("tidegate");
    orders = await runtime.unsafeGetDirectURL("orders");
  });

  afterAll(() => runtime.dispose());

  it("publishes what its README shows", async ({ expect }) => {
    const order = new URL("/orders/17", orders);
    const placed = await fetch(order, { method: "POST", body: '{"cents": 1200}' });
    expect(placed.status).toBe(201);
    expect(await (await fetch(new URL("/orders/17/pay", orders), { method: "POST" })).json()).toEqual({
      state: "PAID",
      cents: 1200,
    });
    expect(await (await fetch(order)).json()).toEqual({ state: "PAID", cents: 1200 });
    const types = new Set<string>();
    await until("both events", 20_000, async () => {
      const pulled = await fetch(new URL("/_gateway/subscriptions/audit/pull", gateway), {
        method: "POST",
        headers: { authorization: `Bearer ${TOKEN}` },
        body: "{}",
      });
      expect(pulled.status).toBe(200);
      const { events }: { events: { event: { type: string } }[] } = JSON.parse(await pulled.text());
      for (const { event } of events) types.add(event.type);
      return types.size === 2;
    });
    expect([...types].toSorted()).toEqual(["order.paid", "order.placed"]);
  });
});
