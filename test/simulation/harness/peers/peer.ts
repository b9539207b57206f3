// A published algorithm as a policy of the harness: its rules decide, this carries out. A refusal is put to
// the rules once more for each less important class, at the same instant, with the same user and the same
// draw: if one of them would have passed, somebody important was refused in favour of somebody who is not
// (G1, or G2 where room was what lacked). Requests that pass go to the upstream and are given up after the
// same time as everybody's.

import { nextRandom } from "../../../../src/resilience/random.ts";
import type { Answer } from "../upstream-model.ts";
import type { Ending, Policy, PolicyFactory, PolicyReading, SimulatedRequest, World } from "../policy.ts";

/** Who asks to pass. */
export interface Applicant {
  readonly trafficClass: number;
  readonly user: string;
  /** Uniform in [0, 1). */
  readonly draw: number;
  /** Clock value in ms. */
  readonly now: number;
}

export interface PeerAnswer {
  readonly trafficClass: number;
  /** null: given up. */
  readonly answer: Answer | null;
  readonly latencyMs: number;
  /** Requests under way when this one was sent, itself included. */
  readonly inflight: number;
  readonly now: number;
}

export interface PeerRules {
  /** What a refusal is: by a threshold, or for want of room. */
  readonly refusal: "shed" | "concurrency_limit";
  /** Asked before `wouldPass`: windows that end by now. */
  advance(now: number): void;
  /** Whether it would pass now. Changes nothing. */
  wouldPass(applicant: Applicant): boolean;
  decided(applicant: Applicant, passed: boolean): void;
  answered(result: PeerAnswer): void;
  read(): Pick<PolicyReading, "cursor" | "limit">;
}

/** Tries of one request, and retries as a part of all first tries. */
export interface PeerRetries {
  readonly attempts: number;
  readonly share: number;
}

const CLASSES = 4;
const TIMEOUT_MS = 10_000;
const NO_RETRIES: PeerRetries = { attempts: 1, share: 0 };

/** A policy of these rules; `rules` may look into the world for what a gateway could not see. */
export function peer(name: string, rules: (world: World) => PeerRules, retries = NO_RETRIES): PolicyFactory {
  return { name, create: (world) => new Peer(world, rules(world), retries) };
}

class Peer implements Policy {
  readonly phaseChanges = [];
  retries = 0;
  unjustRefusals = 0;
  levelBreaches = 0;
  readonly #world: World;
  readonly #rules: PeerRules;
  readonly #retries: PeerRetries;
  #inflight = 0;
  #firstTries = 0;

  constructor(world: World, rules: PeerRules, retries: PeerRetries) {
    this.#world = world;
    this.#rules = rules;
    this.#retries = retries;
  }

  read(): PolicyReading {
    return { ...this.#rules.read(), inflight: this.#inflight, waiting: 0, phase: "closed" };
  }

  permitsOutAt(): number {
    return this.#inflight;
  }

  arrive(request: SimulatedRequest): void {
    this.#firstTries++;
    this.#try(request, 1);
  }

  #try(request: SimulatedRequest, attempt: number): void {
    const { trafficClass, user } = request;
    const { now } = this.#world.clock;
    const applicant = { trafficClass, user, draw: nextRandom(this.#world.random), now };
    this.#rules.advance(now);
    const passes = this.#rules.wouldPass(applicant);
    if (!passes) this.#checkOrder(applicant);
    this.#rules.decided(applicant, passes);
    if (passes) this.#send(request, attempt);
    else this.#world.conclude(request, this.#rules.refusal);
  }

  #checkOrder(applicant: Applicant): void {
    for (let trafficClass = applicant.trafficClass + 1; trafficClass < CLASSES; trafficClass++) {
      if (!this.#rules.wouldPass({ ...applicant, trafficClass })) continue;
      if (this.#rules.refusal === "shed") this.levelBreaches++;
      else this.unjustRefusals++;
      return;
    }
  }

  #send(request: SimulatedRequest, attempt: number): void {
    const { clock, upstream } = this.#world;
    const { trafficClass } = request;
    const sentAtMs = clock.elapsedMs;
    const inflight = ++this.#inflight;
    let isOver = false;
    const finish = (answer: Answer | null): void => {
      if (isOver) return;
      isOver = true;
      this.#inflight--;
      const latencyMs = clock.elapsedMs - sentAtMs;
      this.#rules.answered({ trafficClass, answer, latencyMs, inflight, now: clock.now });
      if (answer === 503 && this.#mayRetry(attempt)) {
        this.retries++;
        this.#try(request, attempt + 1);
        return;
      }
      this.#world.conclude(request, endingOf(answer));
    };
    upstream.send(finish);
    clock.after(TIMEOUT_MS, () => finish(null));
  }

  #mayRetry(attempt: number): boolean {
    const { attempts, share } = this.#retries;
    return attempt < attempts && this.retries < share * this.#firstTries;
  }
}

function endingOf(answer: Answer | null): Ending {
  if (answer === null) return "upstream_timeout";
  if (answer === 0) return "upstream_unreachable";
  return answer >= 500 ? "failed" : "ok";
}
