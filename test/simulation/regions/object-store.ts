// The storage of one hub object: rows, written by the instance that owns it alone. A copy can be taken, and
// the rows can be set back to it: lost storage.

import type { Commit, StoredRows } from "../../../src/hub/storage.ts";

export interface StoreCopy {
  readonly boot: number;
  readonly durableEpoch: number;
  readonly states: ReadonlyMap<string, Uint8Array>;
  readonly sessions: ReadonlyMap<string, number>;
}

export class ObjectStore {
  /** The instance that may write. */
  owner = 0;
  /** When the alarm is to fire, true time; it outlives instances. */
  alarmAt: number | null = null;
  writes = 0;
  #boot = 0;
  #durableEpoch = 0;
  #states = new Map<string, Uint8Array>();
  #sessions = new Map<string, number>();

  read(): StoredRows {
    return {
      boot: this.#boot,
      durableEpoch: this.#durableEpoch,
      states: [...this.#states],
      sessions: [...this.#sessions],
    };
  }

  /** False, and nothing is written, for an instance that another one has replaced. */
  write(instance: number, commit: Commit): boolean {
    if (instance !== this.owner) return false;
    this.writes++;
    if (commit.meta) {
      this.#boot = commit.boot;
      this.#durableEpoch = commit.durableEpoch;
    }
    for (const [name, bytes] of commit.states) {
      if (bytes === null) this.#states.delete(name);
      else this.#states.set(name, bytes);
    }
    for (const [id, seq] of commit.sessions) this.#sessions.set(id, seq);
    for (const id of commit.droppedSessions) this.#sessions.delete(id);
    return true;
  }

  copy(): StoreCopy {
    return {
      boot: this.#boot,
      durableEpoch: this.#durableEpoch,
      states: new Map(this.#states),
      sessions: new Map(this.#sessions),
    };
  }

  setBack(copy: StoreCopy): void {
    this.#boot = copy.boot;
    this.#durableEpoch = copy.durableEpoch;
    this.#states = new Map(copy.states);
    this.#sessions = new Map(copy.sessions);
  }
}
