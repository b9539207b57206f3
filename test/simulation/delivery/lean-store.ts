// The rows of an outbox in memory, for runs of a hundred thousand jobs: nothing is copied, only what the core
// asks for is kept, and writes are counted by their kind, since they are what an outbox costs.

import type { NewJob, OutboxReads, Trial, Write } from "../../../src/delivery/core/storage.ts";
import type { AttemptRecord } from "../../../src/delivery/core/protocol.ts";

export class LeanStore {
  readonly jobs = new Map<number, NewJob>();
  readonly #trials = new Map<number, { trial: Trial; log: readonly AttemptRecord[] }>();
  readonly written = new Map<Write["kind"], number>();

  apply(writes: readonly Write[]): void {
    for (const write of writes) {
      this.written.set(write.kind, (this.written.get(write.kind) ?? 0) + 1);
      if (write.kind === "insert") this.jobs.set(write.job.seq, write.job);
      else if (write.kind === "trial") this.#trials.set(write.seq, write);
      else if (write.kind === "end") this.#end(write.seq, write);
    }
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
