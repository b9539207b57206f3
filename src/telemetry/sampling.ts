// Which traces are recorded. Everybody on a trace's way must come to the same answer: a parent's decision is
// kept, and the first one decides from the trace id, which all of them see.
//
//   recorded  <=>  R >= (1 - ratio) * 2^52      R = the trace id's 13 hex digits from the 19th on
//
// That is OpenTelemetry's consistent probability sampling (oteps/trace/0235), whose R has 56 bits: 52 are
// what a number holds, and the first 52 decide but once in 2^52. So whoever samples by the same rule with a
// larger ratio records every trace that is recorded here.

import { isSampled } from "../http/trace-context.ts";

export interface Sampling {
  /** 0..1: the part of new traces that is recorded. */
  readonly ratio: number;
  /** false: the ratio decides of every trace, whatever its parent says. */
  readonly keepsParent: boolean;
}

const FIRST_DIGIT = 18;
const DIGITS = 13;
const ZERO = 0x30;
const NINE = 0x39;
const LETTER_A = 0x61;
const RANGE = 2 ** (4 * DIGITS);

/** Whether a trace of this id is in the ratio. `traceId`: 32 hex digits. */
export function isInRatio(traceId: string, ratio: number): boolean {
  if (ratio <= 0) return false;
  if (ratio >= 1) return true;
  let r = 0;
  for (let at = FIRST_DIGIT; at < FIRST_DIGIT + DIGITS; at++) r = r * 16 + hexDigit(traceId.charCodeAt(at));
  return r >= (1 - ratio) * RANGE;
}

/** Digit by digit, because a piece of text for each request would be garbage for each request. */
function hexDigit(code: number): number {
  return code <= NINE ? code - ZERO : code - LETTER_A + 10;
}

/** The flags that a trace goes on with. `parentFlags` as they came, 2 hex digits; null: it begins here. */
export function flagsOf(sampling: Sampling, parentFlags: string | null, traceId: string): string {
  if (parentFlags !== null && sampling.keepsParent) return parentFlags;
  const decided = isInRatio(traceId, sampling.ratio);
  if (parentFlags === null || isSampled(parentFlags) !== decided) return decided ? "01" : "00";
  return parentFlags;
}
