// Executors are instances of a workflow: they are created from here, moved when they hang, and ended when
// another one takes over. Nothing here decides what a saga does; losing any of these calls costs time alone.

import type { ExecutorParams } from "../../src/saga/core/protocol.ts";

/** Instances in one call to create them. */
const BATCH = 100;
/** How often, and for how long in all, a pause is looked for. */
const PAUSE_POLL_MS = 25;
const PAUSE_POLLS = 80;

/** The part of a workflow's binding that is used here; the runtime's own type fits. */
export interface ExecutorWorkflow {
  createBatch(batch: { id: string; params: ExecutorParams }[]): Promise<unknown>;
  get(id: string): Promise<ExecutorInstance>;
}

interface ExecutorInstance {
  status(): Promise<{ status: string }>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  terminate(): Promise<void>;
}

export interface Launch {
  readonly id: string;
  readonly params: ExecutorParams;
}

export class Executors {
  readonly #workflow: ExecutorWorkflow;
  #waiting: Launch[] = [];
  #creating: Promise<void> | null = null;

  constructor(workflow: ExecutorWorkflow) {
    this.#workflow = workflow;
  }

  /** Creates an executor soon; those that exist already stay. Failures are left to the watchdog. */
  launch(launch: Launch): Promise<void> {
    this.#waiting.push(launch);
    this.#creating ??= this.#create().finally(() => (this.#creating = null));
    return this.#creating;
  }

  async #create(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, BATCH);
      try {
        await this.#workflow.createBatch(batch.map(({ id, params }) => ({ id, params })));
      } catch (error) {
        console.error(`saga: ${batch.length} executors could not be created`, error);
      }
    }
  }

  /** `missing` where there is none, or it does not tell. */
  async statusOf(id: string): Promise<string> {
    try {
      const instance = await this.#workflow.get(id);
      return (await instance.status()).status;
    } catch {
      return "missing";
    }
  }

  /** A pause that is taken back. One that is alive goes on; a dead one begins again at its cached steps. */
  async pauseAndResume(id: string): Promise<void> {
    try {
      const instance = await this.#workflow.get(id);
      await instance.pause();
      for (let poll = 0; poll < PAUSE_POLLS; poll++) {
        if ((await instance.status()).status === "paused") break;
        await new Promise((resolve) => setTimeout(resolve, PAUSE_POLL_MS));
      }
      await instance.resume();
    } catch (error) {
      console.error(`saga: executor ${id} could not be moved`, error);
    }
  }

  /** Ends one that has been replaced; it is fenced off anyway. */
  async end(id: string): Promise<void> {
    try {
      const instance = await this.#workflow.get(id);
      await instance.terminate();
    } catch {
      // It has ended by itself, or never began.
    }
  }
}
