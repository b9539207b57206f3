// A world for the state machine: upstreams with a plan for each step, an executor that takes pieces of
// work in any order and may die at any moment, and a clock. Upstreams are idempotent by key.

import type { CallResult } from "../../../src/saga/core/call-result.ts";
import type { SagaCall, SagaInput, Told } from "../../../src/saga/core/calls.ts";
import { commandFor } from "../../../src/saga/core/calls.ts";
import type { Compensation, SagaDefinition, StepDefinition } from "../../../src/saga/core/definition.ts";
import { pendingWork } from "../../../src/saga/core/progress.ts";
import type { SagaState, Work } from "../../../src/saga/core/state.ts";
import { createState } from "../../../src/saga/core/state.ts";

/** `lost`: it is done, and the answer never comes; `down`: 503, nothing is done. */
export interface StepPlan {
  readonly forward: "ok" | "refuse" | "lost-once" | "lost-always" | "down-once" | "down-always";
  readonly undo: "ok" | "refuse" | "down-once" | "down-always" | "lost-once";
}

export interface Seen {
  readonly step: string;
  readonly direction: "forward" | "undo" | "outcome";
  readonly key: string | null;
}

const INPUT: SagaInput = { body: { id: "o1" }, params: {}, query: {}, headers: {} };
const IDENTITY = { seed: "seed", input: INPUT };

export class World {
  readonly definition: SagaDefinition;
  readonly plans: Readonly<Record<string, StepPlan>>;
  readonly chance: () => number;
  state: SagaState;
  now = 1_000_000;
  /** Effects that stand, by forward key. */
  readonly effects = new Set<string>();
  /** How often each key had its effect. */
  readonly done = new Map<string, number>();
  readonly seen: Seen[] = [];
  crashesLeft: number;
  readonly #asked = new Map<string, number>();

  constructor(
    definition: SagaDefinition,
    plans: Readonly<Record<string, StepPlan>>,
    chance: () => number,
    crashes: number,
  ) {
    this.definition = definition;
    this.plans = plans;
    this.chance = chance;
    this.crashesLeft = crashes;
    this.state = createState(definition, this.now);
  }

  /** Runs until nothing is left to do. `between` may interfere after each command. */
  run(between: (world: World) => void = () => {}): void {
    for (let round = 0; round < 500; round++) {
      const works = pendingWork(this.definition, this.state);
      if (works.length === 0) return;
      this.#runExecutor(works, between);
      this.now += 60_000;
    }
    throw new Error("the saga does not come to an end");
  }

  /** One executor: until it has nothing to do, or dies. */
  #runExecutor(first: readonly Work[], between: (world: World) => void): void {
    let open = first.map((work) => ({ work, told: null as Told | null, dueAt: 0 }));
    let next: Work[] = [];
    while (open.length > 0) {
      const ready = open.filter(({ dueAt }) => dueAt <= this.now);
      if (ready.length === 0) {
        this.now = Math.min(...open.map(({ dueAt }) => dueAt));
        continue;
      }
      const item = ready[Math.floor(this.chance() * ready.length)];
      const { work, told } = item;
      item.told = null;
      const { state, command } = commandFor(
        this.definition,
        this.state,
        IDENTITY,
        work,
        told,
        this.now,
        this.chance(),
      );
      // What is stored is what is known: through JSON, as in the ledger.
      this.state = JSON.parse(JSON.stringify(state));
      this.now += 5;
      if (this.#crashes()) return;
      if (command.kind === "call") {
        const result = this.#perform(work, command.purpose === "outcome", command.call);
        if (this.#crashes()) return;
        item.told = { attempt: command.attempt, purpose: command.purpose, result };
      } else if (command.kind === "later") item.dueAt = this.now + command.waitMs;
      else {
        open = open.filter((other) => other !== item);
        next.push(...command.next);
      }
      between(this);
      if (open.length === 0) {
        const unique = new Map(next.map((each) => [`${each.direction} ${each.step}`, each]));
        open = [...unique.values()].map((each) => ({ work: each, told: null, dueAt: 0 }));
        next = [];
      }
    }
  }

  #crashes(): boolean {
    if (this.crashesLeft === 0 || this.chance() > 0.1) return false;
    this.crashesLeft--;
    this.now += 120_000;
    return true;
  }

  #perform({ step, direction }: Work, isOutcome: boolean, call: SagaCall): CallResult {
    const plan = this.plans[step];
    this.seen.push({ step, direction: isOutcome ? "outcome" : direction, key: call.idempotencyKey });
    const forwardKey = call.path.split("/").at(-1) ?? "";
    if (isOutcome) return this.effects.has(forwardKey) ? answer(200, { id: forwardKey }) : answer(404, null);
    if (direction === "undo") return this.#undo(plan, step, forwardKey);
    const key = call.idempotencyKey ?? "";
    const tries = this.#count(`forward ${step}`);
    const { forward } = plan;
    if (forward === "refuse") return answer(422, null);
    if (forward === "down-always" || (forward === "down-once" && tries === 1)) return answer(503, null);
    if (!this.done.has(key)) {
      this.done.set(key, (this.done.get(key) ?? 0) + 1);
      this.effects.add(key);
    }
    const isLost = forward === "lost-always" || (forward === "lost-once" && tries === 1);
    return isLost ? { kind: "lost", reason: "timeout" } : answer(201, { id: key });
  }

  #undo({ undo }: StepPlan, step: string, forwardKey: string): CallResult {
    const tries = this.#count(`undo ${step}`);
    if (undo === "down-always" || (undo === "down-once" && tries === 1)) return answer(503, null);
    if (!this.effects.has(forwardKey)) return answer(404, null);
    if (undo === "refuse") return answer(409, null);
    this.effects.delete(forwardKey);
    return undo === "lost-once" && tries === 1 ? { kind: "lost", reason: "timeout" } : answer(200, null);
  }

  #count(what: string): number {
    const count = (this.#asked.get(what) ?? 0) + 1;
    this.#asked.set(what, count);
    return count;
  }
}

function answer(status: number, body: { id: string } | null): CallResult {
  return { kind: "answered", status, body, retryAfterMs: null };
}

export interface StepShape {
  readonly kind: StepDefinition["kind"];
  readonly hasOutcome: boolean;
  readonly undo: "by-key" | "by-output" | "none";
}

/** A definition of groups of steps; ids are `s0`, `s1`... in the order written. */
export function define(groups: readonly (readonly StepShape[])[]): SagaDefinition {
  let count = 0;
  return {
    name: "test",
    version: "1",
    key: "{body.id}",
    timeoutMs: 86_400_000,
    groups: groups.map((group) => group.map((shape) => defineStep(`s${count++}`, shape))),
  };
}

function defineStep(id: string, { kind, hasOutcome, undo }: StepShape): StepDefinition {
  const call = { upstream: "u", method: "POST", path: `/${id}`, headers: [] };
  const retry = { attempts: 8, delayMs: 100, maxDelayMs: 1000 };
  const reference = undo === "by-output" ? "{output.id}" : "{idempotencyKey}";
  const compensation: Compensation =
    undo === "none" || kind !== "compensatable"
      ? { kind: "none", why: "test" }
      : { kind: "call", call: { ...call, method: "DELETE", path: `/${reference}` }, retry, timeoutMs: 1000 };
  const outcome = hasOutcome ? { ...call, method: "GET", path: "/by-key/{idempotencyKey}" } : null;
  return { id, kind, call, retry, timeoutMs: 1000, outcome, compensation };
}
