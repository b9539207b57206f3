// The checkout of examples/, black box: whatever breaks, what counts is what its services did.
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, it } from "vitest";
import type { Fault, Service } from "../../examples/checkout/servers.ts";
import type { SagaView } from "../../src/saga/core/view.ts";
import { until } from "./rig/index.ts";
import type { RunningCheckout } from "./rig/checkout.ts";
import { startCheckout } from "./rig/checkout.ts";

let checkout: RunningCheckout;
let orders = 0;

beforeAll(async () => {
  checkout = await startCheckout();
});
afterAll(() => checkout.stop());
afterEach(() => checkout.heal());

const STEPS = ["reserve", "charge", "label", "ship"] as const;
type Step = (typeof STEPS)[number];

function newOrder(): string {
  return `order-${++orders}`;
}

function breakStep(step: Step, fault: Fault): void {
  const { inventory, payment, shipping } = checkout.services;
  if (step === "reserve") inventory.break({ forward: fault });
  if (step === "charge") payment.break({ forward: fault });
  if (step === "label") shipping.break({ forward: fault, collection: "labels" });
  if (step === "ship") shipping.break({ forward: fault, collection: "shipments" });
}

function all(): readonly Service[] {
  return Object.values(checkout.services);
}

/** Whatever stands for an order, over all services. */
function standing(order: string): string[] {
  return all().flatMap((service) => service.standing(order).map(({ key }) => key.split("-")[1]));
}

function statesOf(view: SagaView): Record<string, string> {
  return Object.fromEntries(
    view.steps.map(({ id, forward, compensation }) => [id, `${forward.state}/${compensation.state}`]),
  );
}

/** Every key that the services saw for an order: each step and direction has one. */
function keysOf(view: SagaView): Map<string, number> {
  const used = new Map<string, Set<string>>();
  const seed = view.steps[0].forward.key.split("-")[0];
  for (const { calls } of all()) {
    for (const { key } of calls) {
      if (key === null || !key.startsWith(seed)) continue;
      const [, step, direction] = key.split("-");
      const name = `${step} ${direction}`;
      used.set(name, (used.get(name) ?? new Set()).add(key));
    }
  }
  return new Map([...used].map(([name, keys]) => [name, keys.size]));
}

/** The preferences that were followed of those that a start had. */
async function appliedTo(prefer: string): Promise<string | null> {
  const response = await checkout.start(newOrder(), { prefer });
  await checkout.rest(response.headers.get("location") ?? "");
  return response.headers.get("preference-applied");
}

describe("a checkout that nothing disturbs", () => {
  it("does every step once and undoes none (74, 86)", async ({ expect }) => {
    const order = newOrder();
    const view = await checkout.rest(await checkout.begin(order));
    expect(view.state).toBe("completed");
    expect(standing(order).toSorted()).toEqual(["charge", "label", "notify", "reserve", "ship"]);
    expect([...keysOf(view)].filter(([name, count]) => count !== 1 || name.endsWith("undo"))).toEqual([]);
  });

  it("is answered inline with Prefer: wait", async ({ expect }) => {
    const response = await checkout.start(newOrder(), { prefer: "respond-async, wait=10" });
    expect([response.status, response.headers.get("preference-applied")]).toEqual([200, "wait=10"]);
    expect(await response.json()).toMatchObject({ state: "completed" });
  });

  it("says which preferences were followed", async ({ expect }) => {
    expect(await appliedTo("respond-async")).toBe("respond-async");
    expect(await appliedTo("respond-async, wait=0")).toBe("respond-async, wait=0");
    expect(await appliedTo("wait=60")).toBe("wait=10");
    expect(await appliedTo("handling=lenient")).toBeNull();
  });

  it("has one address for one key, also for many at once", async ({ expect }) => {
    const order = newOrder();
    const locations = await Promise.all(Array.from({ length: 10 }, () => checkout.begin(order)));
    expect(new Set(locations).size).toBe(1);
    await checkout.rest(locations[0]);
    expect(await checkout.begin(order)).toBe(locations[0]);
    expect(standing(order)).toHaveLength(5);
    expect(locations[0]).toMatch(/^\/_gateway\/sagas\/[0-9a-f]{32}-/);
  });

  it("refuses a request that its steps could not use, before anything is done", async ({ expect }) => {
    const url = `${checkout.gateway.url("weur")}/v1/checkout`;
    const response = await fetch(url, { method: "POST", body: JSON.stringify({ order: newOrder() }) });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "bad_request" });
  });

  it("tells its events as they happen", async ({ expect }) => {
    const location = await checkout.begin(newOrder());
    const text = await (await checkout.get(`${location}/events`)).text();
    expect(text).toContain('"state":"completed"}');
    expect(text.match(/^event: call$/gm)).toHaveLength(5);
  });

  it("has no page for an id that is not its own", async ({ expect }) => {
    const location = await checkout.begin(newOrder());
    const [, rest] = location.split(/(?<=^\/_gateway\/sagas\/)[0-9a-f]{32}/);
    const response = await checkout.get(`/_gateway/sagas/${"0".repeat(32)}${rest}`);
    expect(response.status).toBe(404);
    await checkout.rest(location);
  });
});

describe("a step that fails for good", () => {
  it.for(STEPS)(
    "%s: those before it are undone, those after it never asked (75-77)",
    async (step, { expect }) => {
      const order = newOrder();
      breakStep(step, "refuse");
      const view = await checkout.rest(await checkout.begin(order));
      expect(view).toMatchObject({ state: "compensated", stop: { reason: "failed", step } });
      expect(standing(order)).toEqual([]);
      expect(view.steps.find(({ id }) => id === "notify")?.forward.attempts).toBe(0);
      expect(statesOf(view)[step]).toMatch(/^failed\//);
      for (const [name, count] of keysOf(view)) expect([name, count]).toEqual([name, 1]);
    },
  );

  it.for(STEPS)("%s: the same when it is down for all of its tries", async (step, { expect }) => {
    const order = newOrder();
    breakStep(step, "down");
    const view = await checkout.rest(await checkout.begin(order));
    expect(view.state).toBe("compensated");
    expect(standing(order)).toEqual([]);
    expect(view.steps.find(({ id }) => id === step)?.forward.attempts).toBe(3);
  });
});

describe("a step whose answer never comes", () => {
  it.for(STEPS)("%s was done: the outcome is asked and the saga goes on", async (step, { expect }) => {
    const order = newOrder();
    breakStep(step, "hang");
    const view = await checkout.rest(await checkout.begin(order));
    expect(view.state).toBe("completed");
    expect(standing(order)).toHaveLength(5);
  });

  it.for(STEPS)("%s was not done: the rest is undone", async (step, { expect }) => {
    const order = newOrder();
    breakStep(step, "lose");
    const view = await checkout.rest(await checkout.begin(order));
    expect(view.state).toBe("compensated");
    expect(standing(order)).toEqual([]);
  });

  it.for(STEPS)(
    "%s is done later than it was asked about: nothing is left behind",
    async (step, { expect }) => {
      const order = newOrder();
      breakStep(step, "late");
      const view = await checkout.rest(await checkout.begin(order));
      await pause(1500);
      expect(standing(order)).toHaveLength(view.state === "completed" ? 5 : 0);
    },
  );

  it("one of two side by side fails while the other is in doubt: both are undone (83)", async ({
    expect,
  }) => {
    const order = newOrder();
    breakStep("charge", "hang");
    breakStep("label", "refuse");
    const view = await checkout.rest(await checkout.begin(order));
    expect(view.state).toBe("compensated");
    expect(standing(order)).toEqual([]);
  });
});

describe("behind the pivot", () => {
  it("there is only forward: a step that is down is tried until it is not", async ({ expect }) => {
    const order = newOrder();
    checkout.services.mail.break({ forward: "down", times: 4 });
    const view = await checkout.rest(await checkout.begin(order));
    expect(view.state).toBe("completed");
    expect(view.steps.find(({ id }) => id === "notify")?.forward.attempts).toBe(5);
  });

  it("a step that fails for good parks the saga; a repair finishes it", async ({ expect }) => {
    const order = newOrder();
    checkout.services.mail.break({ forward: "refuse" });
    const location = await checkout.begin(order);
    expect(await checkout.rest(location)).toMatchObject({ state: "parked" });
    expect(standing(order)).toHaveLength(4);
    checkout.heal();
    expect((await checkout.admin("POST", `${location}/retry-compensation`)).status).toBe(200);
    expect(await checkout.rest(location)).toMatchObject({ state: "completed" });
    expect(standing(order)).toHaveLength(5);
  });
});

describe("cancel", () => {
  it("before the pivot undoes everything (87)", async ({ expect }) => {
    const order = newOrder();
    breakStep("charge", "down");
    const location = await checkout.begin(order);
    await until("charge was tried", 5000, async () => {
      return (await checkout.view(location)).steps[1].forward.attempts > 0;
    });
    const response = await checkout.admin("POST", `${location}/cancel`, { note: "the customer called" });
    expect(response.status).toBe(200);
    const view = await checkout.rest(location);
    expect(view).toMatchObject({
      state: "compensated",
      stop: { reason: "cancelled", note: "the customer called" },
    });
    expect(standing(order)).toEqual([]);
  });

  it("after the pivot is refused", async ({ expect }) => {
    const order = newOrder();
    checkout.services.mail.break({ forward: "down" });
    const location = await checkout.begin(order);
    await until("mail was tried", 5000, async () => {
      return (await checkout.view(location)).steps[4].forward.attempts > 0;
    });
    const response = await checkout.admin("POST", `${location}/cancel`);
    expect([response.status, await response.json()]).toMatchObject([409, { code: "saga_conflict" }]);
    checkout.heal();
    expect(await checkout.rest(location)).toMatchObject({ state: "completed" });
  });

  it("needs the admin token", async ({ expect }) => {
    const location = await checkout.begin(newOrder());
    const url = `${checkout.gateway.url("weur")}${location}/cancel`;
    expect((await fetch(url, { method: "POST" })).status).toBe(401);
    await checkout.rest(location);
  });
});

/** Parks a checkout: its charge cannot be undone. */
async function park(order: string): Promise<string> {
  breakStep("ship", "refuse");
  checkout.services.payment.break({ undo: "refuse" });
  const location = await checkout.begin(order);
  await checkout.rest(location);
  return location;
}

describe("a compensation that fails for good", () => {
  it("is parked with an alert while the others run (79, 82)", async ({ expect }) => {
    const order = newOrder();
    const location = await park(order);
    const view = await checkout.view(location);
    expect(view.state).toBe("parked");
    expect(statesOf(view)).toMatchObject({
      reserve: "succeeded/done",
      charge: "succeeded/failed",
      label: "succeeded/done",
    });
    expect(standing(order)).toEqual(["charge"]);
    expect(checkout.gateway.stderr()).toContain('"event":"saga_parked"');
    const list = await (await checkout.admin("GET", "/_gateway/sagas?state=parked")).json();
    expect(list).toMatchObject({ items: [{ id: view.id, stuck: ["charge"] }] });
    const state = await (await checkout.admin("GET", "/_gateway/state")).json();
    expect(state).toMatchObject({ sagas: { parked: 1 } });
    const metrics = await (await checkout.admin("GET", "/_gateway/metrics")).text();
    expect(metrics).toContain('tidegate_sagas{saga="checkout",state="parked"} 1');
    checkout.heal();
    await checkout.admin("POST", `${location}/retry-compensation`, { note: "the bank is back" });
    expect(await checkout.rest(location)).toMatchObject({ state: "compensated" });
    expect(standing(order)).toEqual([]);
  });

  it("can be marked as done by hand", async ({ expect }) => {
    const order = newOrder();
    const location = await park(order);
    const answer = await checkout.admin("POST", `${location}/mark-compensated`, {
      step: "charge",
      note: "by wire",
    });
    expect(answer.status).toBe(200);
    const view = await checkout.rest(location);
    expect(view.state).toBe("compensated");
    expect(statesOf(view).charge).toBe("succeeded/manual");
  });

  it("is tried again, with one effect, while it is only down (78)", async ({ expect }) => {
    const order = newOrder();
    breakStep("ship", "refuse");
    checkout.services.payment.break({ undo: "down", times: 2 });
    const view = await checkout.rest(await checkout.begin(order));
    expect(view.state).toBe("compensated");
    expect(view.steps.find(({ id }) => id === "charge")?.compensation.attempts).toBe(3);
    expect(standing(order)).toEqual([]);
  });
});
