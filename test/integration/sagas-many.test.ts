// Many checkouts at once through the gateway as it is started by its users, each sent three times, a fifth of
// them with a step that fails. TIDEGATE_SAGAS=500 makes them as many; TIDEGATE_SAGA_SEED repeats a run.
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, it } from "vitest";
import type { Fault, Service } from "../../examples/checkout/servers.ts";
import { createRandom, nextRandom } from "../../src/resilience/random.ts";
import type { SagaView } from "../../src/saga/core/view.ts";
import type { RunningCheckout } from "./rig/checkout.ts";
import { startCheckout } from "./rig/checkout.ts";

const SAGAS = Number(process.env.TIDEGATE_SAGAS ?? 40);
const SEED = Number(process.env.TIDEGATE_SAGA_SEED ?? 1);
const STARTS_OF_EACH = 3;
const FAILING = 0.2;
const WITHIN_MS = 60_000 + SAGAS * 400;
/** What a starved machine takes for a step is no failure here. */
const STEP_TIMEOUT_MS = 60_000;

const ATTEMPTS = 30;

/** Which step fails, and how: each service breaks in one way. */
const BREAKS = [
  { step: "reserve", service: "inventory", collection: "reservations", forward: "refuse" },
  { step: "charge", service: "payment", collection: "charges", forward: "refuse" },
  { step: "ship", service: "shipping", collection: "shipments", forward: "refuse" },
] as const satisfies readonly { step: string; service: string; collection: string; forward: Fault }[];

interface Order {
  readonly name: string;
  readonly amount: number;
  /** null: nothing fails. */
  readonly broken: number | null;
}

let checkout: RunningCheckout;

beforeAll(async () => {
  checkout = await startCheckout(STEP_TIMEOUT_MS, STEP_TIMEOUT_MS, ATTEMPTS);
});
afterAll(() => checkout.stop());

function createOrders(): readonly Order[] {
  const random = createRandom(SEED);
  return Array.from({ length: SAGAS }, (_, index) => ({
    name: `many-${index}`,
    amount: 1 + Math.floor(nextRandom(random) * 1_000),
    broken: nextRandom(random) < FAILING ? Math.floor(nextRandom(random) * BREAKS.length) : null,
  }));
}

function breakServices(orders: readonly Order[]): void {
  BREAKS.forEach(({ service, collection, forward }, index) => {
    const broken = orders.filter((order) => order.broken === index).map(({ name }) => name);
    checkout.services[service].break({ forward, collection, orders: broken });
  });
}

/** The order's address, however often it is sent. */
async function begin({ name, amount }: Order): Promise<string> {
  const sent = Array.from({ length: STARTS_OF_EACH }, () => checkout.begin(name, amount));
  const locations = new Set(await Promise.all(sent));
  if (locations.size !== 1) throw new Error(`${name} has the addresses ${[...locations].join()}`);
  return [...locations][0];
}

/** Asks for the counts alone: so many pages a second would be a load of their own. */
async function allAtRest(): Promise<void> {
  const giveUpAt = Date.now() + WITHIN_MS;
  for (;;) {
    const counts = await countsOfStates();
    if ((counts.completed ?? 0) + (counts.compensated ?? 0) + (counts.parked ?? 0) === SAGAS) return;
    if (Date.now() > giveUpAt) {
      throw new Error(
        `after ${WITHIN_MS} ms ${JSON.stringify(counts)}\n${checkout.gateway.stderr().slice(-4_000)}`,
      );
    }
    await pause(200);
  }
}

async function countsOfStates(): Promise<Partial<Record<string, number>>> {
  const state: unknown = await (await checkout.admin("GET", "/_gateway/state")).json();
  const sagas: unknown = typeof state === "object" && state !== null ? Reflect.get(state, "sagas") : null;
  return typeof sagas === "object" && sagas !== null ? { ...sagas } : {};
}

/** How a saga ended, and at which step. */
function endOf({ state, stop }: SagaView): string {
  return stop === null ? state : `${state} ${stop.step}: ${stop.note}`;
}

function endFor(broken: number | null): string {
  if (broken === null) return "completed";
  return `compensated ${BREAKS[broken].step}: answered 422`;
}

function standingOf(service: Service, orders: readonly Order[]): number {
  const names = new Set(orders.map(({ name }) => name));
  return service.effects.filter(({ order, undone }) => names.has(order) && !undone).length;
}

describe(`${SAGAS} sagas at once, each sent ${STARTS_OF_EACH} times, a fifth failing (seed ${SEED})`, () => {
  it(
    "one instance for each key; goods, money and parcels add up",
    { timeout: WITHIN_MS * 2 },
    async ({ expect }) => {
      const orders = createOrders();
      breakServices(orders);
      const locations = await Promise.all(orders.map(begin));
      expect(new Set(locations).size).toBe(SAGAS);
      await allAtRest();
      const views = await Promise.all(locations.map((location) => checkout.view(location)));

      const whole = orders.filter(({ broken }) => broken === null);
      const failed = orders.filter(({ broken }) => broken !== null);
      expect(failed.length).toBeGreaterThan(0);
      const ends = new Map(views.map((view) => [view.key, endOf(view)]));
      const wrong = orders.filter(({ name, broken }) => ends.get(name) !== endFor(broken));
      expect(wrong.map(({ name }) => `${name} ${ends.get(name)}`)).toEqual([]);
      const atRest = { parked: 0, running: 0, pending: 0, compensating: 0, abandoned: 0 };
      expect(await countsOfStates()).toEqual({
        ...atRest,
        completed: whole.length,
        compensated: failed.length,
      });

      const { inventory, payment, shipping, mail } = checkout.services;
      expect(standingOf(inventory, whole)).toBe(whole.length);
      expect(standingOf(shipping, whole)).toBe(2 * whole.length);
      expect(standingOf(mail, whole)).toBe(whole.length);
      for (const service of [inventory, payment, shipping, mail]) expect(standingOf(service, failed)).toBe(0);
      const taken = payment.effects
        .filter(({ undone }) => !undone)
        .reduce((sum, { amount }) => sum + amount, 0);
      expect(taken).toBe(whole.reduce((sum, { amount }) => sum + amount, 0));
      // No effect has a second one: every key of a step stands for one saga.
      for (const { effects } of [inventory, payment, shipping, mail]) {
        expect(new Set(effects.map(({ order, key }) => `${order} ${key.split("-")[1]}`)).size).toBe(
          effects.length,
        );
      }
    },
  );
});
