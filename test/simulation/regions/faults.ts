// Plans what goes wrong in a run: everything at times that the seed draws, and all of it healed at the end.

import { writeOverride } from "../../../src/hub/overrides.ts";
import { NO_LINK_FAULTS } from "./network.ts";
import type { Scenario } from "./scenarios.ts";
import type { World } from "./world.ts";

const UPSTREAMS = ["payments", "catalog"];

export function planFaults(world: World, scenario: Scenario, regions: readonly string[]): void {
  const { chance, network } = world;
  const lengthMs = scenario.seconds * 1_000;
  network.faults = {
    loss: scenario.loss * chance.next(),
    duplicate: scenario.duplicate * chance.next(),
    late: scenario.late * chance.next(),
    latenessMs: [200, 60_000],
  };
  for (const region of regions) {
    const hub = world.hub(region);
    hub.alarmFaults = {
      late: scenario.alarms * chance.next(),
      lateMs: 60_000,
      missing: scenario.alarms * 0.3 * chance.next(),
    };
  }
  const some = (most: number, happen: () => void): void => {
    const times = most === 0 ? 0 : chance.whole(0, most);
    for (let time = 0; time < times; time++) {
      world.queue.after(chance.within([1_000, lengthMs]), () => {
        if (!world.isHealed) happen();
      });
    }
  };
  const anyHub = () => world.hub(chance.pick(regions));
  some(scenario.partitions, () => cutSome(world, regions, chance.within([1_000, lengthMs / 2])));
  some(scenario.hubKills, () => {
    const hub = anyHub();
    const how = chance.pick(["now", "before commit", "after commit"] as const);
    if (how === "now" || hub.current === null) hub.kill(chance.within([0, 5_000]));
    else hub.current.diesAt = how;
  });
  some(scenario.isolateKills, () => {
    const living = world.living();
    if (living.length === 0) return;
    const victim = chance.pick(living);
    victim.kill();
    if (chance.happens(0.7)) world.bearIsolate(victim.region).dropped = victim.dropped;
  });
  some(scenario.twins, () => anyHub().startTwin(chance.within([100, 20_000])));
  some(scenario.lostStorages, () => loseStorage(world, chance.pick(regions)));
  some(scenario.clockSteps, () => {
    const nodes = [...world.hubs(), ...world.living()];
    chance.pick(nodes).clock.set(chance.within([-scenario.skewMs, scenario.skewMs]));
  });
  some(scenario.overrides, () => {
    const { current } = anyHub();
    if (current === null) return;
    const now = current.now();
    const until = now + chance.whole(1, 100_000);
    const terms = chance.happens(0.2) ? null : { until, cursor: chance.whole(0, 512) };
    if (!writeOverride(current.hub, chance.pick(UPSTREAMS), terms, now)) {
      world.witness.fail("I1", `${current.hub.region} could not write an override`);
    }
    current.alarm();
  });
}

/** Ends all faults; what is on its way still arrives. */
export function healAll(world: World): void {
  world.isHealed = true;
  world.network.faults = NO_LINK_FAULTS;
  world.network.cut.clear();
  for (const hub of world.hubs()) {
    hub.alarmFaults = { late: 0, lateMs: 0, missing: 0 };
    if (hub.twin !== null) hub.end(hub.twin);
    if (hub.current !== null) hub.current.diesAt = null;
  }
  for (const isolate of world.isolates) isolate.dropped = 0;
}

/** Cuts the regions in two, or single links in one direction, isolates from their hubs included. */
function cutSome(world: World, regions: readonly string[], forMs: number): void {
  const { chance, network } = world;
  const cuts: string[] = [];
  if (chance.happens(0.5)) {
    const side = new Set(regions.filter(() => chance.happens(0.5)));
    for (const from of [...regions, "ledger"]) {
      for (const to of [...regions, "ledger"]) {
        if (side.has(from) !== side.has(to)) cuts.push(`${from}>${to}`);
      }
    }
  } else {
    cuts.push(`${chance.pick(regions)}>${chance.pick([...regions, "ledger"])}`);
    const living = world.living();
    if (living.length > 0) {
      const { name, region } = chance.pick(living);
      cuts.push(chance.happens(0.5) ? `${name}>${region}` : `${region}>${name}`);
    }
  }
  for (const cut of cuts) network.cut.add(cut);
  world.queue.after(forMs, () => {
    for (const cut of cuts) network.cut.delete(cut);
  });
}

/** Takes a copy of a hub's storage, and sets the storage back to it some time later. */
function loseStorage(world: World, region: string): void {
  const { chance, queue, witness } = world;
  const { store } = world.hub(region);
  const copy = store.copy();
  queue.after(chance.within([100, 15_000]), () => {
    if (world.isHealed) return;
    witness.forgetful.add(region);
    world.hub(region).kill(chance.within([1_000, 3_000]));
    store.setBack(copy);
    witness.leasedTwice = Number.POSITIVE_INFINITY;
  });
}
