// A value that any region may set: the last write wins, and writes that did not know of each other stay
// visible beside it. Every writer keeps one row, its latest write, with the stamps it had seen of the others.
//
//   merge:   per writer the greater (stamp, value); of equal ones the union of what they had seen
//   winner:  the greatest (stamp, writer), over all rows
//   hidden:  a row whose stamp another row had seen; what is left beside the winner is concurrent with it
//
// A write's stamp is later than all it had seen, so the winner is never hidden. Clearing is a write of null.
// Never for counts: two writers would overwrite each other.

import type { Stamp } from "./hybrid-clock.ts";
import { compareStamps } from "./hybrid-clock.ts";
import type { SlotId, WriterFilter } from "./slot-id.ts";

/** Greatest length of a value, in UTF-16 units. */
export const MAX_REGISTER_CHARS = 4096;

export interface RegisterWrite {
  readonly stamp: Stamp;
  /** Text that the caller gives a meaning to, or null: cleared. */
  readonly value: string | null;
  /** The latest stamp of every other writer that this write replaced. */
  readonly seen: ReadonlyMap<string, Stamp>;
  /** When it came here, in the count of the caller; never sent. */
  readonly version: number;
}

export interface LwwRegister {
  readonly kind: "lww-register";
  readonly writes: Map<string, RegisterWrite>;
  version: number;
}

export interface VisibleWrite {
  readonly writer: string;
  readonly stamp: Stamp;
  readonly value: string | null;
}

export type WriteOutcome = "written" | "stale-stamp" | "invalid-value";

export function createLwwRegister(): LwwRegister {
  return { kind: "lww-register", writes: new Map(), version: 0 };
}

/**
 * Sets the value, or clears it with null. `stamp` comes from this writer's clock, which must have received
 * the stamps of the register: one that is not later than all of them is refused.
 */
export function writeRegister(
  register: LwwRegister,
  writer: SlotId,
  stamp: Stamp,
  value: string | null,
  version: number,
): WriteOutcome {
  if (value !== null && (value.length > MAX_REGISTER_CHARS || !value.isWellFormed())) return "invalid-value";
  const seen = new Map<string, Stamp>();
  for (const [other, write] of register.writes) {
    if (compareStamps(stamp, write.stamp) <= 0) return "stale-stamp";
    if (other !== writer) seen.set(other, write.stamp);
  }
  setWrite(register, writer, { stamp, value, seen, version });
  return "written";
}

/** All writes that no other one replaced, the winner first. Empty when nobody ever wrote. */
export function visibleWrites(register: LwwRegister): VisibleWrite[] {
  const visible: VisibleWrite[] = [];
  for (const [writer, write] of register.writes) {
    if (!isHidden(register, writer, write)) visible.push({ writer, stamp: write.stamp, value: write.value });
  }
  return visible.toSorted((left, right) => compareVisible(right, left));
}

/** The value in force: the winner's; null when it was cleared or never set. */
export function registerValue(register: LwwRegister): string | null {
  return visibleWrites(register)[0]?.value ?? null;
}

/** The greatest stamp here, for the clock to receive; null when nobody ever wrote. */
export function latestStamp(register: LwwRegister): Stamp | null {
  return visibleWrites(register)[0]?.stamp ?? null;
}

/** A received register without the writes from further ahead than `maxDriftMs`. */
export function believedRegister(register: LwwRegister, now: number, maxDriftMs: number): LwwRegister {
  const believed = createLwwRegister();
  for (const [writer, write] of register.writes) {
    if (write.stamp.ms <= now + maxDriftMs) setWrite(believed, writer, write);
  }
  return believed;
}

export function copyLwwRegister(register: LwwRegister): LwwRegister {
  return { kind: "lww-register", writes: new Map(register.writes), version: register.version };
}

/** A new register; neither argument changes. */
export function mergeLwwRegisters(left: LwwRegister, right: LwwRegister): LwwRegister {
  const merged = copyLwwRegister(left);
  mergeLwwRegisterInto(merged, right, left.version + 1);
  return merged;
}

/** The same in place; returns how many writers' rows changed. */
export function mergeLwwRegisterInto(target: LwwRegister, source: LwwRegister, version: number): number {
  let raised = 0;
  for (const [writer, write] of source.writes) {
    const known = target.writes.get(writer);
    const joined = known === undefined ? write : joinWrites(known, write);
    if (joined === known) continue;
    setWrite(target, writer, { ...joined, version });
    raised++;
  }
  return raised;
}

/** The writes that came here after version `since`. */
export function lwwRegisterSince(register: LwwRegister, since: number, keep?: WriterFilter): LwwRegister {
  const delta = createLwwRegister();
  for (const [writer, write] of register.writes) {
    if (write.version > since && (keep === undefined || keep(writer))) setWrite(delta, writer, write);
  }
  return delta;
}

export function sameLwwRegister(left: LwwRegister, right: LwwRegister): boolean {
  if (left.writes.size !== right.writes.size) return false;
  for (const [writer, write] of left.writes) {
    const other = right.writes.get(writer);
    if (other === undefined || compareWrites(write, other) !== 0) return false;
    if (write.seen.size !== other.seen.size || !coversSeen(write.seen, other.seen)) return false;
    if (!coversSeen(other.seen, write.seen)) return false;
  }
  return true;
}

function setWrite(register: LwwRegister, writer: string, write: RegisterWrite): void {
  register.writes.set(writer, write);
  register.version = Math.max(register.version, write.version);
}

/** The join of two writes of one writer: `known` itself when the other one brings nothing. */
function joinWrites(known: RegisterWrite, other: RegisterWrite): RegisterWrite {
  const order = compareWrites(known, other);
  if (order !== 0) return order > 0 ? known : other;
  if (coversSeen(known.seen, other.seen)) return known;
  const seen = new Map(known.seen);
  for (const [writer, stamp] of other.seen) {
    const before = seen.get(writer);
    if (before === undefined || compareStamps(stamp, before) > 0) seen.set(writer, stamp);
  }
  return { ...known, seen };
}

/** By stamp, then by value, so that even two writes that claim one stamp merge alike everywhere. */
function compareWrites(left: RegisterWrite, right: RegisterWrite): number {
  return (
    compareStamps(left.stamp, right.stamp) ||
    compareTexts(left.value ?? "", right.value ?? "") ||
    Number(left.value !== null) - Number(right.value !== null)
  );
}

function compareVisible(left: VisibleWrite, right: VisibleWrite): number {
  return compareStamps(left.stamp, right.stamp) || compareTexts(left.writer, right.writer);
}

function compareTexts(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

function isHidden(register: LwwRegister, writer: string, write: RegisterWrite): boolean {
  for (const [other, { seen }] of register.writes) {
    const stamp = other === writer ? undefined : seen.get(writer);
    if (stamp !== undefined && compareStamps(stamp, write.stamp) >= 0) return true;
  }
  return false;
}

/** Whether `left` has seen all that `right` has. */
function coversSeen(left: ReadonlyMap<string, Stamp>, right: ReadonlyMap<string, Stamp>): boolean {
  for (const [writer, stamp] of right) {
    const ours = left.get(writer);
    if (ours === undefined || compareStamps(ours, stamp) < 0) return false;
  }
  return true;
}
