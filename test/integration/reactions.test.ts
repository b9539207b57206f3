// The checkout of examples/ as choreography, black box: three services that react to each other's events
// behind `tidegate start`, and everybody's events as a subscriber sees them.
import { afterAll, afterEach, beforeAll, describe, it, vi } from "vitest";
import choreography from "../../examples/checkout/choreography.config.ts";
import { createCheckout, type Service } from "../../examples/checkout/servers.ts";
import { startGateway, type RunningGateway } from "./rig/index.ts";

const SOON = { timeout: 20_000, interval: 50 };

interface SeenEvent {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly correlationid?: string;
  readonly causationid?: string;
  readonly hops?: number;
  readonly requestkey?: string;
  readonly data: Record<string, unknown>;
}

const services = createCheckout();
const used = [services.inventory, services.payment, services.shipping];
const seen: SeenEvent[] = [];
let gateway: RunningGateway;
let orders = 0;

beforeAll(async () => {
  const config: Record<string, unknown> = structuredClone(choreography);
  const upstreams: Record<string, object> = {};
  for (const service of used) {
    upstreams[service.name] = { targets: [await service.listen()], timeout: "500ms", breaker: false };
  }
  const late = {
    on: "late.wanted",
    request: { upstream: "payment", method: "POST", path: "/charges", body: { order: "{data.order}" } },
    then: { ok: "late.charged", failed: "late.failed", deadline: "late.missed" },
    retry: { attempts: 100, delay: "100ms", maxDelay: "100ms" },
    deadline: "1500ms",
  };
  const round = {
    on: ["round.begin", "round.failed"],
    request: { upstream: "payment", method: "POST", path: "/nowhere" },
    then: { failed: "round.failed" },
  };
  const reactions = { ...choreography.reactions, late, round };
  gateway = await startGateway({ config: { ...config, upstreams, reactions } });
});
afterAll(async () => {
  await gateway.stop();
  await Promise.all(used.map((service) => service.close()));
});
afterEach(() => used.forEach((service) => service.break({})));

function admin(method: string, path: string, body?: object, type = "application/json"): Promise<Response> {
  return fetch(`${gateway.url}/_gateway/${path}`, {
    method,
    headers: { authorization: `Bearer ${gateway.adminToken}`, "content-type": type },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function jsonOf<Body>(response: Response): Promise<Body> {
  const body: Body = JSON.parse(await response.text());
  return body;
}

/** Places an order as a client would; the id of its event. */
async function place(order: string): Promise<string> {
  const response = await fetch(`${gateway.url}/v1/orders`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: `{"order": "${order}", "sku": "book", "amount": 9007199254740993}`,
  });
  if (response.status !== 202) throw new Error(`not accepted: ${response.status}`);
  return (await jsonOf<{ id: string }>(response)).id;
}

function newOrder(): string {
  return `order-${++orders}`;
}

/** Takes in what has been published since. */
async function look(): Promise<void> {
  const response = await admin("POST", "subscriptions/orders/pull", { max: 100 });
  const { events } = await jsonOf<{ events: { leaseId: string; event: SeenEvent }[] }>(response);
  seen.push(...events.map(({ event }) => event));
  await admin("POST", "subscriptions/orders/ack", { leaseIds: events.map(({ leaseId }) => leaseId) });
}

/** Everything that follows from an event, once the last of them has this type. */
async function chain(correlation: string, last: string): Promise<SeenEvent[]> {
  return vi.waitFor(async () => {
    await look();
    const all = seen.filter(({ id, correlationid }) => id === correlation || correlationid === correlation);
    if (all.at(-1)?.type !== last) throw new Error(`${last} is missing: ${JSON.stringify(all)}`);
    return all;
  }, SOON);
}

function typesOf(events: readonly SeenEvent[]): string[] {
  return events.map(({ type }) => type);
}

function standing(order: string): string[] {
  return used.flatMap((service: Service) => service.standing(order).map(({ id }) => id.split("-")[0]));
}

describe("an order that nothing disturbs", () => {
  it("goes from service to service, each event following from the one before", async ({ expect }) => {
    const order = newOrder();
    const first = await place(order);
    const events = await chain(first, "order.shipped");
    expect(typesOf(events)).toEqual(["order.placed", "stock.reserved", "payment.charged", "order.shipped"]);
    expect(events.map(({ causationid = null }) => causationid)).toEqual([
      null,
      ...events.slice(0, -1).map(({ id }) => id),
    ]);
    expect(events.map(({ hops = 0 }) => hops)).toEqual([0, 1, 2, 3]);
    expect(events.map(({ source }) => source)).toEqual([
      "/tidegate/v1/orders",
      ...["reserve", "charge", "ship"].map((name) => `/tidegate/reactions/${name}`),
    ]);
    expect(standing(order)).toEqual(["inventory", "payment", "shipping"]);
    const calls = used.flatMap((service) => service.calls.filter((call) => call.order === order));
    expect(events.slice(1).map(({ requestkey }) => requestkey)).toEqual(calls.map(({ key }) => key));
    expect(events.slice(1).map(({ id }) => id)).toEqual(calls.map(({ key }) => `${key}-ok`));
    expect(events[3].data).toMatchObject({
      order,
      sku: "book",
      reserve: { id: expect.stringMatching(/^inventory-/) },
      charge: { id: expect.stringMatching(/^payment-/) },
      ship: { id: expect.stringMatching(/^shipping-/) },
    });
  });
});

describe("an order of which one part fails", () => {
  it("is undone by those who did theirs, when payment refuses", async ({ expect }) => {
    services.payment.break({ forward: "refuse" });
    const order = newOrder();
    const events = await chain(await place(order), "order.cancelled");
    expect(typesOf(events)).toEqual([
      "order.placed",
      "stock.reserved",
      "payment.failed",
      "payment.voided",
      "order.cancelled",
    ]);
    expect(events[2].data).toMatchObject({
      order,
      charge: { error: "refused" },
      error: { reaction: "charge", reason: "the upstream answered 422", status: 422, attempts: 1 },
    });
    expect(standing(order)).toEqual([]);
  });

  it("is undone when shipping is down for all tries, which are three", async ({ expect }) => {
    services.shipping.break({ forward: "down" });
    const order = newOrder();
    const events = await chain(await place(order), "order.cancelled");
    expect(typesOf(events)).toEqual([
      "order.placed",
      "stock.reserved",
      "payment.charged",
      "shipment.failed",
      "payment.refunded",
      "order.cancelled",
    ]);
    expect(events[3].data).toMatchObject({ error: { reaction: "ship", status: 503, attempts: 3 } });
    expect(services.shipping.calls.filter((call) => call.order === order)).toHaveLength(3);
    expect(standing(order)).toEqual([]);
    const { items } = await jsonOf<{ items: { reason: string }[] }>(await admin("GET", "dead-letters/ship"));
    expect(items).toMatchObject([{ reason: expect.stringContaining("the last of 3 tries") }]);
  });

  it("leaves no charge behind whose answer was lost", async ({ expect }) => {
    services.payment.break({ forward: "hang" });
    const order = newOrder();
    const events = await chain(await place(order), "order.cancelled");
    expect(typesOf(events)).toContain("payment.voided");
    expect(services.payment.undoings.filter((effect) => effect.order === order)).toHaveLength(1);
    expect(standing(order)).toEqual([]);
  });
});

async function publish(type: string, data: object): Promise<string> {
  const id = `${type}-${(orders += 1)}`;
  const event = { specversion: "1.0", id, source: "/shop", type, data };
  const response = await admin("POST", "events", event, "application/cloudevents+json");
  if (response.status !== 202) throw new Error(`not accepted: ${response.status}`);
  return id;
}

describe("a deadline", () => {
  it("is published once when it has passed without an outcome, and nothing is tried after it", async ({
    expect,
  }) => {
    services.payment.break({ forward: "down" });
    const order = newOrder();
    const publishedAt = Date.now();
    const first = await publish("late.wanted", { order });
    const [, missed] = await chain(first, "late.missed");
    expect(Date.now() - publishedAt).toBeGreaterThanOrEqual(1_500);
    expect(missed.data).toMatchObject({ order, error: { reaction: "late", status: 503 } });
    const tries = services.payment.calls.length;
    services.payment.break({});
    await chain(await place(newOrder()), "order.shipped");
    expect(services.payment.calls.filter((call) => call.order === order)).toHaveLength(
      tries - countBefore(order),
    );
    expect(seen.filter(({ correlationid }) => correlationid === first)).toHaveLength(1);
  });
});

/** Calls of payment that were about other orders. */
function countBefore(order: string): number {
  const calls = services.payment.calls;
  const last = calls.findLastIndex((call) => call.order === order);
  return calls.slice(0, last).filter((call) => call.order !== order).length;
}

describe("a cycle", () => {
  it("ends as a dead letter after 16 reactions", async ({ expect }) => {
    const first = await publish("round.begin", {});
    await vi.waitFor(async () => {
      const { items } = await jsonOf<{ items: { reason: string }[] }>(
        await admin("GET", "dead-letters/round"),
      );
      expect(items).toMatchObject([
        { reason: "its event has come through 16 reactions, and 16 are the most" },
      ]);
    }, SOON);
    const events = await chain(first, "round.failed");
    expect(events.map(({ hops = 0 }) => hops)).toEqual(Array.from({ length: 17 }, (_, hops) => hops));
    expect(new Set(events.map(({ id }) => id)).size).toBe(17);
  });
});

describe("state and metrics", () => {
  it("show each reaction with what it has still to publish", async ({ expect }) => {
    const { reactions, subscriptions } = await jsonOf<Record<string, Record<string, unknown>>>(
      await admin("GET", "state"),
    );
    expect(Object.keys(subscriptions)).toEqual(["orders"]);
    expect(reactions["charge"]).toMatchObject({
      depth: 0,
      lag: 0,
      alert: false,
      outcomes: { count: 0, oldestAgeMs: 0, reason: null },
      counts: { accepted: expect.any(Number) },
    });
    const metrics = await (await admin("GET", "metrics")).text();
    expect(metrics).toContain('tidegate_reaction_depth{tidegate_reaction="charge"} 0');
    expect(metrics).toContain('tidegate_reaction_outcomes_waiting{tidegate_reaction="charge"} 0');
  });
});
