// Yjs: a Y.Map per counter with an entry per region. It keeps the order of all writes, which text needs and
// a counter does not.
import * as Y from "yjs";
import type { Task, Work } from "./task.ts";
import { MESSAGE_SLOTS, counterName, slotNames, totalOf } from "./task.ts";

export function yjsTask(work: Work, size: number): Task | null {
  switch (work) {
    case "increment":
      return receiveTask(1, size);
    case "local":
      return localTask(size);
    case "receive":
      return receiveTask(size, MESSAGE_SLOTS);
    default:
      return null;
  }
}

/** A document in which one region increments counters, and the updates that come of it. */
class Writer {
  readonly doc: Y.Doc;
  readonly slots: readonly string[];
  #update: Uint8Array = new Uint8Array();
  #turn = 0;

  constructor(counters: number, slots: number) {
    this.doc = new Y.Doc();
    this.slots = slotNames(slots);
    this.doc.on("update", (update: Uint8Array) => (this.#update = update));
    this.doc.transact(() => {
      for (let counter = 0; counter < counters; counter++) {
        for (const [slot, name] of this.slots.entries()) {
          this.doc.getMap<number>(counterName(counter)).set(name, totalOf(slot, 0));
        }
      }
    });
  }

  /** One increment of each of the first `counters` counters, as an update. */
  increment(counters: number): Uint8Array {
    this.#turn++;
    const slot = this.#turn % this.slots.length;
    this.doc.transact(() => {
      for (let counter = 0; counter < counters; counter++) {
        this.doc.getMap<number>(counterName(counter)).set(this.slots[slot], totalOf(slot, this.#turn));
      }
    });
    return this.#update;
  }
}

/** An update with one increment of each of `count` counters. */
export function yjsMessage(count: number): Uint8Array {
  return new Writer(count, MESSAGE_SLOTS).increment(count);
}

function copyOf(writer: Writer): Y.Doc {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, Y.encodeStateAsUpdate(writer.doc));
  return doc;
}

function valueOf(doc: Y.Doc): number {
  let sum = 0;
  for (const total of doc.getMap<number>(counterName(0)).values()) sum += total;
  return sum;
}

function receiveTask(counters: number, slots: number): Task {
  const writer = new Writer(counters, slots);
  const doc = copyOf(writer);
  return taskOf(
    doc,
    () => writer.increment(counters),
    (update) => Y.applyUpdate(doc, update),
  );
}

function taskOf(doc: Y.Doc, next: () => Uint8Array, apply: (update: Uint8Array) => void): Task {
  let updates: Uint8Array[] = [];
  return {
    prepare: (operations) => {
      updates = Array.from({ length: operations }, next);
    },
    run: () => {
      for (const update of updates) apply(update);
      return valueOf(doc);
    },
  };
}

function localTask(slots: number): Task {
  const { doc } = new Writer(1, slots);
  const map = doc.getMap<number>(counterName(0));
  const [own] = slotNames(slots);
  return {
    run: (operations) => {
      let sum = 0;
      for (let operation = 0; operation < operations; operation++) {
        map.set(own, (map.get(own) ?? 0) + 1);
        sum += valueOf(doc);
      }
      return sum;
    },
  };
}
