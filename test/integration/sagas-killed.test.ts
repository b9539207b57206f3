// The process group is killed with SIGKILL while sagas are at every step and every compensation at once,
// and started again on the same data. What counts is what the services of the checkout did.
import { describe, it } from "vitest";
import type { Call, Gate, Service } from "../../examples/checkout/servers.ts";
import { until } from "./rig/index.ts";
import { startCheckout } from "./rig/checkout.ts";

const STEP_TIMEOUT_MS = 6_000;
const WITHIN_MS = 60_000;
const FORWARD = ["reserve", "charge", "label", "ship", "notify"] as const;
const UNDO = ["label", "charge", "reserve"] as const;

/** Sagas that are started just before each kill. */
const JUST_STARTED = 3;

/** `reserve forward` */
type Place = `${string} ${"forward" | "undo"}`;

/** Where an order is when the gateway is killed for the first, the second time... */
interface Victim {
  readonly order: string;
  readonly places: readonly Place[];
  readonly end: "completed" | "compensated";
}

const AT_STEPS: readonly Victim[] = [
  ...FORWARD.map((step): Victim => ({ order: `f-${step}`, places: [`${step} forward`], end: "completed" })),
  ...UNDO.map((step): Victim => ({ order: `u-${step}`, places: [`${step} undo`], end: "compensated" })),
];

/** At the same place once more. A step that can be asked for its outcome is not called again. */
const TWICE: readonly Victim[] = [
  { order: "twice-notify", places: ["notify forward", "notify forward"], end: "completed" },
  ...UNDO.map((step): Victim => {
    return { order: `twice-${step}`, places: [`${step} undo`, `${step} undo`], end: "compensated" };
  }),
];

/** At each step, and then at each compensation. */
const PAIRS: readonly Victim[] = (["reserve", "charge", "label"] as const).flatMap((step) =>
  UNDO.map((undone): Victim => {
    return { order: `${step}-${undone}`, places: [`${step} forward`, `${undone} undo`], end: "compensated" };
  }),
);

function placeOf({ key }: Call): string {
  const [, step, direction] = (key ?? "").split("-");
  return `${step} ${direction}`;
}

/** Holds each victim's call at its next place, and never lets it go; how many places each has come to. */
function holdVictims(
  services: readonly Service[],
  victims: readonly Victim[],
  at: "before" | "after",
): ReadonlyMap<string, number> {
  const held = new Map(victims.map(({ order }) => [order, 0]));
  const gate: Gate = (call, when) => {
    const victim = victims.find(({ order }) => order === call.order);
    const count = held.get(call.order ?? "") ?? 0;
    if (victim === undefined || when !== at || victim.places[count] !== placeOf(call)) return null;
    held.set(victim.order, count + 1);
    return new Promise(() => {});
  };
  for (const service of services) service.gate = gate;
  return held;
}

// Side by side, each with a gateway of its own: nearly all of their time they wait for leases to end.
describe.concurrent.for([
  ["every step and compensation, before their calls had an effect", AT_STEPS, "before"],
  ["every step and compensation, after their effect, with the answer lost", AT_STEPS, "after"],
  ["a compensation, and again while it is repeated", TWICE, "before"],
  ["every step, and then every compensation", PAIRS, "after"],
] as const)("killed at %s", ([, victims, at]) => {
  it(
    "comes to the right end within a minute, each effect once, one key per step",
    { timeout: 240_000 },
    async ({ expect, onTestFinished }) => {
      const checkout = await startCheckout(STEP_TIMEOUT_MS, STEP_TIMEOUT_MS);
      onTestFinished(() => checkout.stop());
      const { services, gateway, begin, rest } = checkout;
      const all: readonly Service[] = Object.values(services);
      const held = holdVictims(all, victims, at);
      const failing = victims.filter(({ end }) => end === "compensated").map(({ order }) => order);
      services.shipping.break({ forward: "refuse", collection: "shipments", orders: failing });
      const locations = await Promise.all(victims.map(({ order }) => begin(order)));
      const fresh: string[] = [];
      for (let kills = 1; kills <= victims[0].places.length; kills++) {
        await until(`all are held for kill ${kills}`, WITHIN_MS, () =>
          [...held.values()].every((count) => count >= kills),
        );
        // Some have been answered a moment ago, and hardly begun.
        const names = Array.from({ length: JUST_STARTED }, (_, index) => `new-${kills}-${index}`);
        fresh.push(...names);
        locations.push(...(await Promise.all(names.map((order) => begin(order)))));
        await gateway.kill();
        await gateway.restart();
      }
      const restartedAt = Date.now();
      const views = await Promise.all(locations.map((location) => rest(location, WITHIN_MS)));
      expect(Date.now() - restartedAt).toBeLessThan(WITHIN_MS);
      const wanted = [...victims, ...fresh.map((order) => ({ order, end: "completed" }))];
      expect(Object.fromEntries(views.map(({ key, state }) => [key, state]))).toEqual(
        Object.fromEntries(wanted.map(({ order, end }) => [order, end])),
      );
      for (const { order, end } of wanted) {
        const done = all.flatMap((service) => service.effects.filter((effect) => effect.order === order));
        const steps = done.map(({ key }) => key.split("-")[1]).toSorted();
        const isUndone = end === "compensated";
        expect(steps, order).toEqual(isUndone ? ["charge", "label", "reserve"] : [...FORWARD].toSorted());
        const standing = all.flatMap((service) => service.standing(order));
        expect(standing.length, order).toBe(isUndone ? 0 : 5);
      }
      for (const [name, keys] of keysByStep(all)) expect(keys.size, name).toBe(1);
    },
  );
});

/** The keys of each saga's steps; the first part of a key is the same for all keys of a saga. */
function keysByStep(all: readonly Service[]): ReadonlyMap<string, ReadonlySet<string>> {
  const byStep = new Map<string, Set<string>>();
  for (const { key } of all.flatMap(({ calls }) => calls)) {
    if (key === null) continue;
    const name = key.split("-").slice(0, 3).join("-");
    byStep.set(name, (byStep.get(name) ?? new Set()).add(key));
  }
  return byStep;
}
