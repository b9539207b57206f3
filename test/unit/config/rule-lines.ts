// The texts of the rules, and a test for each case that must give exactly one of their lines.

import { it } from "vitest";
import { errorsOf } from "./sample.ts";

export const NAME_RULE = "must be a name: a letter, then up to 63 letters, digits, _ or -";
export const RATE_RULE = "must be a number above 0 and at most 1";
export const DURATION_RULE =
  'must be ms or a duration like "250ms" "2s" "5m" "24h" "7d", above 0 and below 25 days';
export const DURATION_OR_ZERO_RULE = DURATION_RULE.replace("above 0", "from 0");
export const URL_RULE = "must be an http or https URL without user, query, fragment or spaces";
export const KEY_RULE = 'must be "sha256:<64 hex digits>" or "env:NAME"';
export const VALUE_RULE =
  "must be a header value: text of one line without control characters or outer spaces";
export const RESERVED_RULE = "belongs to the connection or to the gateway and cannot be edited";
export const NEVER_MATCHES_RULE =
  "can never match: it holds a dot segment, or a character that must be percent-encoded";
export const HIDDEN = "(got text that is not shown)";

export type Case = readonly [line: string, config: unknown];

export function least(minimum: number): string {
  return `must be a whole number, at least ${minimum}`;
}

export function between(minimum: number, maximum: number): string {
  return `must be a whole number from ${minimum} to ${maximum}`;
}

/** One test for each case: its configuration gives exactly its line. */
export function expectLines(cases: readonly Case[]): void {
  it.for(cases)("%s", ([line, config], { expect }) => {
    expect(errorsOf(config)).toEqual([line]);
  });
}
