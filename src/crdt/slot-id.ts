// The name of a writer: `region.shard.sub.epoch`, `weur.0.0.3`. Every number that regions merge belongs to
// exactly one such slot, and a slot has exactly one writer for ever. Names are global: an index into a local
// table would let two replicas merge each other's numbers by position and lose one of them.
//
// A name has one spelling (no leading zeros), so two texts are the same slot when they are equal.

export type SlotId = `${string}.${number}.${number}.${number}`;

export interface Slot {
  readonly region: string;
  readonly shard: number;
  readonly sub: number;
  /** Counts identities of the same object: boots where memory is all there is, detected losses elsewhere. */
  readonly epoch: number;
}

/** Says whether a delta takes what this writer wrote. */
export type WriterFilter = (writer: string) => boolean;

export const MAX_REGION_CHARS = 32;
export const MAX_SHARD = 65_535;
export const MAX_SUB = 65_535;
export const MAX_EPOCH = 4_294_967_295;
export const MAX_SLOT_ID_CHARS =
  MAX_REGION_CHARS + `.${MAX_SHARD}`.length + `.${MAX_SUB}`.length + `.${MAX_EPOCH}`.length;

const REGION = /^[a-z][a-z0-9-]*$/;
const WHOLE_NUMBER = /^(?:0|[1-9][0-9]{0,9})$/;

/** Any name of a region by its syntax alone: a region that this version does not know is still carried. */
export function isRegion(text: string): boolean {
  return text.length <= MAX_REGION_CHARS && REGION.test(text);
}

/** The parts of a slot id, or null when the text is none. */
export function parseSlot(text: string): Slot | null {
  if (text.length > MAX_SLOT_ID_CHARS) return null;
  const parts = text.split(".");
  if (parts.length !== 4 || !isRegion(parts[0])) return null;
  if (!parts.slice(1).every((part) => WHOLE_NUMBER.test(part))) return null;
  const slot = { region: parts[0], shard: Number(parts[1]), sub: Number(parts[2]), epoch: Number(parts[3]) };
  return slot.shard <= MAX_SHARD && slot.sub <= MAX_SUB && slot.epoch <= MAX_EPOCH ? slot : null;
}

export function isSlotId(text: string): text is SlotId {
  return parseSlot(text) !== null;
}

/** The slot's name, or null when a part is out of bounds. */
export function slotIdOf(slot: Slot): SlotId | null {
  const text: SlotId = `${slot.region}.${slot.shard}.${slot.sub}.${slot.epoch}`;
  return isSlotId(text) ? text : null;
}

/** The region that a writer belongs to: the part before the first dot, or the whole text. */
export function regionOf(writer: string): string {
  const dot = writer.indexOf(".");
  return dot === -1 ? writer : writer.slice(0, dot);
}
