// A queue in front of an upstream that answers 500 for a while, in virtual time: producers at a steady rate,
// the outbox's core, consumers as the platform runs them (batches of 100 pointers, six deliveries at a time,
// so many invocations at once), each delivery through the production breaker, limit and cursor.

import type {
  AcceptItem,
  ClaimedJob,
  DeliveryOutcome,
  QueueTerms,
} from "../../../src/delivery/core/protocol.ts";
import { leaseMsFor } from "../../../src/delivery/consumer-leases.ts";
import { outcomeOfRefusal } from "../../../src/delivery/deliver-outcome.ts";
import { Verdict } from "../../../src/edge/verdict.ts";
import { createRandom, nextRandom } from "../../../src/resilience/random.ts";
import { VirtualClock } from "../harness/clock.ts";
import type { Ending, SimulatedRequest, World } from "../harness/policy.ts";
import { DEFAULT_OPTIONS } from "../harness/tidegate-options.ts";
import { TidegatePolicy } from "../harness/tidegate-policy.ts";
import { UpstreamModel } from "../harness/upstream-model.ts";
import { SimulatedOutbox, type Settlement } from "./outbox.ts";

const BATCH_POINTERS = 100;
const CLAIM_JOBS = 30;
const LANES = 6;
const CALL_MS = 5;
/** Of a delivery with the default timeout. */
const LEASE_MS = leaseMsFor(15_000);
const ACCEPT_EVERY_MS = 50;

export interface Outage {
  readonly seed: number;
  readonly perSecond: number;
  readonly downFromMs: number;
  readonly downUntilMs: number;
  readonly untilMs: number;
  readonly invocations: number;
  /** Calls that the upstream serves at once, and how long each takes. */
  readonly servers: number;
  readonly serviceMs: number;
  readonly terms: QueueTerms;
  /** Of answers while it is down; else it answers well. */
  readonly errorRate?: number;
  /** How often the outbox's object dies, at random moments until the upstream is well again. */
  readonly crashes?: number;
}

export interface OutageResult {
  readonly accepted: number;
  readonly refused: number;
  readonly delivered: number;
  readonly dead: number;
  readonly left: number;
  /** Tries that failed, as the upstream counts them: those that went out before the circuit opened for the
   * first time, its probes, and others. */
  readonly failures: { readonly noticing: number; readonly probes: number; readonly other: number };
  /** The same, as the outbox has them. */
  readonly failedTries: number;
  /** Of one job. */
  readonly mostTries: number;
  readonly openings: number;
  /** Openings by a probe. */
  readonly reopenings: number;
  readonly deepest: number;
  /** After the end of the outage, until the depth was that of normal running; null: never. */
  readonly drainedAfterMs: number | null;
  readonly mostPerSecond: number;
  readonly mostAtOnce: number;
  readonly deferrals: number;
  /** Rows written, without those that every job costs. */
  readonly trialRows: number;
  readonly claimRows: number;
}

const ITEM: AcceptItem = {
  target: { kind: "request", request: { method: "POST", path: "/", headers: [], body: null } },
  priority: 1,
  consumer: null,
  tenant: null,
  route: "orders",
  key: null,
  idempotency: null,
  traceparent: null,
  requestId: null,
  maxAgeMs: null,
};

export function simulateOutage(outage: Outage): OutageResult {
  const clock = new VirtualClock();
  const random = createRandom(outage.seed);
  const { servers, serviceMs } = outage;
  const model = { servers, serviceMs, service: "fixed", beyond: "queue", networkMs: 2 } as const;
  const upstream = new UpstreamModel(model, clock, random);
  const consumers = new Consumers(outage, clock, upstream);
  const outbox = new SimulatedOutbox(clock, random, outage.terms, (ids) => consumers.take(ids));
  consumers.begin(outbox);
  let deepest = 0;
  let drainedAt: number | null = null;
  const perStep = (outage.perSecond * ACCEPT_EVERY_MS) / 1_000;
  const produce = (): void => {
    outbox.accept(Array.from({ length: perStep }, () => ITEM));
    deepest = Math.max(deepest, outbox.book.live.size);
    const isNormal = outbox.book.live.size <= outage.perSecond;
    if (clock.elapsedMs > outage.downUntilMs && isNormal) drainedAt ??= clock.elapsedMs;
    if (clock.elapsedMs + ACCEPT_EVERY_MS < outage.untilMs) clock.after(ACCEPT_EVERY_MS, produce);
  };
  clock.after(0, produce);
  clock.after(outage.downFromMs, () => (upstream.errorRate = outage.errorRate ?? 1));
  for (let crash = 0; crash < (outage.crashes ?? 0); crash++) {
    clock.after(nextRandom(random) * outage.downUntilMs, () => outbox.crash());
  }
  clock.after(outage.downUntilMs, () => (upstream.errorRate = 0));
  clock.runUntil(outage.untilMs);
  const { counts, live } = outbox.book;
  const arrivals = upstream.arrivalsBySecond;
  const openings = consumers.policy.phaseChanges.filter(({ to }) => to === "open");
  const written = (kind: "trial" | "claim"): number => outbox.store.written.get(kind) ?? 0;
  return {
    accepted: outbox.accepted,
    refused: outbox.refused,
    // By the rows: what was counted in the second before a crash may be missing in the counts.
    delivered: outbox.store.count("succeeded"),
    dead: outbox.store.count("dead"),
    left: live.size,
    failures: consumers.failures,
    failedTries: outbox.store.failedTries,
    mostTries: outbox.store.mostTries,
    openings: openings.length,
    reopenings: openings.filter(({ from }) => from === "half-open").length,
    deepest,
    drainedAfterMs: drainedAt === null ? null : drainedAt - outage.downUntilMs,
    mostPerSecond: Math.max(...Object.values(arrivals)),
    mostAtOnce: consumers.mostAtOnce,
    deferrals: counts.deferred,
    trialRows: written("trial"),
    claimRows: written("claim"),
  };
}

/** What one invocation has in hand. */
interface Invocation {
  ids: string[];
  tasks: ClaimedJob[];
  underWay: number;
  isFree: boolean;
  isClaiming: boolean;
}

class Consumers {
  readonly policy: TidegatePolicy;
  mostAtOnce = 0;
  readonly failures = { noticing: 0, probes: 0, other: 0 };
  readonly #clock: VirtualClock;
  readonly #waiting: string[] = [];
  #head = 0;
  readonly #free: Invocation[];
  readonly #running = new Map<string, { readonly job: ClaimedJob; readonly invocation: Invocation }>();
  #told: Settlement[] = [];
  #outbox: SimulatedOutbox | null = null;
  #calls = 0;
  #atUpstream = 0;

  constructor(outage: Outage, clock: VirtualClock, upstream: UpstreamModel) {
    this.#clock = clock;
    this.#free = Array.from({ length: outage.invocations }, () => ({
      ids: [],
      tasks: [],
      underWay: 0,
      isFree: true,
      isClaiming: false,
    }));
    const counted = new Proxy(upstream, {
      get: (target, name) => (name === "send" ? this.#countedSend(target) : Reflect.get(target, name)),
    });
    const world: World = {
      clock,
      random: createRandom(outage.seed + 1),
      upstream: counted,
      conclude: (request, ending) => this.#conclude(request, ending),
    };
    const { upstream: defaults } = DEFAULT_OPTIONS;
    const concurrency = { ...defaults.concurrency, max: outage.servers };
    const options = {
      upstream: { ...defaults, concurrency },
      retry: { ...DEFAULT_OPTIONS.retry, attempts: 1 },
    };
    this.policy = new TidegatePolicy(world, options);
  }

  begin(outbox: SimulatedOutbox): void {
    this.#outbox = outbox;
  }

  take(ids: readonly string[]): void {
    this.#waiting.push(...ids);
    this.#clock.after(CALL_MS, () => this.#start());
  }

  #countedSend(upstream: UpstreamModel): UpstreamModel["send"] {
    return (done) => {
      this.#atUpstream++;
      this.mostAtOnce = Math.max(this.mostAtOnce, this.#atUpstream);
      const reason = this.#reasonOfTry();
      upstream.send((answer) => {
        this.#atUpstream--;
        if (answer !== 200) this.failures[reason]++;
        done(answer);
      });
    };
  }

  /** What a try is to the breaker that lets it through. */
  #reasonOfTry(): keyof OutageResult["failures"] {
    const { control, phaseChanges } = this.policy;
    if (control.breaker?.state.phase === "half-open") return "probes";
    return phaseChanges.length === 0 ? "noticing" : "other";
  }

  #start(): void {
    while (this.#head < this.#waiting.length) {
      const invocation = this.#free.pop();
      if (invocation === undefined) return;
      invocation.isFree = false;
      invocation.ids = this.#waiting.slice(this.#head, this.#head + BATCH_POINTERS);
      this.#head += invocation.ids.length;
      if (this.#head > 100_000) {
        this.#waiting.splice(0, this.#head);
        this.#head = 0;
      }
      this.#next(invocation);
    }
  }

  #next(invocation: Invocation): void {
    while (invocation.tasks.length > 0 && invocation.underWay < LANES) this.#deliver(invocation);
    if (!isDone(invocation)) return;
    if (invocation.ids.length === 0) {
      invocation.isFree = true;
      this.#free.push(invocation);
      this.#clock.after(0, () => this.#start());
      return;
    }
    const ids = invocation.ids.splice(0, CLAIM_JOBS);
    invocation.isClaiming = true;
    this.#clock.after(CALL_MS, () => {
      invocation.isClaiming = false;
      invocation.tasks.push(...(this.#outbox?.claim(ids, LEASE_MS) ?? []));
      this.#next(invocation);
    });
  }

  #deliver(invocation: Invocation): void {
    const job = invocation.tasks.shift();
    if (job === undefined) return;
    invocation.underWay++;
    const id = `${job.id}/${(this.#calls += 1)}`;
    this.#running.set(id, { job, invocation });
    // A turn of its own: what ends at once must not end before it has begun.
    this.#clock.after(0, () =>
      this.policy.arrive({
        id,
        trafficClass: job.priority,
        user: job.id,
        deadlineAt: this.#clock.now + 10_000,
        idempotent: true,
        cancelAfterMs: null,
      }),
    );
  }

  #conclude({ id }: SimulatedRequest, ending: Ending): void {
    const running = this.#running.get(id);
    if (running === undefined) throw new Error(`${id} ended twice`);
    this.#running.delete(id);
    const { job, invocation } = running;
    this.#told.push({ job, outcome: this.#outcomeOf(ending, job) });
    if (this.#told.length === 1) {
      this.#clock.after(CALL_MS, () => this.#outbox?.settle(this.#told.splice(0)));
    }
    invocation.underWay--;
    this.#clock.after(0, () => this.#next(invocation));
  }

  #outcomeOf(ending: Ending, job: ClaimedJob): DeliveryOutcome {
    if (ending === "ok") {
      return { kind: "succeeded", result: { status: 200, headers: [], body: null } };
    }
    const state = this.policy.control.breaker?.state;
    const untilOpenMs = state?.phase === "open" ? Math.max(0, state.openUntil - this.#clock.now) : 0;
    const isRamping = state?.phase === "ramp";
    const refused = { sent: false, retryAfterMs: untilOpenMs, isRamping };
    if (ending === "circuit_open") return outcomeOfRefusal(Verdict.circuitOpen, refused, job);
    if (ending === "shed") return outcomeOfRefusal(Verdict.shed, { ...refused, retryAfterMs: 0 }, job);
    if (ending === "concurrency_limit") {
      return outcomeOfRefusal(Verdict.upstreamConcurrency, { ...refused, retryAfterMs: 0 }, job);
    }
    return { kind: "failed", status: 500, error: null, retryAfterMs: null, result: null };
  }
}

/** Whether an invocation has nothing in hand any more; false for one that has been given back. */
function isDone({ isFree, isClaiming, tasks, underWay }: Invocation): boolean {
  return !isFree && !isClaiming && tasks.length === 0 && underWay === 0;
}
