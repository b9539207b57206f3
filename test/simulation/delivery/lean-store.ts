// The rows of an outbox in memory, for runs of a hundred thousand jobs: nothing is copied, only what the core
// asks for is kept, and writes are counted by their kind, since they are what an outbox costs.

import type {
  NewJob,
  OutboxReads,
  OutboxRow,
  StoredOutbox,
  Trial,
  Write,
} from "../../../src/delivery/core/storage.ts";
import type { AttemptRecord } from "../../../src/delivery/core/protocol.ts";

export class LeanStore {
  readonly jobs = new Map<number, NewJob>();
  readonly #trials = new Map<number, { trial: Trial; log: readonly AttemptRecord[] }>();
  readonly written = new Map<Write["kind"], number>();
  readonly #claims = new Map<number, StoredOutbox["claims"][number]>();
  readonly #gates = new Map<string, StoredOutbox["gates"][number]>();
  #row: OutboxRow | null = null;

  apply(writes: readonly Write[]): void {
    for (const write of writes) {
      this.written.set(write.kind, (this.written.get(write.kind) ?? 0) + 1);
      if (write.kind === "insert") this.jobs.set(write.job.seq, write.job);
      else if (write.kind === "trial") this.#trials.set(write.seq, write);
      else if (write.kind === "end") this.#end(write.seq, write);
      else if (write.kind === "claim") this.#claims.set(write.slot, write);
      else if (write.kind === "gate") this.#gates.set(write.name, write);
      else if (write.kind === "outbox") this.#row = write.row;
    }
  }

  /** Jobs that have ended so. */
  count(status: NewJob["status"]): number {
    return [...this.jobs.values()].filter((job) => job.status === status).length;
  }

  /** Tries of which the upstream's answer is kept as a failure. */
  get failedTries(): number {
    const logs = [...this.#trials.values()].map(({ log }) => log);
    return logs.flat().filter(({ status }) => status !== null && status >= 500).length;
  }

  /** Of one job. */
  get mostTries(): number {
    return Math.max(0, ...[...this.#trials.values()].map(({ trial }) => trial.attempts));
  }

  /** What a boot reads. */
  stored(): StoredOutbox {
    const live = [...this.jobs.values()].filter(({ status }) => status === "live");
    const trials = live.flatMap(({ seq }) => {
      const known = this.#trials.get(seq);
      return known === undefined ? [] : [[seq, known.trial] as const];
    });
    return {
      row: this.#row,
      lastSeq: this.jobs.size,
      live,
      trials: new Map(trials),
      deadKeys: [],
      deadRows: 0,
      sequels: { last: 0, waiting: 0 },
      claims: [...this.#claims.values()],
      gates: [...this.#gates.values()].filter(({ refusing }) => refusing !== "nothing"),
    };
  }

  #end(seq: number, { status, endedAt, reason }: Extract<Write, { kind: "end" }>): void {
    const job = this.jobs.get(seq);
    if (job !== undefined) this.jobs.set(seq, { ...job, status, endedAt, reason });
  }

  readonly reads: OutboxReads = {
    job: (seq) => this.jobs.get(seq) ?? null,
    trial: (seq) => this.#trials.get(seq)?.trial ?? null,
    log: (seq) => this.#trials.get(seq)?.log ?? [],
    target: (seq) => this.jobs.get(seq)?.target ?? null,
    result: () => null,
    idempotent: () => null,
    dead: () => [],
    countDead: () => 0,
    jobsAfter: () => [],
  };
}
