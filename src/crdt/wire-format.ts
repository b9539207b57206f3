// The binary form in which regions send states to each other, version 1. All integers but the first three
// bytes are LEB128 varints of at most 8 bytes, in their shortest form; texts are a byte length and UTF-8.
//
//   message     0x54 0x47 version, count {text}  ids in use, ascending; count {entry}
//   entry       kind, text name, body
//   body        1 g-counter        rows(1)
//               2 pn-counter       rows(2)
//               3 sliding-window   timed(1)
//               4 call-vectors     timed(4)
//               5 bounded-counter  rows(2) spent, returned; count {from, to, amount}
//               6 lww-register     count {writer, stamp, 0 | 1 text, count {writer, stamp}}
//               7 membership       count {region, incarnation, status, shards, stamp}
//   rows(w)     count {id, w totals, not all zero}, ascending
//   timed(w)    horizon, count {index - horizon, rows(w) not empty}, ascending
//   stamp       ms, count
//
// `id`, `writer`, `region`, `from` and `to` are positions in the message's own list of ids, so a slot costs
// its name once and then one or two bytes; a number costs at most 8. Local versions do not travel. One
// state has one encoding. A bound stands for both sides: what the encoder makes, the decoder takes.

export const WIRE_MAGIC = [0x54, 0x47] as const;
export const WIRE_VERSION = 1;

export const MAX_MESSAGE_BYTES = 1024 * 1024;
/** Different writers in one message: 11 regions with shards and epochs. */
export const MAX_MESSAGE_IDS = 1024;
export const MAX_MESSAGE_ENTRIES = 10_000;
/** Rows of all entries together, spans and register writes included. */
export const MAX_MESSAGE_ROWS = 20_000;
export const MAX_NAME_BYTES = 1024;

/** In the order of the kinds' numbers, from 1. */
export const WIRE_KINDS = [
  "g-counter",
  "pn-counter",
  "sliding-window",
  "call-vectors",
  "bounded-counter",
  "lww-register",
  "membership",
] as const;

/** Seven bits to a byte; the eighth byte of 2^53 - 1 holds what is left, four bits. */
export const VARINT_BITS = 7;
export const MAX_VARINT_BYTES = 8;

/** A state under its name: what a message carries. */
export interface NamedState<State> {
  readonly name: string;
  readonly state: State;
}

export type Refusal =
  | "too-large"
  | "too-many-ids"
  | "too-many-entries"
  | "too-many-rows"
  | "too-long-text"
  | "bad-magic"
  | "unknown-version"
  | "truncated"
  | "malformed";
