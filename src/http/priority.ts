// The urgency in a client's `Priority` field (RFC 9218 4.1). The field is a Structured Field Dictionary
// (RFC 9651 4.2.2): one malformed member makes all of it void, the last `u` wins, and a `u` that is no
// integer of 0-7 counts as absent. A client can only lower its own class with it.

import type { TrafficClass } from "../resilience/level.ts";
import { skipKey, skipParameters, skipValue } from "./structured-item.ts";

const ABSENT = -1;
const MALFORMED = -1;
const URGENCY = /^-?0{0,14}[0-7]$/;
const SPACES_AT_ENDS = /^ +| +$/g;

function skipOptionalWhitespace(field: string, start: number): number {
  let at = start;
  while (field[at] === " " || field[at] === "\t") at++;
  return at;
}

/** The urgency that a bare item spells, or ABSENT. "-0" is the integer 0. */
function urgencyOf(item: string): number {
  if (!URGENCY.test(item)) return ABSENT;
  const urgency = Number(item);
  return urgency >= 0 ? Math.abs(urgency) : ABSENT;
}

/** The urgency 0-7 of a `Priority` field; -1 when it is absent, out of range or the field is malformed. */
export function parseUrgency(value: string): number {
  const field = value.replace(SPACES_AT_ENDS, "");
  let urgency = ABSENT;
  let at = 0;
  while (at < field.length) {
    const keyEnd = skipKey(field, at);
    if (keyEnd === MALFORMED) return ABSENT;
    const hasValue = field[keyEnd] === "=";
    const valueEnd = hasValue ? skipValue(field, keyEnd + 1) : keyEnd;
    if (valueEnd === MALFORMED) return ABSENT;
    if (keyEnd === at + 1 && field[at] === "u") {
      urgency = hasValue ? urgencyOf(field.slice(keyEnd + 1, valueEnd)) : ABSENT;
    }
    const memberEnd = skipParameters(field, valueEnd);
    if (memberEnd === MALFORMED) return ABSENT;
    at = skipOptionalWhitespace(field, memberEnd);
    if (at === field.length) return urgency;
    if (field[at] !== ",") return ABSENT;
    at = skipOptionalWhitespace(field, at + 1);
    if (at === field.length) return ABSENT;
  }
  return urgency;
}

/**
 * The most important class that a request of this urgency may have: 0-1 and absent (-1) keep every class,
 * 2-3 mean at best P1, 4-5 P2, 6-7 P3.
 */
export function leastClassForUrgency(urgency: number): TrafficClass {
  if (urgency < 2) return 0;
  if (urgency < 4) return 1;
  return urgency < 6 ? 2 : 3;
}
