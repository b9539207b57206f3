// What a ledger is asked and what it answers, and the check of both ends' common ground: a caller may be
// another version of the Worker, so nothing about an argument is believed. A request that does not hold
// is a value, `invalid`, with the field that is wrong.

import { isSlotId, type SlotId } from "../crdt/slot-id.ts";
import { isFields, isWhole } from "./shapes.ts";

export const MAX_LEDGER_ID_CHARS = 200;
/** A year and a day: a plan's year must fit. */
export const MAX_LEDGER_WINDOW_MS = 366 * 24 * 3600 * 1000;
/** One answer's worth of rows for an audit. */
export const MAX_LEDGER_PAGE_ROWS = 1000;

export interface ConsumeRequest {
  /** Of this one consumption: the same again is answered as before and counted once. */
  readonly id: string;
  readonly amount: number;
  /** Units in any window. */
  readonly rate: number;
  readonly windowMs: number;
}

export type ConsumeOutcome = Taken | Refused | Conflict | Invalid;

export interface Taken {
  readonly kind: "taken";
  /** Units left in the window after this one. */
  readonly remaining: number;
  /** Ms until one more unit is there. */
  readonly resetMs: number;
  /** Units taken in the window, this one's included. */
  readonly used: number;
  /** Stored before: nothing was counted now, the numbers are those of then. */
  readonly replayed: boolean;
}

/** Nothing was counted and nothing is remembered. */
export interface Refused {
  readonly kind: "refused";
  /** Ms until it would fit if nobody else took anything. */
  readonly waitMs: number;
  readonly remaining: number;
}

/** This id was taken with another amount. */
export interface Conflict {
  readonly kind: "conflict";
}

export interface Invalid {
  readonly kind: "invalid";
  readonly reason: InvalidReason;
}

/** The field that is wrong, or what cannot hold about them. */
export type InvalidReason =
  | "request"
  | "id"
  | "amount"
  | "rate"
  | "windowMs"
  | "amount-over-rate"
  | "period"
  | "slot"
  | "seq"
  | "want"
  | "cap"
  | "too-many-slots"
  | "after"
  | "max";

export type GiveBackOutcome = { readonly kind: "returned" } | { readonly kind: "unknown" } | Invalid;

export interface MintRequest {
  readonly period: number;
  readonly slot: SlotId;
  /** Grows with each request of this slot in this period; repeated: the same request again. */
  readonly seq: number;
  readonly want: number;
  readonly cap: number;
}

export type MintOutcome =
  | {
      readonly kind: "minted";
      /** All rights ever minted to this slot in this period. */
      readonly total: number;
      /** What the period's cap still has. */
      readonly left: number;
    }
  | { readonly kind: "past-period"; readonly newest: number }
  | Invalid;

export interface EntriesRequest {
  /** The last seq that is known; 0: from the first. */
  readonly after: number;
  /** At most so many; more than `MAX_LEDGER_PAGE_ROWS` are never given. */
  readonly max: number;
}

export type Checked<Request> = { readonly kind: "valid"; readonly request: Request } | Invalid;

export function invalid(reason: InvalidReason): Invalid {
  return { kind: "invalid", reason };
}

export function checkConsume(input: unknown): Checked<ConsumeRequest> {
  if (!isFields(input)) return invalid("request");
  const { id, amount, rate, windowMs } = input;
  if (!isLedgerId(id)) return invalid("id");
  if (!isWhole(amount, 1)) return invalid("amount");
  if (!isWhole(rate, 1)) return invalid("rate");
  if (!isWhole(windowMs, 1) || windowMs > MAX_LEDGER_WINDOW_MS) return invalid("windowMs");
  return { kind: "valid", request: { id, amount, rate, windowMs } };
}

export function checkMint(input: unknown): Checked<MintRequest> {
  if (!isFields(input)) return invalid("request");
  const { period, slot, seq, want, cap } = input;
  if (!isWhole(period, Number.MIN_SAFE_INTEGER)) return invalid("period");
  if (typeof slot !== "string" || !isSlotId(slot)) return invalid("slot");
  if (!isWhole(seq, 1)) return invalid("seq");
  if (!isWhole(want, 1)) return invalid("want");
  if (!isWhole(cap, 0)) return invalid("cap");
  return { kind: "valid", request: { period, slot, seq, want, cap } };
}

export function checkEntries(input: unknown): Checked<EntriesRequest> {
  if (!isFields(input)) return invalid("request");
  const { after, max } = input;
  if (!isWhole(after, 0)) return invalid("after");
  if (!isWhole(max, 1)) return invalid("max");
  return { kind: "valid", request: { after, max: Math.min(max, MAX_LEDGER_PAGE_ROWS) } };
}

/** A lone surrogate would be stored as another character, and two ids would become one. */
export function isLedgerId(value: unknown): value is string {
  if (typeof value !== "string") return false;
  return value.length >= 1 && value.length <= MAX_LEDGER_ID_CHARS && value.isWellFormed();
}
