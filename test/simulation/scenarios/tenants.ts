// S12, S13 and S14: a hub that is gone or begins anew while isolates come and go and clients cancel; a tenant
// that is twenty times as noisy as it was; tasks of several requests each. Regions of ten isolates.

import { createRandom, nextRandom } from "../../../src/resilience/random.ts";
import { VirtualClock } from "../harness/clock.ts";
import { goodput } from "../harness/measures.ts";
import type { Ending, PolicyFactory, SimulatedRequest } from "../harness/policy.ts";
import type { RegionOptions } from "../harness/region.ts";
import { region } from "../harness/region.ts";
import { runScenario } from "../harness/run.ts";
import { LARGE_UPSTREAM, USUAL_MIX, steadyLoad } from "../harness/scenarios.ts";
import { DEFAULT_OPTIONS } from "../harness/tidegate-options.ts";
import { UpstreamModel, capacityOf } from "../harness/upstream-model.ts";
import { failingAt } from "../region-breaker/upstream.ts";
import { World } from "../region-breaker/world.ts";
import { withMax } from "./options.ts";
import type { Entry, Measure, MeasureOptions } from "./row.ts";
import { atLeast, atMost, never, told } from "./row.ts";

export const TENANTS: readonly Entry[] = [
  {
    id: "S12.1",
    what: "no hub from 10 s to 70 s, 10 % of 100 isolates replaced each second, 1 % errors, 200/s",
    measure: measureNoHub,
  },
  rough("S12.2", "no hub from 10 s to 70 s", { isHubGone }),
  rough("S12.3", "the hub begins anew after 10 s with what it had stored", { hubRestartsAtMs: 10_000 }),
  rough("S12.4", "2 % of the isolates replaced each second", { churn: 0.02 }),
  rough("S12.5", "10 % of the isolates replaced each second", { churn: 0.1 }),
  rough("S12.6", "no hub from 10 s to 70 s, 10 % of the isolates replaced each second", {
    isHubGone,
    churn: 0.1,
  }),
  rough("S12.7", "the same with max of 200", { isHubGone, churn: 0.1, options: withMax(200) }),
  rough("S12.8", "of 1 % of the requests nothing is ever heard again", {}, 0.01),
  rough("S12.9", "of 10 % of the requests nothing is ever heard again", {}, 0.1),
  noisy("S13.1", 1),
  noisy("S13.2", 0.25),
  noisy("S13.3", 0.1),
  ...[2, 3, 4].map((calls) => fanOut(`S14.${calls}`, calls)),
];

function isHubGone(atMs: number): boolean {
  return atMs >= 10_000 && atMs < 70_000;
}

/** The breakers' part of S12: traffic of a healthy upstream goes on without a hub. */
function measureNoHub({ seeds }: MeasureOptions): Measure[] {
  const shares = seeds.map((seed) => {
    const world = new World({ seed, isolates: 100, rps: 200, isHubGone, upstream: () => failingAt(0.01) });
    const [watchedRegion] = world.regions;
    for (let second = 1, next = 0; second <= 90; second++) {
      world.runUntil(second * 1000);
      for (let count = 0; count < 10; count++) watchedRegion.replaceIsolate(next++ % 100);
    }
    const { good, failed, refused, shed } = watchedRegion.tally;
    return { passed: (good + failed) / (good + failed + refused + shed) };
  });
  return [
    atLeast(
      "traffic that flows",
      "share",
      0.999,
      shares.map(({ passed }) => passed),
    ),
  ];
}

type Roughness = Omit<RegionOptions, "isolates">;

function rough(id: string, what: string, options: Roughness, cancelled = 0): Entry {
  const policy = region({ isolates: 10, ...options });
  return {
    id,
    what: `1.5x of 1,000/s; a region of 10; ${what}`,
    measure: ({ seeds, isShort }) => {
      const durationMs = options.isHubGone === undefined ? 60_000 : 90_000;
      const load = {
        policy,
        upstream: LARGE_UPSTREAM,
        cancelled,
        durationMs: isShort ? durationMs / 3 : durationMs,
      };
      const results = seeds.map((seed) => steadyLoad({ ...load, seed }, 1.5));
      const kept = results.map(
        ({ classes: [{ ok, offered, endings }] }) => ok / (offered - (endings.cancelled ?? 0)),
      );
      return [
        atLeast("P0 success of the others", "share", 0.99, kept),
        never(
          "permits out a minute after the end",
          results.map(({ permitsLeaked }) => permitsLeaked),
        ),
        told(
          "goodput",
          "share",
          results.map((result) => goodput(result)),
        ),
      ];
    },
  };
}

const TENANT_COUNT = 10;
const USERS_PER_TENANT = 30;
const NOISY_FROM_MS = 20_000;
const NOISY_UNTIL_MS = 60_000;
/** What a tenant usually asks for, of the capacity. */
const TENANT_LOAD = 0.06;
const NOISE = 20;

function noisy(id: string, share: number): Entry {
  return {
    id,
    what: `one of ten tenants at 6 % of 1,000/s each goes up 20 times; a region of 10, shares of ${share}`,
    measure: ({ seeds }) => {
      const runs = seeds.map((seed) => runNoisy(seed, share));
      return [
        atMost(
          "the others' p99, against before",
          "times",
          1.2,
          runs.map(({ tail }) => tail),
        ),
        atLeast(
          "the others' success",
          "share",
          0.999,
          runs.map(({ others }) => others),
        ),
        told(
          "their P0's",
          "share",
          runs.map(({ othersP0 }) => othersP0),
        ),
        told(
          "the noisy one's",
          "share",
          runs.map(({ loud }) => loud),
        ),
        told(
          "goodput",
          "share",
          runs.map(({ useful }) => useful),
        ),
      ];
    },
  };
}

interface Seen {
  readonly user: string;
  readonly trafficClass: number;
  readonly arrivedMs: number;
  ms: number;
  ending: Ending;
}

/** A policy whose requests' endings are written down. */
function watched(one: PolicyFactory, seen: Seen[]): PolicyFactory {
  return {
    name: one.name,
    create: (world) => {
      const open = new Map<SimulatedRequest, number>();
      const policy = one.create({
        ...world,
        conclude: (request, ending) => {
          const arrivedMs = open.get(request) ?? Number.NaN;
          open.delete(request);
          const { user, trafficClass } = request;
          seen.push({ user, trafficClass, arrivedMs, ms: world.clock.elapsedMs - arrivedMs, ending });
          world.conclude(request, ending);
        },
      });
      const arrive = policy.arrive.bind(policy);
      policy.arrive = (request) => {
        open.set(request, world.clock.elapsedMs);
        arrive(request);
      };
      return policy;
    },
  };
}

function tenantOf(user: string): string {
  return user.slice(0, user.indexOf("/"));
}

function runNoisy(
  seed: number,
  share: number,
): Record<"tail" | "others" | "othersP0" | "loud" | "useful", number> {
  const seen: Seen[] = [];
  const capacity = capacityOf(LARGE_UPSTREAM);
  const isLoud = (atMs: number): boolean => atMs >= NOISY_FROM_MS && atMs < NOISY_UNTIL_MS;
  const weight = (atMs: number): number => (isLoud(atMs) ? NOISE : 1);
  const result = runScenario({
    seed,
    durationMs: 80_000,
    policy: watched(
      region({ isolates: 10, options: { ...DEFAULT_OPTIONS, tenants: { of: tenantOf, share } } }),
      seen,
    ),
    upstream: LARGE_UPSTREAM,
    rates: (atMs) =>
      USUAL_MIX.map((part) => part * TENANT_LOAD * capacity * (TENANT_COUNT - 1 + weight(atMs))),
    users: 1,
    userOf: (random, atMs) => {
      const at = nextRandom(random) * (TENANT_COUNT - 1 + weight(atMs));
      const tenant = at < weight(atMs) ? 0 : 1 + Math.floor(at - weight(atMs));
      return `t${tenant}/${Math.floor(nextRandom(random) * USERS_PER_TENANT)}`;
    },
    deadlineMs: 30_000,
    idempotent: true,
    changes: [],
  });
  const [loud, others] = [true, false].map((is) =>
    seen.filter(({ user }) => (tenantOf(user) === "t0") === is),
  );
  const during = (all: readonly Seen[]): Seen[] => all.filter(({ arrivedMs }) => isLoud(arrivedMs));
  const before = others.filter(({ arrivedMs }) => arrivedMs < NOISY_FROM_MS);
  return {
    tail: tailMs(during(others)) / tailMs(before),
    others: success(during(others)),
    othersP0: success(during(others).filter(({ trafficClass }) => trafficClass === 0)),
    loud: success(during(loud)),
    useful: goodput(result, NOISY_FROM_MS, NOISY_UNTIL_MS),
  };
}

function success(all: readonly Seen[]): number {
  return all.filter(({ ending }) => ending === "ok").length / all.length;
}

function tailMs(all: readonly Seen[]): number {
  const sorted = all
    .flatMap(({ ending, ms }) => (ending === "ok" ? [ms] : []))
    .toSorted((one, other) => one - other);
  return sorted[Math.floor(sorted.length * 0.99)];
}

/** How much more is offered than the upstream can serve, when every task makes all its calls. */
const FAN_OUT_TIMES = 2;

function fanOut(id: string, calls: number): Entry {
  return {
    id,
    what: `tasks of ${calls} calls one after another, 2x of 1,000/s; a region of 10, 300 users, one class`,
    measure: ({ seeds, isShort }) => {
      const shares = seeds.map((seed) => runTasks(seed, calls, isShort ? 15_000 : 60_000));
      const best = 1 / FAN_OUT_TIMES;
      return [
        atLeast("tasks that succeed whole", "share", best - 0.1, shares),
        told("an oracle", "share", [best]),
        told("calls shed at random", "share", [best ** calls]),
      ];
    },
  };
}

/** The part of tasks all of whose calls succeed. A task is of one user, and ends with a call that fails. */
function runTasks(seed: number, calls: number, durationMs: number): number {
  const clock = new VirtualClock();
  const random = createRandom(seed);
  const upstream = new UpstreamModel(LARGE_UPSTREAM, clock, createRandom(seed ^ 0x5bd1e995));
  const then = new Map<SimulatedRequest, (ending: Ending) => void>();
  const conclude = (request: SimulatedRequest, ending: Ending): void => {
    const goOn = then.get(request);
    then.delete(request);
    goOn?.(ending);
  };
  const world = { clock, random: createRandom(seed ^ 0x27d4eb2f), upstream, conclude };
  const policy = region({ isolates: 10 }).create(world);
  const tally = { tasks: 0, whole: 0, calls: 0 };
  const call = (user: string, left: number): void => {
    const id = `${seed}-${tally.calls++}`;
    const deadlineAt = clock.now + 30_000;
    const request = { id, user, trafficClass: 1, deadlineAt, idempotent: true, cancelAfterMs: null };
    then.set(request, (ending) => {
      if (ending !== "ok") return;
      if (left === 1) tally.whole++;
      else clock.after(0, () => call(user, left - 1));
    });
    policy.arrive(request);
  };
  const perMs = (FAN_OUT_TIMES * capacityOf(LARGE_UPSTREAM)) / calls / 1000;
  const arrive = (): void => {
    clock.after(-Math.log(1 - nextRandom(random)) / perMs, () => {
      if (clock.elapsedMs >= durationMs) return;
      tally.tasks++;
      call(`user-${Math.floor(nextRandom(random) * 300)}`, calls);
      arrive();
    });
  };
  arrive();
  clock.runUntil(Number.POSITIVE_INFINITY);
  return tally.whole / tally.tasks;
}
