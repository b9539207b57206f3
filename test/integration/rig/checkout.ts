// The checkout of examples/ behind the gateway, on free ports: its configuration with shorter times, its
// services, and a gateway that can be killed and started again on the same data.
import { setTimeout as pause } from "node:timers/promises";
import checkoutConfig from "../../../examples/checkout/tidegate.config.ts";
import type { Checkout } from "../../../examples/checkout/servers.ts";
import { createCheckout } from "../../../examples/checkout/servers.ts";
import type { SagaView } from "../../../src/saga/core/view.ts";
import type { RunningRegions } from "./regions.ts";
import { startRegions } from "./regions.ts";

const REGION = "weur";
const POLL_MS = 50;
/** For the events of a saga that does not move. */
const EVENTS_MS = 1000;
const MAX_LOG_CHARS = 4000;

export interface RunningCheckout {
  readonly services: Checkout;
  readonly gateway: RunningRegions;
  /** Starts a checkout; the answer as it came. */
  readonly start: (order: string, headers?: Record<string, string>, amount?: number) => Promise<Response>;
  /** Starts a checkout and resolves with its address. */
  readonly begin: (order: string, amount?: number) => Promise<string>;
  readonly get: (path: string) => Promise<Response>;
  /** With the admin token. */
  readonly admin: (method: string, path: string, body?: object) => Promise<Response>;
  readonly view: (location: string) => Promise<SagaView>;
  /** Waits until the saga has come to rest: over, or parked. */
  readonly rest: (location: string, withinMs?: number) => Promise<SagaView>;
  /** Heals every service. */
  readonly heal: () => void;
  readonly stop: () => Promise<void>;
}

export async function startCheckout(
  stepTimeoutMs = 500,
  undoTimeoutMs = 10_000,
  attempts = 3,
): Promise<RunningCheckout> {
  const services = createCheckout();
  const config = structuredClone(checkoutConfig);
  // The services share a machine with the gateway: what is slow there says nothing about how much they can
  // take.
  const concurrency = { max: 1_000, adaptive: false };
  const timeout = Math.max(10_000, stepTimeoutMs);
  for (const service of Object.values(services)) {
    const targets = [await service.listen()];
    config.upstreams[service.name] = { targets, breaker: false, concurrency, timeout };
  }
  const quick = JSON.stringify(config)
    .replaceAll('"timeout":"2s"', `"timeout":${stepTimeoutMs}`)
    .replaceAll('"attempts":3', `"attempts":${attempts}`)
    .replaceAll('"compensate":{', `"compensate":{"timeout":${undoTimeoutMs},`);
  const gateway = await startRegions({ config: JSON.parse(quick), regions: [REGION] });
  const url = (path: string): string => gateway.url(REGION) + path;
  const start = (order: string, headers: Record<string, string> = {}, amount = 12): Promise<Response> =>
    fetch(url("/v1/checkout"), {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ order, sku: "book", amount }),
    });
  const view = async (location: string): Promise<SagaView> => {
    const response = await fetch(url(location));
    if (response.status !== 200) throw new Error(`${location}: ${response.status}`);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the gateway's own answer
    return (await response.json()) as SagaView;
  };
  const eventsSoFar = async (location: string): Promise<string> => {
    const response = await fetch(url(`${location}/events`), { signal: AbortSignal.timeout(EVENTS_MS) });
    let text = "";
    try {
      for await (const bytes of response.body ?? []) text += new TextDecoder().decode(bytes);
    } catch {
      // The stream stays open while the saga is under way.
    }
    return text
      .split("\n")
      .filter((line) => line.startsWith("data: "))
      .join("\n");
  };
  /** What tells why a saga does not move: where it stands, what happened to it, what was logged. */
  const describeStuck = async (stuck: SagaView): Promise<string> => {
    const steps = stuck.steps.map(({ id, forward, compensation }) => {
      return `${id}\n  forward ${JSON.stringify(forward)}\n  undo ${JSON.stringify(compensation)}`;
    });
    const { key, state, run, updatedAt } = stuck;
    return [
      `saga ${key} is still ${state} at ${new Date().toISOString()}, run ${run}, last moved ${updatedAt}`,
      ...steps,
      await eventsSoFar(`/_gateway/sagas/${stuck.id}`),
      gateway.stderr().slice(-MAX_LOG_CHARS),
    ].join("\n");
  };
  return {
    services,
    gateway,
    start,
    async begin(order, amount) {
      const response = await start(order, {}, amount);
      await response.body?.cancel();
      if (response.status !== 202) throw new Error(`not accepted: ${response.status}`);
      return response.headers.get("location") ?? "";
    },
    get: (path) => fetch(url(path)),
    admin: (method, path, body) =>
      fetch(url(path), {
        method,
        headers: { authorization: `Bearer ${gateway.adminToken}` },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    view,
    async rest(location, withinMs = 20_000) {
      const giveUpAt = Date.now() + withinMs;
      for (;;) {
        const seen = await view(location);
        if (["completed", "compensated", "parked", "abandoned"].includes(seen.state)) return seen;
        if (Date.now() > giveUpAt) throw new Error(await describeStuck(seen));
        await pause(POLL_MS);
      }
    },
    heal() {
      for (const service of Object.values(services)) service.break({});
    },
    async stop() {
      await gateway.stop();
      for (const service of Object.values(services)) await service.close();
    },
  };
}
