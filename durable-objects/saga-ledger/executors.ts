// Executors are instances of a workflow: they are created from here, looked at when they do not move, and
// ended when another one takes over. Nothing here decides what a saga does; losing any of these calls costs
// time alone.
//
// Those that the platform will not create now wait here in the order in which they came, and are tried again.
// Each is also a row of the ledger, so that a process that dies loses none. Creating one that exists changes
// nothing. Each call has a deadline: one that hangs must not hold up the others.

import type { DrainRate } from "../../src/delivery/core/drain-rate.ts";
import { addDrained, drainPerSecond } from "../../src/delivery/core/drain-rate.ts";
import { answerWithin } from "../../src/region/object-calls.ts";
import { FRESH_PACE, afterCreation, afterRefusal, creatable } from "../../src/saga/core/creation-pace.ts";
import type { ExecutorParams } from "../../src/saga/core/protocol.ts";

const CREATE_TIMEOUT_MS = 10_000;
const STATUS_TIMEOUT_MS = 3_000;
const END_TIMEOUT_MS = 10_000;

/** The part of a workflow's binding that is used here; the runtime's own type fits. */
export interface ExecutorWorkflow {
  createBatch(batch: { id: string; params: ExecutorParams }[]): Promise<unknown>;
  get(id: string): Promise<ExecutorInstance>;
}

interface ExecutorInstance {
  status(): Promise<{ status: string }>;
  terminate(): Promise<void>;
}

export interface Launch {
  readonly id: string;
  readonly params: ExecutorParams;
}

export class Executors {
  readonly #workflow: () => ExecutorWorkflow;
  readonly #waiting = new Map<string, Launch>();
  #creating: Promise<void> | null = null;
  #pace = FRESH_PACE;
  #created: DrainRate = { perSecond: 0, at: 0 };

  constructor(workflow: () => ExecutorWorkflow) {
    this.#workflow = workflow;
  }

  /** Creates an executor as soon as the platform lets it. */
  launch(launch: Launch): Promise<void> {
    this.#waiting.set(launch.id, launch);
    this.#creating ??= this.#create().finally(() => (this.#creating = null));
    return this.#creating;
  }

  /** Whether it has yet to be created. */
  isWaiting(id: string): boolean {
    return this.#waiting.has(id);
  }

  /** One that waited is not created any more. */
  forget(id: string): void {
    this.#waiting.delete(id);
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  createdPerSecond(now: number): number {
    return drainPerSecond(this.#created, now);
  }

  async #create(): Promise<void> {
    while (this.#waiting.size > 0) {
      const { count, waitMs } = creatable(this.#pace, this.#waiting.size, Date.now());
      if (count === 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      else await this.#createBatch([...this.#waiting.values()].slice(0, count));
    }
  }

  async #createBatch(batch: readonly Launch[]): Promise<void> {
    const isCreated = await this.#isCreated(batch);
    const now = Date.now();
    if (!isCreated) {
      this.#pace = afterRefusal(this.#pace, now, Math.random());
      return;
    }
    for (const { id } of batch) this.#waiting.delete(id);
    this.#pace = afterCreation(this.#pace, batch.length, now);
    this.#created = addDrained(this.#created, batch.length, now);
  }

  async #isCreated(batch: readonly Launch[]): Promise<boolean> {
    const create = async (): Promise<boolean> => {
      try {
        await this.#workflow().createBatch(batch.map(({ id, params }) => ({ id, params })));
        return true;
      } catch (error) {
        console.error(`saga: ${batch.length} executors could not be created yet`, error);
        return false;
      }
    };
    return (await answerWithin(CREATE_TIMEOUT_MS, create())) ?? false;
  }

  /** `missing` where there is none, or it does not tell. */
  async statusOf(id: string): Promise<string> {
    const asked = async (): Promise<string> => (await (await this.#workflow().get(id)).status()).status;
    return (await answerWithin(STATUS_TIMEOUT_MS, asked())) ?? "missing";
  }

  /** Ends one that has been replaced; it is fenced off anyway. */
  async end(id: string): Promise<void> {
    this.forget(id);
    const ended = async (): Promise<void> => (await this.#workflow().get(id)).terminate();
    // It may have ended by itself, or never have begun.
    await answerWithin(END_TIMEOUT_MS, ended());
  }
}
