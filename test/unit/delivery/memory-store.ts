// The rows of an outbox in memory: what the core reads and writes, without SQL. Everything is copied on its
// way in and out, as it would be in a database.

import type {
  JobRow,
  NewJob,
  OutboxReads,
  OutboxRow,
  Sequel,
  StoredOutbox,
  Trial,
  Write,
} from "../../../src/delivery/core/storage.ts";
import type { AttemptRecord, JobResult } from "../../../src/delivery/core/protocol.ts";
import type { Refusing } from "../../../src/delivery/core/backpressure.ts";

interface Row {
  job: NewJob;
  result: JobResult | null;
  hasTarget: boolean;
}

export class MemoryStore {
  readonly jobs = new Map<number, Row>();
  readonly trials = new Map<number, { trial: Trial; log: readonly AttemptRecord[] }>();
  readonly claims = new Map<number, { fence: number; until: number; seqs: readonly number[] }>();
  readonly gates = new Map<string, Refusing>();
  readonly sequels = new Map<number, Sequel>();
  row: OutboxRow | null = null;

  apply(writes: readonly Write[]): void {
    for (const write of structuredClone(writes)) this.#apply(write);
  }

  #apply(write: Write): void {
    switch (write.kind) {
      case "insert": {
        const { job } = write;
        if (this.jobs.has(job.seq)) throw new Error(`job ${job.seq} is there already`);
        const clash = [...this.jobs.values()].some(
          ({ job: { scope } }) => scope !== null && scope === job.scope,
        );
        if (clash) throw new Error(`the key of job ${job.seq} is taken`);
        this.jobs.set(job.seq, { job, result: null, hasTarget: true });
        return;
      }
      case "end": {
        const { status, endedAt, reason, result } = write;
        const row = this.#row(write.seq);
        row.job = { ...row.job, status, endedAt, reason, hasResult: result !== null };
        row.result = result;
        if (status === "succeeded") row.hasTarget = false;
        return;
      }
      case "revive": {
        const row = this.#row(write.seq);
        const { expiresAt } = write;
        row.job = { ...row.job, status: "live", endedAt: null, reason: null, hasResult: false, expiresAt };
        row.result = null;
        return;
      }
      case "free-key": {
        const row = this.#row(write.seq);
        row.job = { ...row.job, scope: null };
        return;
      }
      case "trial":
        this.trials.set(write.seq, write);
        return;
      case "claim":
        if ([...this.claims.values()].some(({ fence }) => fence >= write.fence)) {
          throw new Error(`fence ${write.fence} is not the newest`);
        }
        this.claims.set(write.slot, write);
        return;
      case "renew-claim": {
        const claim = this.claims.get(write.slot);
        if (claim === undefined) throw new Error(`there is no claim ${write.slot}`);
        this.claims.set(write.slot, { ...claim, until: write.until });
        return;
      }
      case "gate":
        if (write.refusing === "nothing") this.gates.delete(write.name);
        else this.gates.set(write.name, write.refusing);
        return;
      case "outbox":
        if (this.row === null || this.row.fence <= write.row.fence) this.row = write.row;
        return;
      case "sequel":
        if (this.sequels.has(write.sequel.seq)) throw new Error(`sequel ${write.sequel.seq} came twice`);
        this.sequels.set(write.sequel.seq, write.sequel);
        return;
      case "end-sequels":
        for (const seq of write.seqs) this.sequels.delete(seq);
        return;
      case "delete":
        for (const seq of write.seqs) {
          this.jobs.delete(seq);
          this.trials.delete(seq);
        }
    }
  }

  #row(seq: number): Row {
    const row = this.jobs.get(seq);
    if (row === undefined) throw new Error(`there is no job ${seq}`);
    return row;
  }

  readonly reads: OutboxReads = {
    job: (seq) => structuredClone(this.jobs.get(seq)?.job ?? null),
    trial: (seq) => structuredClone(this.trials.get(seq)?.trial ?? null),
    log: (seq) => structuredClone(this.trials.get(seq)?.log ?? []),
    target: (seq) => {
      const row = this.jobs.get(seq);
      return row === undefined || !row.hasTarget ? null : structuredClone(row.job.target);
    },
    result: (seq) => structuredClone(this.jobs.get(seq)?.result ?? null),
    idempotent: (scope) => {
      const row = [...this.jobs.values()].find(({ job }) => job.scope === scope);
      if (row === undefined) return null;
      const { seq, fingerprint, acceptedAt } = row.job;
      return { seq, fingerprint: fingerprint ?? "", acceptedAt };
    },
    dead: (after, max) =>
      this.#ordered()
        .filter(({ seq }) => seq > after && this.#diedAt(seq) !== null)
        .slice(0, max)
        .map((job) => structuredClone({ job, trial: this.#trial(job.seq) })),
    countDead: (since, until) =>
      this.#ordered().filter(({ seq }) => {
        const at = this.#diedAt(seq);
        return at !== null && at >= since && at <= until;
      }).length,
    jobsAfter: (after, max) =>
      structuredClone(
        this.#ordered()
          .filter(({ seq }) => seq > after)
          .slice(0, max)
          .map((job) => ({ ...job, ref: null })),
      ),
  };

  /** What a boot reads. */
  stored(): StoredOutbox {
    const live = this.#ordered().filter(
      ({ status, seq }) => status === "live" && seq >= (this.row?.floor ?? 0),
    );
    const dead = this.#ordered().filter(({ seq }) => this.#diedAt(seq) !== null);
    return structuredClone({
      row: this.row,
      lastSeq: Math.max(0, ...this.jobs.keys()),
      live: live.map(({ seq, key, acceptedAt, expiresAt, terms }) => ({
        seq,
        key,
        acceptedAt,
        expiresAt,
        terms,
      })),
      trials: new Map(
        live.flatMap(({ seq }) => (this.trials.has(seq) ? [[seq, this.#trial(seq)] as const] : [])),
      ),
      deadKeys: dead.flatMap(({ seq, key, terms }) => {
        const blocks = !this.#trial(seq).passed && terms.onDeadHead === "block";
        return key === null ? [] : [{ seq, key, blocks }];
      }),
      deadRows: dead.length,
      claims: [...this.claims].map(([slot, { fence, until, seqs }]) => ({ slot, fence, until, seqs })),
      gates: [...this.gates].map(([name, refusing]) => ({ name, refusing })),
      sequels: { last: Math.max(0, ...this.sequels.keys()), waiting: this.sequels.size },
    });
  }

  #ordered(): JobRow[] {
    return [...this.jobs.values()].map(({ job }) => job).toSorted((a, b) => a.seq - b.seq);
  }

  #diedAt(seq: number): number | null {
    return this.trials.get(seq)?.trial.diedAt ?? null;
  }

  #trial(seq: number): Trial {
    const found = this.trials.get(seq);
    if (found === undefined) throw new Error(`job ${seq} has no trial`);
    return found.trial;
  }
}
