// One run: traffic and faults by the seed, reads in between, then everything heals and must come out right.

import type { LimitTerms } from "../../../src/hub/protocol.ts";
import { MAX_BACKOFF_ROUNDS } from "../../../src/hub/rounds.ts";
import { checkEqual } from "./agreement.ts";
import { healAll, planFaults } from "./faults.ts";
import type { Flaws } from "./flaws.ts";
import type { IsolateNode } from "./isolate-node.ts";
import { Violation } from "./witness.ts";
import type { Scenario } from "./scenarios.ts";
import { World } from "./world.ts";

const REGIONS = ["weur", "enam", "apac", "oc", "sam"];
const KEYS = ["acme", "beta:corp"];
const COUNTERS = ["calls", "bytes"];
const READ_MS = 1_500;
const CAPPED_PERIOD_MS = 20_000;

export interface RunResult {
  readonly scenario: string;
  readonly seed: number;
  /** null: everything holds. */
  readonly violation: string | null;
  readonly invariant: string | null;
  readonly requests: number;
  readonly messages: number;
}

/** Runs a scenario with a seed. Whatever is thrown on the way is a violation. */
export function simulate(scenario: Scenario, seed: number, flaws: Flaws = {}): RunResult {
  const world = new World({
    seed,
    universe: REGIONS,
    skewMs: scenario.skewMs,
    flaws,
  });
  let requests = 0;
  let violation: string | null = null;
  let invariant: string | null = null;
  try {
    requests = runActive(world, scenario);
    runHealed(world, scenario);
  } catch (error) {
    violation =
      error instanceof Violation
        ? error.message
        : `bug: ${error instanceof Error ? error.stack : String(error)}`;
    invariant = error instanceof Violation ? error.invariant : "bug";
  }
  return { scenario: scenario.name, seed, violation, invariant, requests, messages: world.network.sent };
}

/** What runs a result again. */
export function commandFor({ scenario, seed }: RunResult): string {
  return `npm run simulate -- --scenario ${scenario} --seed ${seed}`;
}

function runActive(world: World, scenario: Scenario): number {
  const { chance, queue } = world;
  const regions = REGIONS.slice(0, scenario.regions);
  const lengthMs = scenario.seconds * 1_000;
  let requests = 0;
  regions.forEach((region, at) => {
    const isLate = at >= scenario.regions - scenario.joining;
    queue.after(isLate ? chance.within([0, lengthMs * 0.8]) : 0, () => {
      for (let count = 0; count < scenario.isolates; count++) {
        world.bearIsolate(region).dropped = scenario.dropped * chance.next();
      }
    });
  });
  planFaults(world, scenario, regions);
  const arrive = (): void => {
    if (world.isHealed) return;
    const living = world.living();
    const perMs = (scenario.rate * Math.max(1, living.length)) / 1_000;
    queue.after(chance.gap(world.isSilent ? perMs / 400 : perMs), arrive);
    if (living.length === 0) return;
    requests++;
    request(world, chance.pick(living), scenario);
  };
  queue.after(1, arrive);
  queue.after(READ_MS, () => readAll(world));
  queue.runFor(lengthMs / 2);
  if (scenario.silentMinutes > 0) keepSilent(world, regions, scenario.silentMinutes * chance.next());
  queue.runFor(lengthMs / 2);
  checkCalls(world);
  return requests;
}

/** Isolates whose first batches are not acknowledged and that cannot be heard for long. */
function keepSilent(world: World, regions: readonly string[], minutes: number): void {
  const { network, queue, chance } = world;
  for (const region of regions) {
    const isolate = world.bearIsolate(region);
    network.cut.add(`${region}>${isolate.name}`);
    isolate.count(chance.pick(COUNTERS), chance.pick(KEYS), 1);
    isolate.link.afterResponse();
    queue.after(chance.within([0, 5_000]), () => network.cut.add(`${isolate.name}>${region}`));
    queue.after(minutes * 60_000, () => {
      network.cut.delete(`${region}>${isolate.name}`);
      network.cut.delete(`${isolate.name}>${region}`);
    });
  }
  world.isSilent = true;
  queue.runFor(minutes * 60_000);
  world.isSilent = false;
}

function request(world: World, isolate: IsolateNode, scenario: Scenario): void {
  const { chance, witness, queue } = world;
  // A deploy replaces isolates, and may change one where it runs.
  if (scenario.mixed && chance.happens(0.02)) isolate.isNewer = chance.happens(0.5);
  const terms = chance.pick(termsOf(isolate.isNewer));
  const cost = chance.happens(0.9) ? 1 : chance.whole(2, 4);
  const asked = { terms, cost, onUnavailable: chance.pick(["allow", "deny"] as const) };
  isolate.request(asked, (ending, view) => {
    if (ending !== "taken" && ending !== "taken after a wait") return;
    const takenAt = isolate.clock.now();
    const period = view.leasePeriod;
    const isCapped = terms.consistency === "capped";
    if (isCapped) witness.capped(terms.limit, terms.key, period, cost, CAPS[terms.limit] ?? 0);
    if (chance.happens(0.1)) {
      queue.after(chance.within([0, 300]), () => {
        if (isolate.isDead) return;
        isolate.link.giveBack(view, cost, takenAt);
        if (isCapped) witness.capped(terms.limit, terms.key, period, -cost, 0);
      });
      return;
    }
    isolate.count(chance.pick(COUNTERS), terms.key, chance.whole(1, 3));
  });
}

/** The greatest cap that any version configures. */
const CAPS: Readonly<Record<string, number>> = { plan: 150, tiny: 5, brief: 12 };

function termsOf(isNewer: boolean): LimitTerms[] {
  return KEYS.flatMap((key) => [
    { limit: "soft", key, consistency: "global", units: isNewer ? 80 : 60, windowMs: 10_000 },
    { limit: "local-like", key, consistency: "regional", units: 20, windowMs: isNewer ? 3_000 : 5_000 },
    { limit: "plan", key, consistency: "capped", units: isNewer ? 150 : 100, windowMs: CAPPED_PERIOD_MS },
    { limit: "tiny", key, consistency: "capped", units: 5, windowMs: CAPPED_PERIOD_MS },
    { limit: "brief", key: "acme", consistency: "capped", units: 12, windowMs: 2_000 },
  ]);
}

function readAll(world: World): void {
  for (const node of world.hubs()) {
    const { current } = node;
    if (current === null) continue;
    current.read((hub) => {
      world.witness.readUsage(hub);
      world.witness.inspect(hub, world.isolates.length * 100);
    });
  }
  world.queue.after(READ_MS, () => readAll(world));
}

/** At most one sync a second and isolate; a clock that was set forward may have made one more (I9). */
function checkCalls(world: World): void {
  for (const isolate of world.isolates) {
    const lifeMs = world.queue.now - isolate.bornAt;
    const most = Math.ceil(lifeMs / 1_000) + 1 + (world.skewMs > 0 ? 80 : 0);
    if (isolate.syncedAt.length > most) {
      world.witness.fail("I9", `${isolate.name} has synced ${isolate.syncedAt.length} times in ${lifeMs} ms`);
    }
  }
}

/** No faults any more: isolates send what they have left, hubs agree, and what is over is forgotten. */
function runHealed(world: World, scenario: Scenario): void {
  const { queue, witness, roundMs } = world;
  healAll(world);
  const flush = (): void => {
    for (const isolate of world.living()) isolate.link.afterResponse();
    queue.after(700, flush);
  };
  flush();
  // What was sent late still arrives, and the longest pause between two tries has passed.
  queue.runFor((scenario.late > 0 ? 62_000 : 2_000) + MAX_BACKOFF_ROUNDS * roundMs);
  for (const isolate of world.living()) {
    if (isolate.link.replica.counts.size > 0 || isolate.link.replica.frozen !== null) {
      witness.fail("I3", `${isolate.name} could not send what it had`);
    }
  }
  queue.runFor(5 * roundMs);
  const hubs = world
    .hubs()
    .flatMap(({ current, region }) =>
      current !== null && world.isolates.some((isolate) => isolate.region === region) ? [current.hub] : [],
    );
  checkEqual(witness, hubs);
  for (const hub of hubs) witness.readFinalUsage(hub);
  queue.runFor(3 * CAPPED_PERIOD_MS);
  for (const node of world.hubs()) {
    if (node.current === null) continue;
    node.current.alarm();
    witness.inspectQuiet(node.current.hub);
  }
}
