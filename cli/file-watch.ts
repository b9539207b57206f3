// Notices that files changed, by looking at them again and again: editors replace files by renaming, and
// looking sees that on every file system.
import { statSync } from "node:fs";

const LOOK_INTERVAL_MS = 200;

export class FileWatch {
  #seen: ReadonlyMap<string, string>;

  /** Remembers the files as they are now. */
  constructor(files: readonly string[]) {
    this.#seen = new Map(files.map((file) => [file, fingerprint(file)]));
  }

  files(): readonly string[] {
    return [...this.#seen.keys()];
  }

  /** Looks at these files from now on; one that is new counts from how it is now. */
  follow(files: readonly string[]): void {
    this.#seen = new Map(files.map((file) => [file, this.#seen.get(file) ?? fingerprint(file)]));
  }

  /** Calls back after each look that found a change, the first look included. */
  start(changed: () => void): void {
    setInterval(() => {
      const now = new Map(this.files().map((file) => [file, fingerprint(file)]));
      const differs = this.files().some((file) => now.get(file) !== this.#seen.get(file));
      this.#seen = now;
      if (differs) changed();
    }, LOOK_INTERVAL_MS).unref();
  }
}

function fingerprint(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat === undefined ? "none" : `${stat.ino} ${stat.mtimeMs} ${stat.size}`;
}
