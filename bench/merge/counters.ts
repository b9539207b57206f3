// Two libraries of counters with the same lattice: crdts (whole states alone) and delta-crdts.
import { GCounter } from "crdts";
import crdt from "delta-crdts";
import { decode, encode } from "delta-crdts-msgpack-codec";
import type { Task, Work } from "./task.ts";
import { MESSAGE_SLOTS, counterName, slotNames, totalOf } from "./task.ts";

const createReplica = crdt("gcounter");

export function crdtsTask(work: Work, size: number): Task | null {
  if (work === "receive") return receiveJson(size);
  if (work !== "merge" && work !== "local") return null;
  const [own, remote] = slotNames(size);
  const target = crdtsCounter(own, size, 0);
  const source = crdtsCounter(remote, size, 0);
  return {
    run: (operations) => {
      let sum = 0;
      for (let operation = 0; operation < operations; operation++) {
        if (work === "local") {
          target.increment();
          sum += target.value;
        } else {
          source.increment();
          target.merge(source);
        }
      }
      return sum + target.value;
    },
  };
}

/** Whole states as JSON: the library has no deltas. */
export function crdtsMessage(count: number, turn: number): string {
  const [, remote] = slotNames(MESSAGE_SLOTS);
  const states = Array.from({ length: count }, (_, index) => [
    counterName(index),
    crdtsCounter(remote, MESSAGE_SLOTS, turn),
  ]);
  return JSON.stringify(states);
}

function crdtsCounter(id: string, slots: number, turn: number): GCounter {
  const totals = slotNames(slots).map((name, slot) => [name, totalOf(slot, turn)]);
  return new GCounter(id, Object.fromEntries(totals));
}

function receiveJson(count: number): Task {
  const [own] = slotNames(MESSAGE_SLOTS);
  const states = new Map<string, GCounter>();
  for (let index = 0; index < count; index++) {
    states.set(counterName(index), crdtsCounter(own, MESSAGE_SLOTS, 0));
  }
  let messages: string[] = [];
  let turn = 0;
  return {
    prepare: (operations) => {
      messages = Array.from({ length: operations }, () => crdtsMessage(count, ++turn));
    },
    run: () => {
      for (const message of messages) {
        const entries: [string, ReturnType<GCounter["toJSON"]>][] = JSON.parse(message);
        for (const [name, json] of entries) states.get(name)?.merge(GCounter.from(json));
      }
      return states.get(counterName(0))?.value ?? 0;
    },
  };
}

export function deltaTask(work: Work, size: number): Task | null {
  if (work === "receive") return receiveDeltas(size);
  if (work !== "increment" && work !== "merge" && work !== "local") return null;
  const names: readonly string[] = slotNames(size);
  const target = createReplica(names[0]);
  target.apply(deltaState(size, 0));
  const whole = deltaState(size, 0);
  const deltas = names.map((name, slot) => new Map([[name, totalOf(slot, 0)]]));
  let turn = 0;
  return {
    run: (operations) => {
      let sum = 0;
      for (let operation = 0; operation < operations; operation++) {
        if (work === "local") {
          target.inc();
          sum += target.value();
          continue;
        }
        turn++;
        const slot = turn % size;
        const state = work === "merge" ? whole : deltas[slot];
        state.set(names[slot], totalOf(slot, turn));
        target.apply(state);
      }
      return sum + target.value();
    },
  };
}

/** One increment of each counter, in the codec that comes with the library. */
export function deltaMessage(count: number, turn: number): Buffer {
  const slot = turn % MESSAGE_SLOTS;
  const name = slotNames(MESSAGE_SLOTS)[slot];
  const deltas = Array.from(
    { length: count },
    (_, index) => [counterName(index), new Map([[name, totalOf(slot, turn)]])] as const,
  );
  // The codec gives a list of buffers that looks like one.
  return encode(new Map(deltas)).slice();
}

function deltaState(slots: number, turn: number): Map<string, number> {
  return new Map(slotNames(slots).map((name, slot) => [name, totalOf(slot, turn)]));
}

function receiveDeltas(count: number): Task {
  const replicas = new Map<string, ReturnType<typeof createReplica>>();
  for (let index = 0; index < count; index++) {
    const replica = createReplica(slotNames(1)[0]);
    replica.apply(deltaState(MESSAGE_SLOTS, 0));
    replicas.set(counterName(index), replica);
  }
  let messages: Buffer[] = [];
  let turn = 0;
  return {
    prepare: (operations) => {
      messages = Array.from({ length: operations }, () => deltaMessage(count, ++turn));
    },
    run: () => {
      for (const message of messages) {
        for (const [name, delta] of decode(message)) replicas.get(name)?.apply(delta);
      }
      return replicas.get(counterName(0))?.value() ?? 0;
    },
  };
}
