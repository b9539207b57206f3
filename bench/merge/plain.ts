// What a counter costs without names, versions or a wire: an array whose positions everybody has agreed on,
// and a Map. They are yardsticks; nothing that keeps a lattice under names can be cheaper.
import type { Task, Work } from "./task.ts";
import { slotNames, totalOf } from "./task.ts";

/** Totals by position, and their sum kept along. */
export function arrayTask(work: Work, slots: number): Task | null {
  const target = Float64Array.from({ length: slots }, (_, slot) => totalOf(slot, 0));
  const source = Float64Array.from(target);
  let sum = target.reduce((total, value) => total + value, 0);
  let next = 0;
  const raise = (slot: number, total: number): void => {
    if (total <= target[slot]) return;
    sum += total - target[slot];
    target[slot] = total;
  };
  const step = (): number => {
    const slot = next;
    next = next + 1 === slots ? 0 : next + 1;
    source[slot]++;
    return slot;
  };
  switch (work) {
    case "increment":
      return repeated(() => {
        const slot = step();
        raise(slot, source[slot]);
        return sum;
      });
    case "merge":
    case "merge-all":
      return repeated(() => {
        for (let news = 0; news < (work === "merge" ? 1 : slots); news++) step();
        for (let slot = 0; slot < slots; slot++) raise(slot, source[slot]);
        return sum;
      });
    case "local":
      return repeated(() => {
        target[0]++;
        return ++sum;
      });
    default:
      return null;
  }
}

/** Totals by name; the sum is made when it is read. */
export function mapTask(work: Work, slots: number): Task | null {
  const names: readonly string[] = slotNames(slots);
  const target = new Map(names.map((name, slot) => [name, totalOf(slot, 0)]));
  // Names that came with a message are texts of their own.
  const source = new Map(names.map((name, slot) => [Buffer.from(name).toString(), totalOf(slot, 0)]));
  const received = [...source.keys()];
  let next = 0;
  const step = (): string => {
    const name = received[next];
    next = next + 1 === slots ? 0 : next + 1;
    source.set(name, (source.get(name) ?? 0) + 1);
    return name;
  };
  const raise = (name: string, total: number): number => {
    if (total <= (target.get(name) ?? 0)) return 0;
    target.set(name, total);
    return 1;
  };
  switch (work) {
    case "increment":
      return repeated(() => {
        const name = step();
        return raise(name, source.get(name) ?? 0);
      });
    case "merge":
    case "merge-all":
      return repeated(() => {
        for (let news = 0; news < (work === "merge" ? 1 : slots); news++) step();
        let raised = 0;
        for (const [name, total] of source) raised += raise(name, total);
        return raised;
      });
    case "local":
      return repeated(() => {
        target.set(names[0], (target.get(names[0]) ?? 0) + 1);
        let sum = 0;
        for (const total of target.values()) sum += total;
        return sum;
      });
    default:
      return null;
  }
}

function repeated(operation: () => number): Task {
  return {
    run: (operations) => {
      let sum = 0;
      for (let index = 0; index < operations; index++) sum += operation();
      return sum;
    },
  };
}
