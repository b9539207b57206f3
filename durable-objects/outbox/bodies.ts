// Deletes bodies from the bucket whose jobs are no longer kept, and then their rows: a row that is gone would
// leave a body that nobody knows of. What is not deleted now is found again by the next pass over old rows;
// what was never stored as a job (its client was told so) is left to the bucket's lifecycle rule.

import type { Book } from "../../src/delivery/core/book.ts";
import { forgetRows } from "../../src/delivery/core/collect.ts";
import type { OutboxReads, Write } from "../../src/delivery/core/storage.ts";
import type { OutboxLog } from "./log.ts";

/** The bucket deletes so many in one call. */
export const MAX_BODIES = 1_000;

/** The part of a bucket's binding that is used here. Deleting what is not there is no error. */
export interface BodyBucket {
  delete(keys: string[]): Promise<void>;
}

export interface BodyBinParts {
  readonly book: Book;
  readonly reads: OutboxReads;
  /** Undefined: the Worker has none any more, so there is nothing that could be deleted. */
  readonly bucket: () => BodyBucket | undefined;
  readonly commit: (writes: readonly Write[]) => void;
  readonly log: OutboxLog;
}

export class BodyBin {
  readonly #parts: BodyBinParts;
  #isEmptying = false;

  constructor(parts: BodyBinParts) {
    this.#parts = parts;
  }

  /** Deletes what is to be deleted; never throws. */
  async empty(): Promise<void> {
    if (this.#isEmptying) return;
    this.#isEmptying = true;
    const { book, reads, bucket, commit, log } = this.#parts;
    try {
      while (book.bodies.size > 0) {
        const page = [...book.bodies].slice(0, MAX_BODIES);
        await bucket()?.delete(page.map(([, ref]) => ref));
        const seqs = page.map(([seq]) => seq);
        commit(forgetRows(book, seqs, reads, Date.now()));
      }
    } catch (error) {
      log.failure("bodies-not-deleted", error);
      book.bodies.clear();
    } finally {
      this.#isEmptying = false;
    }
  }
}
