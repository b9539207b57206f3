// The fields `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11): lists of quoted
// policy names with integer parameters. `r` is rounded down and `t` up: a client never comes too early.

import { quoteString } from "./quoted-string.ts";

export interface RateLimitState {
  readonly policy: string;
  readonly remaining: number;
  readonly resetSeconds: number;
}

export interface RateLimitQuota {
  readonly policy: string;
  readonly quota: number;
  readonly windowSeconds: number;
}

function wholeDown(value: number): number {
  return Math.max(0, Math.floor(value));
}

/** The value of `ratelimit`: `"per-consumer";r=0;t=12`, one item per limit. */
export function formatRateLimit(items: readonly RateLimitState[]): string {
  let field = "";
  for (const { policy, remaining, resetSeconds } of items) {
    if (field !== "") field += ", ";
    field += `${quoteString(policy)};r=${wholeDown(remaining)};t=${Math.max(0, Math.ceil(resetSeconds))}`;
  }
  return field;
}

/** The value of `ratelimit-policy`: `"per-consumer";q=100;w=60`; a window is at least one second long. */
export function formatRateLimitPolicy(items: readonly RateLimitQuota[]): string {
  let field = "";
  for (const { policy, quota, windowSeconds } of items) {
    if (field !== "") field += ", ";
    field += `${quoteString(policy)};q=${wholeDown(quota)};w=${Math.max(1, Math.ceil(windowSeconds))}`;
  }
  return field;
}
