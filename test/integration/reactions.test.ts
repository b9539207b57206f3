// The checkout of examples/ as choreography, black box: three services that react to each other's events
// behind `tidegate start`, and everybody's events as a subscriber sees them.
import { afterAll, beforeAll, describe, it, vi } from "vitest";
import choreography from "../../examples/checkout/choreography.config.ts";
import { createCheckout, type Service } from "../../examples/checkout/servers.ts";
import { startGateway, type RunningGateway } from "./rig/index.ts";

const SOON = { timeout: 25_000, interval: 50 };

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
const everybody: readonly Service[] = Object.values(services);
const seen: SeenEvent[] = [];
let gateway: RunningGateway;
let orders = 0;

/** Everything runs at once: what is broken, is so for one order. */
const [GOOD, UNANSWERED, REFUSED, DOWN] = ["good", "unanswered", "refused", "down"];

function mail(path: string): object {
  return { upstream: "mail", method: "POST", path, body: { order: "{data.order}" } };
}

beforeAll(async () => {
  const upstreams: Record<string, object> = {};
  for (const service of everybody) {
    const timeout = service === services.payment ? "400ms" : "2s";
    upstreams[service.name] = { targets: [await service.listen()], timeout, breaker: false };
  }
  const down = { on: "mail.wanted", request: mail("/mails") };
  const quick = { attempts: 100, delay: "100ms", maxDelay: "100ms" };
  const reactions = {
    ...choreography.reactions,
    late: {
      ...down,
      then: { failed: "mail.failed", deadline: "mail.missed" },
      deadline: "1500ms",
      retry: quick,
    },
    dead: { ...down, then: { failed: "mail.dead" }, retry: { ...quick, attempts: 3 } },
    untold: { ...down, request: mail("/nowhere") },
    round: {
      on: ["round.begin", "round.failed"],
      request: mail("/nowhere"),
      then: { failed: "round.failed" },
    },
  };
  gateway = await startGateway({ config: { ...choreography, upstreams, reactions } });
  services.payment.break({ forward: "hang", orders: [UNANSWERED] });
  services.shipping.break({ forward: "refuse", orders: [REFUSED] });
  services.mail.break({ forward: "down", orders: [DOWN] });
});
afterAll(async () => {
  await gateway.stop();
  await Promise.all(everybody.map((service) => service.close()));
});

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

/** Takes in what has been published since. */
async function look(): Promise<void> {
  const response = await admin("POST", "subscriptions/orders/pull", { max: 100 });
  const { events } = await jsonOf<{ events: { leaseId: string; event: SeenEvent }[] }>(response);
  seen.push(...events.map(({ event }) => event));
  await admin("POST", "subscriptions/orders/ack", { leaseIds: events.map(({ leaseId }) => leaseId) });
}

/** Everything that follows from an event, once something of this type does. */
async function chain(correlation: string, last: string): Promise<SeenEvent[]> {
  return vi.waitFor(async () => {
    await look();
    const all = seen.filter(({ id, correlationid }) => id === correlation || correlationid === correlation);
    if (!all.some(({ type }) => type === last)) throw new Error(`${last} is missing: ${JSON.stringify(all)}`);
    return all.toSorted(({ hops: a = 0 }, { hops: b = 0 }) => a - b);
  }, SOON);
}

async function publish(type: string, data: object, more: object = {}): Promise<string> {
  const id = `${type}-${(orders += 1)}`;
  const event = { specversion: "1.0", id, source: "/shop", type, data, ...more };
  const response = await admin("POST", "events", event, "application/cloudevents+json");
  if (response.status !== 202) throw new Error(`not accepted: ${response.status}`);
  return id;
}

/** Reasons of a reaction's dead letters, once there are any. */
function deadLetters(reaction: string): Promise<string[]> {
  return vi.waitFor(async () => {
    const { items } = await jsonOf<{ items: { reason: string }[] }>(
      await admin("GET", `dead-letters/${reaction}`),
    );
    if (items.length === 0) throw new Error(`${reaction} has no dead letter`);
    return items.map(({ reason }) => reason);
  }, SOON);
}

function typesOf(events: readonly SeenEvent[]): string[] {
  return events.map(({ type }) => type);
}

function standing(order: string): string[] {
  return everybody.flatMap((service) => service.standing(order).map(({ id }) => id.split("-")[0]));
}

describe.concurrent("what follows from an event", () => {
  it("goes from service to service, each event following from the one before", async ({ expect }) => {
    const events = await chain(await place(GOOD), "order.shipped");
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
    expect(standing(GOOD)).toEqual(["inventory", "payment", "shipping"]);
    const calls = everybody.flatMap(({ calls: all }) => all.filter(({ order }) => order === GOOD));
    expect(events.slice(1).map(({ requestkey }) => requestkey)).toEqual(calls.map(({ key }) => key));
    expect(events.slice(1).map(({ id }) => id)).toEqual(calls.map(({ key }) => `${key}-ok`));
    expect(events[3].data).toMatchObject({
      order: GOOD,
      sku: "book",
      reserve: { id: expect.stringMatching(/^inventory-/) },
      charge: { id: expect.stringMatching(/^payment-/) },
      ship: { id: expect.stringMatching(/^shipping-/) },
    });
  });

  it("is undone by those who did their part when shipping refuses", async ({ expect }) => {
    const events = await chain(await place(REFUSED), "order.cancelled");
    expect(typesOf(events)).toEqual([
      "order.placed",
      "stock.reserved",
      "payment.charged",
      "shipment.failed",
      "payment.refunded",
      "order.cancelled",
    ]);
    expect(events[3].data).toMatchObject({
      order: REFUSED,
      ship: { error: "refused" },
      error: { reaction: "ship", reason: "the upstream answered 422", status: 422, attempts: 1 },
    });
    expect(standing(REFUSED)).toEqual([]);
  });

  it("leaves no charge behind whose answer was lost", async ({ expect }) => {
    const events = await chain(await place(UNANSWERED), "order.cancelled");
    expect(typesOf(events)).toEqual([
      "order.placed",
      "stock.reserved",
      "payment.failed",
      "payment.voided",
      "order.cancelled",
    ]);
    expect(events[2].data).toMatchObject({ error: { reaction: "charge", status: null, attempts: 3 } });
    expect(services.payment.undoings.filter(({ order }) => order === UNANSWERED)).toHaveLength(1);
    expect(standing(UNANSWERED)).toEqual([]);
  });

  it("is a deadline, once, when nothing else came of it, and nothing is tried after it", async ({
    expect,
  }) => {
    const publishedAt = Date.now();
    const first = await publish("mail.wanted", { order: DOWN });
    const missed = (await chain(first, "mail.missed")).find(({ type }) => type === "mail.missed");
    expect(Date.now() - publishedAt).toBeGreaterThanOrEqual(1_500);
    expect(missed?.data).toMatchObject({ order: DOWN, error: { reaction: "late", status: 503 } });
    const calls = services.mail.calls.filter(({ key }) => key === missed?.requestkey).length;
    expect(await deadLetters("dead")).toEqual(["the last of 3 tries: the upstream answered 503"]);
    const told = await chain(first, "mail.dead");
    expect(typesOf(told).toSorted()).toEqual(["mail.dead", "mail.missed", "mail.wanted"]);
    expect(services.mail.calls.filter(({ key }) => key === missed?.requestkey)).toHaveLength(calls);
    // Of this one nobody is told, so it waits for a person.
    expect(await deadLetters("untold")).toEqual(["the upstream answered 404"]);
  });

  it("ends as a dead letter when it goes round, after 16 reactions", async ({ expect }) => {
    const first = await publish("round.begin", { order: "any" }, { hops: 14 });
    expect(await deadLetters("round")).toEqual([
      "its event has come through 16 reactions, and 16 are the most",
    ]);
    const events = await chain(first, "round.failed");
    expect(events.map(({ hops }) => hops)).toEqual([14, 15, 16]);
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
      counts: { accepted: 3 },
    });
    const metrics = await (await admin("GET", "metrics")).text();
    expect(metrics).toContain('tidegate_reaction_depth{tidegate_reaction="charge"} 0');
    expect(metrics).toContain('tidegate_reaction_outcomes_waiting{tidegate_reaction="charge"} 0');
  });
});
