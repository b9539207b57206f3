// The process group is killed with SIGKILL while sagas are at every step and every compensation at once,
// and started again on the same data. What counts is what the services of the checkout did.
import { afterEach, describe, it } from "vitest";
import type { Call, Gate, Service } from "../../examples/checkout/servers.ts";
import { until } from "./rig/index.ts";
import type { RunningCheckout } from "./rig/checkout.ts";
import { startCheckout } from "./rig/checkout.ts";

const STEP_TIMEOUT_MS = 6_000;
const WITHIN_MS = 60_000;
const FORWARD = ["reserve", "charge", "label", "ship", "notify"] as const;
const UNDO = ["label", "charge", "reserve"] as const;

/** Each order is held at one step in one direction. */
const TARGETS = [
  ...FORWARD.map((step) => ({ order: `forward-${step}`, step, direction: "forward" })),
  ...UNDO.map((step) => ({ order: `undo-${step}`, step, direction: "undo" })),
];

/** What is called again after a call was lost, because nobody can tell whether it was done. */
const REPEATED = new Set(["forward-notify/notify", ...UNDO.map((step) => `undo-${step}/${step}`)]);

let checkout: RunningCheckout | null = null;

afterEach(async () => {
  await checkout?.stop();
  checkout = null;
});

function isTarget({ order, key }: Call): boolean {
  const [, step, direction] = (key ?? "").split("-");
  return TARGETS.some((each) => each.order === order && each.step === step && each.direction === direction);
}

/** Holds so many calls of each order's target, one after the other, and never lets them go. */
function holdTargets(
  services: readonly Service[],
  at: "before" | "after",
  times: number,
): Map<string, number> {
  const held = new Map<string, number>();
  const gate: Gate = (call, when) => {
    const before = held.get(call.order ?? "") ?? 0;
    if (when !== at || !isTarget(call) || before === times) return null;
    held.set(call.order ?? "", before + 1);
    return new Promise(() => {});
  };
  for (const service of services) service.gate = gate;
  return held;
}

describe.for([
  ["before", "their calls had an effect", 1],
  ["after", "they had their effect and the answers are lost", 1],
  ["after", "they had their effect, and again while it recovers", 2],
] as const)("killed at every step and compensation, %s %s", ([at, , times]) => {
  it(
    "comes to the right end within a minute, each effect once, one key per step",
    { timeout: 180_000 },
    async ({ expect }) => {
      checkout = await startCheckout(STEP_TIMEOUT_MS);
      const { services, gateway, begin, rest } = checkout;
      const all: readonly Service[] = Object.values(services);
      const held = holdTargets(all, at, times);
      const undone = TARGETS.filter(({ direction }) => direction === "undo").map(({ order }) => order);
      services.shipping.break({ forward: "refuse", collection: "shipments", orders: undone });
      const locations = await Promise.all(TARGETS.map(({ order }) => begin(order)));
      for (let kills = 1; kills <= times; kills++) {
        // A step that can be asked for its outcome is not called again.
        const isHeld = (order: string, step: string): boolean =>
          (held.get(order) ?? 0) >= kills || (kills > 1 && !REPEATED.has(`${order}/${step}`));
        await until("every saga is held", WITHIN_MS, () =>
          TARGETS.every(({ order, step }) => isHeld(order, step)),
        );
        await gateway.kill();
        await gateway.restart();
      }
      const restartedAt = Date.now();
      const views = await Promise.all(locations.map((location) => rest(location, WITHIN_MS)));
      expect(Date.now() - restartedAt).toBeLessThan(WITHIN_MS);
      const ends = Object.fromEntries(views.map(({ key, state }) => [key, state]));
      expect(ends).toEqual(
        Object.fromEntries(
          TARGETS.map(({ order, direction }) => [order, direction === "undo" ? "compensated" : "completed"]),
        ),
      );
      for (const { order, direction } of TARGETS) {
        const done = all.flatMap((service) => service.effects.filter((effect) => effect.order === order));
        const steps = done.map(({ key }) => key.split("-")[1]).toSorted();
        const isUndone = direction === "undo";
        expect(steps, order).toEqual(isUndone ? ["charge", "label", "reserve"] : [...FORWARD].toSorted());
        const standing = all.flatMap((service) => service.standing(order));
        expect(standing.length, order).toBe(isUndone ? 0 : 5);
      }
      expectOneKeyPerStep(expect, all);
    },
  );
});

/** Of each saga, by the part of its keys that all of them share. */
function expectOneKeyPerStep(
  expect: (value: unknown, what: string) => { toBe(value: unknown): void },
  all: readonly Service[],
): void {
  const keys = new Map<string, Set<string>>();
  for (const { key } of all.flatMap(({ calls }) => calls)) {
    if (key === null) continue;
    const name = key.split("-").slice(0, 3).join("-");
    keys.set(name, (keys.get(name) ?? new Set()).add(key));
  }
  for (const [name, used] of keys) expect(used.size, name).toBe(1);
}
