// The gateway as one isolate runs it, from the cursor to the answer, in virtual time. It makes the same
// calls in the same order as src/edge/{checks,admission,tries,try,waiting}.ts; all decisions are the
// production code's own.

import { NOT_ADMITTED } from "../../../src/resilience/breaker.ts";
import type { BreakerTransition } from "../../../src/resilience/breaker.ts";
import {
  leaveBulkhead,
  stopWaiting,
  takeLastPermit,
  waitAtBulkhead,
} from "../../../src/resilience/bulkhead.ts";
import { SampleFate } from "../../../src/resilience/concurrency-limit.ts";
import { isHopeless, tryTimeoutMs } from "../../../src/resilience/deadline.ts";
import { levelOfUser, positionWithinLevel } from "../../../src/resilience/level.ts";
import { Outcome } from "../../../src/resilience/outcome.ts";
import { NO_PERMIT, reclaimExpired } from "../../../src/resilience/permits.ts";
import { nextRandom } from "../../../src/resilience/random.ts";
import { backoffMs } from "../../../src/resilience/retry-budget.ts";
import type { UpstreamControl } from "../../../src/resilience/upstream-control.ts";
import {
  admitLevel,
  admitTry,
  cancelTry,
  createUpstreamControl,
  finishTry,
  noteArrival,
  noteOriginal,
  noteOverload,
  scheduleRetry,
  settleRequest,
  takeUpstreamPermit,
} from "../../../src/resilience/upstream-control.ts";
import { regionPermitsOf } from "../../../src/resilience/upstream-loops.ts";
import { EPOCH_MS } from "./clock.ts";
import { LevelWitness } from "./level-witness.ts";
import type {
  Ending,
  PhaseChange,
  Policy,
  PolicyFactory,
  PolicyReading,
  SimulatedRequest,
  World,
} from "./policy.ts";
import { TenantShares } from "./tenant-shares.ts";
import type { TenantPermit } from "./tenant-shares.ts";
import type { TidegateOptions } from "./tidegate-options.ts";
import { DEFAULT_OPTIONS } from "./tidegate-options.ts";
import type { Answer } from "./upstream-model.ts";

/** The gateway with these options; the defaults when none are given. */
export function tidegate(options: TidegateOptions = DEFAULT_OPTIONS): PolicyFactory {
  return { name: "tidegate", create: (world) => new TidegatePolicy(world, options) };
}

/** A request under way. */
interface Exchange {
  readonly request: SimulatedRequest;
  tries: number;
  readonly tenant: TenantPermit | null;
  /** Its client has gone, and it is never heard of again. */
  isGone: boolean;
  isOver: boolean;
}

export class TidegatePolicy implements Policy {
  readonly phaseChanges: PhaseChange[] = [];
  retries = 0;
  unjustRefusals = 0;
  readonly #levels = new LevelWitness();
  readonly #tenants: TenantShares | null;
  readonly #world: World;
  readonly #options: TidegateOptions;
  readonly control: UpstreamControl;
  readonly #afterAnswer: () => void;
  #lastTransition: BreakerTransition | null = null;

  /** `afterAnswer` is called when a request has ended: what the gateway does behind a response. */
  constructor(world: World, options: TidegateOptions, afterAnswer: () => void = () => {}) {
    this.#world = world;
    this.#afterAnswer = afterAnswer;
    this.#options = options;
    this.control = createUpstreamControl(options.upstream);
    const { tenants } = options;
    this.#tenants = tenants === undefined || tenants.share >= 1 ? null : new TenantShares(tenants);
  }

  get levelBreaches(): number {
    return this.#levels.breaches;
  }

  permitsOutAt(now: number): number {
    const { permits } = this.control.bulkhead;
    reclaimExpired(permits, now);
    return permits.inUse + (this.#tenants?.outAt(now) ?? 0);
  }

  read(): PolicyReading {
    const { shed, bulkhead, breaker } = this.control;
    return {
      cursor: shed.cursor + shed.fraction,
      limit: bulkhead.permits.limit,
      inflight: bulkhead.permits.inUse,
      waiting: bulkhead.line.length,
      phase: breaker?.state.phase ?? "closed",
    };
  }

  arrive(request: SimulatedRequest): void {
    const control = this.control;
    const { now } = this.#world.clock;
    const { deadlines, medianMs, latencies } = control;
    if (isHopeless(deadlines, request.deadlineAt - now, medianMs, latencies, now)) {
      this.#world.conclude(request, "deadline_exceeded");
      return;
    }
    const level = levelOfUser(request.trafficClass, request.user, now);
    noteArrival(control, level, now);
    const position = level === control.shed.cursor ? positionWithinLevel(request.id) : 0;
    const passes = admitLevel(control, level, position);
    this.#levels.see(control.shed, level, passes);
    if (!passes) {
      settleRequest(control, false);
      this.#world.conclude(request, "shed");
      this.#afterAnswer();
      return;
    }
    const tenant = this.#takeShare(request, now);
    if (tenant?.token === NO_PERMIT) {
      this.#world.conclude(request, "tenant_limit");
      return;
    }
    noteOriginal(control, now);
    const exchange = { request, tries: 0, tenant, isGone: false, isOver: false };
    if (request.cancelAfterMs !== null) {
      this.#world.clock.after(request.cancelAfterMs, () => this.#abandon(exchange));
    }
    this.#try(exchange);
  }

  #takeShare(request: SimulatedRequest, now: number): TenantPermit | null {
    const { control } = this;
    const regionLimit = regionPermitsOf(control, now);
    return this.#tenants?.take(request, control.bulkhead.permits.limit, regionLimit, now) ?? null;
  }

  #abandon(exchange: Exchange): void {
    if (exchange.isOver) return;
    exchange.isGone = true;
    this.#world.conclude(exchange.request, "cancelled");
  }

  #try(exchange: Exchange): void {
    if (exchange.isGone) return;
    const control = this.control;
    const { now } = this.#world.clock;
    exchange.tries++;
    const token = admitTry(control, now);
    this.#noteTransition();
    if (token === NOT_ADMITTED) {
      this.#conclude(exchange, "circuit_open");
      return;
    }
    const permit = takeUpstreamPermit(control, exchange.request.trafficClass, now);
    if (permit === NO_PERMIT) this.#wait(exchange, token);
    else this.#send(exchange, token, permit);
  }

  #wait(exchange: Exchange, token: number): void {
    const { clock } = this.#world;
    const { bulkhead } = this.control;
    const { request } = exchange;
    const waitMs = Math.min(bulkhead.maxWaitMs, request.deadlineAt - clock.now);
    if (waitMs <= 0) {
      this.#refuseRoom(exchange, token);
      return;
    }
    const deadline = clock.now + waitMs;
    const waiter = waitAtBulkhead(bulkhead, request.trafficClass, deadline, clock.now, (permit) => {
      const forLackOfRoom = permit === NO_PERMIT && clock.now < deadline;
      if (forLackOfRoom) this.#checkRefusal(request);
      const granted = permit === NO_PERMIT && clock.now >= deadline ? this.#takeLast(request) : permit;
      // The promise of a real waiter resolves after the code that called it; so does this.
      clock.after(0, () => {
        if (granted === NO_PERMIT) this.#refuseRoom(exchange, token);
        else this.#send(exchange, token, granted);
      });
    });
    if (waiter === null) {
      this.#checkRefusal(request);
      this.#refuseRoom(exchange, token);
      return;
    }
    clock.after(waitMs, () => {
      if (exchange.isGone) return;
      if (!stopWaiting(bulkhead, waiter, clock.now)) return;
      const last = this.#takeLast(request);
      if (last === NO_PERMIT) this.#refuseRoom(exchange, token);
      else this.#send(exchange, token, last);
    });
  }

  #takeLast({ trafficClass }: SimulatedRequest): number {
    return takeLastPermit(this.control.bulkhead, this.#world.clock.now, trafficClass);
  }

  #checkRefusal(request: SimulatedRequest): void {
    const { newest } = this.control.bulkhead.line;
    const unjust = newest.some((waiter, index) => index > request.trafficClass && waiter !== null);
    if (unjust) this.unjustRefusals++;
  }

  #refuseRoom(exchange: Exchange, token: number): void {
    if (exchange.isGone) return;
    cancelTry(this.control, token, this.#world.clock.now);
    noteOverload(this.control);
    this.#conclude(exchange, "concurrency_limit");
  }

  #send(exchange: Exchange, token: number, permit: number): void {
    if (exchange.isGone) return;
    const { clock, upstream } = this.#world;
    const control = this.control;
    const startedAt = clock.now;
    const remainingMs = exchange.request.deadlineAt - startedAt;
    if (remainingMs <= 0) {
      cancelTry(control, token, startedAt);
      leaveBulkhead(control.bulkhead, permit, startedAt);
      this.#conclude(exchange, "deadline_exceeded");
      return;
    }
    const inflight = control.bulkhead.permits.inUse;
    let answered = false;
    const finish = (answer: Answer | null): void => {
      if (answered || exchange.isGone) return;
      answered = true;
      this.#finish(exchange, token, permit, answer, startedAt, inflight);
    };
    upstream.send(finish);
    clock.after(tryTimeoutMs(this.#options.upstream.timeoutMs, remainingMs), () => finish(null));
  }

  #finish(
    exchange: Exchange,
    token: number,
    permit: number,
    answer: Answer | null,
    startedAt: number,
    inflight: number,
  ): void {
    const { clock, random } = this.#world;
    const { now } = clock;
    const judged = judge(answer);
    const result = { target: 0, ...judged, latencyMs: now - startedAt, startedAt, inflight, retryAfterAt: 0 };
    const isCrowded = finishTry(this.control, token, permit, result, now, random);
    const isPutBack = isCrowded && exchange.request.trafficClass === 0;
    this.#noteTransition();
    const waitMs = judged.ending === "ok" || answer === 500 ? null : this.#retryDelay(exchange, isPutBack);
    if (waitMs === null) {
      this.#conclude(exchange, judged.ending);
      return;
    }
    this.retries++;
    clock.after(waitMs, () => this.#try(exchange));
  }

  #retryDelay(exchange: Exchange, isPutBack: boolean): number | null {
    const { clock, random } = this.#world;
    const { retry } = this.#options;
    const { retryBudget, medianMs } = this.control;
    if (!exchange.request.idempotent || exchange.tries >= retry.attempts || retryBudget === null) return null;
    const waitMs = backoffMs(exchange.tries - 1, retry.delayMs, retry.maxDelayMs, nextRandom(random));
    if (clock.now + waitMs + medianMs >= exchange.request.deadlineAt) return null;
    return scheduleRetry(this.control, clock.now, isPutBack) ? waitMs : null;
  }

  #conclude(exchange: Exchange, ending: Ending): void {
    if (exchange.tenant !== null) this.#tenants?.giveBack(exchange.tenant, this.#world.clock.now);
    exchange.isOver = true;
    settleRequest(this.control, ending === "ok");
    this.#world.conclude(exchange.request, ending);
    this.#afterAnswer();
  }

  #noteTransition(): void {
    const transition = this.control.breaker?.lastTransition ?? null;
    if (transition === null || transition === this.#lastTransition) return;
    this.#lastTransition = transition;
    const { at, from, to, reason, openForMs } = transition;
    this.phaseChanges.push({ atMs: at - EPOCH_MS, from, to, reason, openForMs });
  }
}

function judge(answer: Answer | null): { ending: Ending; outcome: Outcome; fate: SampleFate | null } {
  if (answer === null) {
    return { ending: "upstream_timeout", outcome: Outcome.failLocal, fate: SampleFate.timedOut };
  }
  if (answer === 0) return { ending: "upstream_unreachable", outcome: Outcome.failLocal, fate: null };
  if (answer === 503) return { ending: "failed", outcome: Outcome.failRemote, fate: SampleFate.refused };
  if (answer >= 500) return { ending: "failed", outcome: Outcome.failRemote, fate: null };
  return { ending: "ok", outcome: Outcome.ok, fate: SampleFate.served };
}
