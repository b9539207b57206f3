// A choreographed checkout while everything is killed, again and again: every order ends once, and what its
// services did fits its end. TIDEGATE_REACTION_KILLS=10: how often; each costs some ten seconds.
import { setTimeout as pause } from "node:timers/promises";
import { describe, it } from "vitest";
import choreography from "../../examples/checkout/choreography.config.ts";
import { createCheckout, type Service } from "../../examples/checkout/servers.ts";
import { startRegions, type RunningRegions } from "./rig/index.ts";

const KILLS = Number(process.env["TIDEGATE_REACTION_KILLS"] ?? 0);
const ORDERS_PER_KILL = 20;
/** What a consumer had when it died comes again when its lease is over. */
const REST_MS = 180_000;
const REGION = "weur";

interface SeenEvent {
  readonly id: string;
  readonly type: string;
  readonly data: { readonly order: string };
}

/** Places an order until it is accepted; the key makes one event of it however often that takes. */
async function place(gateway: RunningRegions, order: string): Promise<void> {
  for (;;) {
    const answer = await fetch(`${gateway.url(REGION)}/v1/orders`, {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": order },
      body: JSON.stringify({ order, sku: "book", amount: 12 }),
    }).catch(() => null);
    if (answer?.status === 202) return;
    await pause(100);
  }
}

/** Takes in what has been published since; false: nothing was. */
async function look(gateway: RunningRegions, seen: Map<string, SeenEvent>): Promise<boolean> {
  const post = async (path: string, body: object): Promise<unknown> => {
    const headers = { authorization: `Bearer ${gateway.adminToken}`, "content-type": "application/json" };
    const url = `${gateway.url(REGION)}/_gateway/subscriptions/orders/${path}`;
    return (await fetch(url, { method: "POST", headers, body: JSON.stringify(body) })).json();
  };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the gateway's own answer
  const pulled = (await post("pull", { max: 100 })) as { events: { leaseId: string; event: SeenEvent }[] };
  for (const { event } of pulled.events) seen.set(event.id, event);
  await post("ack", { leaseIds: pulled.events.map(({ leaseId }) => leaseId) });
  return pulled.events.length > 0;
}

const GOOD = ["order.placed", "stock.reserved", "payment.charged", "order.shipped"];
const UNPAID = ["order.placed", "stock.reserved", "payment.failed", "payment.voided", "order.cancelled"];
const UNSENT = [...GOOD.slice(0, 3), "shipment.failed", "payment.refunded", "order.cancelled"];
const EXPECTED = [GOOD, UNPAID, UNSENT];

// Minutes long: `TIDEGATE_REACTION_KILLS=10 npx vitest run --project integration reaction-kills` runs it.
describe.runIf(KILLS > 0)("orders while everything is killed", { timeout: 600_000 + KILLS * 60_000 }, () => {
  it("end once each, and what was done fits their end", async ({ expect }) => {
    const services = createCheckout();
    const everybody: readonly Service[] = Object.values(services);
    const orders = Array.from({ length: KILLS * ORDERS_PER_KILL }, (_, index) => `order-${index}`);
    const upstreams: Record<string, object> = {};
    for (const service of everybody) {
      upstreams[service.name] = { targets: [await service.listen()], timeout: "2s", breaker: false };
    }
    services.payment.break({ forward: "refuse", orders: orders.filter((_, index) => index % 3 === 1) });
    services.shipping.break({ forward: "refuse", orders: orders.filter((_, index) => index % 3 === 2) });
    const written = JSON.stringify({ ...choreography, upstreams }).replaceAll('"1m"', '"1h"');
    const gateway = await startRegions({ config: JSON.parse(written), regions: [REGION] });
    try {
      for (let kill = 0; kill < KILLS; kill++) {
        const batch = orders.slice(kill * ORDERS_PER_KILL, (kill + 1) * ORDERS_PER_KILL);
        const placed = Promise.all(batch.map((order) => place(gateway, order)));
        await pause(200 + ((kill * 977) % 6_000));
        await gateway.kill();
        await gateway.restart();
        await placed;
      }
      const seen = new Map<string, SeenEvent>();
      const giveUpAt = Date.now() + REST_MS;
      const ended = (): number =>
        [...seen.values()].filter(({ type }) => type === "order.shipped" || type === "order.cancelled")
          .length;
      while (Date.now() < giveUpAt && ended() < orders.length) {
        if (!(await look(gateway, seen))) await pause(250);
      }
      for (const [index, order] of orders.entries()) {
        const types = [...seen.values()].filter(({ data }) => data.order === order).map(({ type }) => type);
        expect(types.toSorted(), order).toEqual(EXPECTED[index % 3].toSorted());
        const standing = everybody.flatMap((service) => service.standing(order).map(() => service.name));
        expect(standing, order).toEqual(index % 3 === 0 ? ["inventory", "payment", "shipping"] : []);
      }
      const calls = everybody.flatMap((service) => service.calls);
      const keys = new Set(calls.map(({ key }) => key));
      console.log(
        `${KILLS} kills, ${orders.length} orders, ${seen.size} events, ` +
          `${calls.length} requests under ${keys.size} keys`,
      );
    } finally {
      await gateway.stop();
      await Promise.all(everybody.map((service) => service.close()));
    }
  });
});
