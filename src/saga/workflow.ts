// The executor of sagas: a workflow that does what the ledger says, one durable step for each step and
// compensation.
//
// Compensations are steps of their own and not the platform's rollback handlers. Those stop at the first
// handler that fails for good and leave everything before it undone; they know no pivot; and an instance
// whose process was killed among them keeps the status of a rollback, which neither pause nor resume moves.
// Here every state is one in which an executor may be killed, paused, resumed or replaced: it holds nothing
// that the ledger does not know, and the ledger fences off whoever is not the last.

import { WorkflowEntrypoint } from "cloudflare:workers";
import type { WorkflowEvent, WorkflowStep } from "cloudflare:workers";
import type { Engine } from "../edge/engine.ts";
import type { Told } from "./core/calls.ts";
import type { ExecutorParams, SagaLedgerStub } from "./core/protocol.ts";
import type { Work } from "./core/state.ts";
import { ledgerOf, sagaLedgersOf } from "./ledgers.ts";
import { performCall } from "./perform.ts";

/** What a workflow needs of the gateway: the engine that requests run on, too. */
export interface SagaGateway {
  engine(bindings: Readonly<Record<string, unknown>>, region: string): Engine;
}

/** Rounds of work in one run: each settles at least one step or compensation. */
const MAX_ROUNDS = 500;
/** The ledger counts tries. Here only the ledger itself can fail for so long. */
const RETRIES = { limit: 10_000, delay: delayOf };
const STEP_TIMEOUT_MS = 24 * 3600 * 1000;
/** Before the ledger is asked again that did not answer. */
const LEDGER_RETRY_MS = 2_000;

/** A step of the workflow has to come back later; the message tells when. */
function comeBack(waitMs: number, why: string): Error {
  return new Error(`next in ${Math.max(1, Math.ceil(waitMs))} ms: ${why}`);
}

function delayOf({ error }: { readonly error: Error }): number {
  const match = /next in (\d+) ms/.exec(error.message);
  return match === null ? LEDGER_RETRY_MS : Number(match[1]);
}

/** The class that Cloudflare instantiates. */
export function createSagaWorkflow(gateway: SagaGateway) {
  return class SagaWorkflow extends WorkflowEntrypoint<Record<string, unknown>, ExecutorParams> {
    override async run(event: Readonly<WorkflowEvent<ExecutorParams>>, step: WorkflowStep): Promise<string> {
      const { id, run, saga, region } = event.payload;
      const ledgers = sagaLedgersOf(this.env);
      if (ledgers === null) throw new Error("the Worker has no binding SAGA_LEDGER");
      const runner = new Runner({ id, run }, () => ledgerOf(ledgers, saga, region), {
        engine: () => gateway.engine(this.env, region),
        bindings: this.env,
        waitUntil: (work) => this.ctx.waitUntil(work),
      });
      let works = await step.do("begin", { retries: RETRIES }, () => runner.resume());
      for (let round = 0; works.length > 0; round++) {
        if (round === MAX_ROUNDS) throw new Error("too many rounds");
        const next = await Promise.all(
          works.map((work) =>
            step.do(`${work.direction} ${work.step}`, { retries: RETRIES, timeout: STEP_TIMEOUT_MS }, () =>
              runner.work(work),
            ),
          ),
        );
        works = unique(next.flat());
      }
      return "done";
    }
  };
}

interface Surroundings {
  readonly engine: () => Engine;
  readonly bindings: Readonly<Record<string, unknown>>;
  readonly waitUntil: (work: Promise<unknown>) => void;
}

class Runner {
  readonly #self: { readonly id: string; readonly run: number };
  readonly #ledger: () => SagaLedgerStub;
  readonly #around: Surroundings;

  constructor(
    self: { readonly id: string; readonly run: number },
    ledger: () => SagaLedgerStub,
    around: Surroundings,
  ) {
    this.#self = self;
    this.#ledger = ledger;
    this.#around = around;
  }

  async resume(): Promise<Work[]> {
    const reply = await this.#ledger().resume(this.#self);
    return reply.kind === "work" ? [...reply.next] : [];
  }

  /** Does one piece of work until it is settled; gives what to go on with. */
  async work(work: Work): Promise<Work[]> {
    let told: Told | null = null;
    for (;;) {
      const reply = await this.#ledger().step({ ...this.#self, work, told });
      if (reply.kind === "stale") return [];
      const { command, origin } = reply;
      if (command.kind === "settled") return [...command.next];
      if (command.kind === "later") throw comeBack(command.waitMs, `${work.direction} ${work.step}`);
      const { attempt, purpose, call } = command;
      const { engine, bindings, waitUntil } = this.#around;
      told = { attempt, purpose, result: await performCall(engine(), call, origin, bindings, waitUntil) };
    }
  }
}

function unique(works: readonly Work[]): Work[] {
  return [...new Map(works.map((work) => [`${work.direction} ${work.step}`, work])).values()];
}
