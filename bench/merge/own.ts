// Tidegate's counters, as the hub calls them. States that are merged come from decoded bytes, as in the hub:
// their ids are texts of their own, equal to those of the target but not the same object.
import { decodeStates } from "../../src/crdt/decode.ts";
import { encodeStates } from "../../src/crdt/encode.ts";
import type { GCounter } from "../../src/crdt/g-counter.ts";
import { addToGCounter, createGCounter, gCounterValue, mergeGCounterInto } from "../../src/crdt/g-counter.ts";
import type { Replicated } from "../../src/crdt/replicated.ts";
import { mergeStateInto } from "../../src/crdt/replicated.ts";
import type { NamedState } from "../../src/crdt/wire-format.ts";
import type { Task, Work } from "./task.ts";
import { MESSAGE_SLOTS, counterName, slotNames, totalOf } from "./task.ts";

type Entry = NamedState<Replicated>;

export function ownTask(work: Work, size: number): Task {
  switch (work) {
    case "increment":
      return incrementTask(size);
    case "merge":
      return mergeTask(size, 1);
    case "merge-all":
      return mergeTask(size, size);
    case "local":
      return localTask(size);
    case "receive":
      return receiveTask(size);
    case "send":
      return sendTask(size);
  }
}

/** A counter with the first `count` slots, at their totals of `turn`; `only`: just that slot. */
export function counterOf(count: number, turn: number, only: number | null = null): GCounter {
  const counter = createGCounter();
  for (const [slot, name] of slotNames(count).entries()) {
    if (only === null || only === slot) addToGCounter(counter, name, totalOf(slot, turn), 1);
  }
  return counter;
}

/** A message with one increment of each of `count` counters: what a region tells another one. */
export function ownMessage(count: number, turn: number): Uint8Array {
  return encoded(entriesOf(count, turn, turn % MESSAGE_SLOTS));
}

/** A message with all slots of `count` counters. */
export function ownFullMessage(count: number): Uint8Array {
  return encoded(entriesOf(count, 1, null));
}

function entriesOf(count: number, turn: number, only: number | null): Entry[] {
  return Array.from({ length: count }, (_, index) => ({
    name: counterName(index),
    state: counterOf(MESSAGE_SLOTS, turn, only),
  }));
}

function encoded(entries: readonly Entry[]): Uint8Array {
  const outcome = encodeStates(entries);
  if (outcome.kind === "refused") throw new Error(outcome.reason);
  return outcome.bytes;
}

function received(counter: GCounter): GCounter {
  const decoded = decodeStates(encoded([{ name: counterName(0), state: counter }]));
  const state = decoded.kind === "decoded" ? decoded.entries[0].state : null;
  if (state?.kind !== "g-counter") throw new Error("a counter did not survive its encoding");
  return state;
}

function incrementTask(slots: number): Task {
  const target = received(counterOf(slots, 0));
  const deltas = Array.from({ length: slots }, (_, slot) => received(counterOf(slots, 0, slot)));
  let version = 2;
  let next = 0;
  return {
    run: (operations) => {
      let raised = 0;
      for (let operation = 0; operation < operations; operation++) {
        const delta = deltas[next];
        next = next + 1 === slots ? 0 : next + 1;
        delta.cells.values[0]++;
        raised += mergeGCounterInto(target, delta, ++version);
      }
      return raised + gCounterValue(target);
    },
  };
}

function mergeTask(slots: number, news: number): Task {
  const target = received(counterOf(slots, 0));
  const source = received(counterOf(slots, 0));
  let version = 2;
  let next = 0;
  return {
    run: (operations) => {
      let raised = 0;
      for (let operation = 0; operation < operations; operation++) {
        for (let slot = 0; slot < news; slot++) {
          source.cells.values[next]++;
          next = next + 1 === slots ? 0 : next + 1;
        }
        raised += mergeGCounterInto(target, source, ++version);
      }
      return raised + gCounterValue(target);
    },
  };
}

function localTask(slots: number): Task {
  const counter = received(counterOf(slots, 0));
  const [own] = slotNames(slots);
  let version = 2;
  return {
    run: (operations) => {
      let sum = 0;
      for (let operation = 0; operation < operations; operation++) {
        addToGCounter(counter, own, 1, ++version);
        sum += gCounterValue(counter);
      }
      return sum;
    },
  };
}

function receiveTask(count: number): Task {
  const states = new Map<string, Replicated>();
  for (const { name, state } of entriesOf(count, 0, null)) states.set(name, state);
  let messages: Uint8Array[] = [];
  let turn = 0;
  let version = 2;
  return {
    prepare: (operations) => {
      messages = Array.from({ length: operations }, () => ownMessage(count, ++turn));
    },
    run: () => {
      let raised = 0;
      for (const message of messages) {
        const decoded = decodeStates(message);
        if (decoded.kind === "refused") throw new Error(decoded.reason);
        version++;
        for (const { name, state } of decoded.entries) {
          const own = states.get(name);
          if (own !== undefined) raised += mergeStateInto(own, state, version);
        }
      }
      return raised;
    },
  };
}

function sendTask(count: number): Task {
  const entries = entriesOf(count, 1, 0);
  return {
    run: (operations) => {
      let bytes = 0;
      for (let operation = 0; operation < operations; operation++) bytes += encoded(entries).length;
      return bytes;
    },
  };
}
