// The fields `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11): lists of quoted
// policy names with integer parameters. `r` is rounded down and `t` up: a client never comes too early.

/** One item of `ratelimit`: `"per-consumer";r=0;t=12`. Takes the policy's name quoted, see `quoteString`. */
export function rateLimitItem(quotedPolicy: string, remaining: number, resetSeconds: number): string {
  return `${quotedPolicy};r=${Math.max(0, Math.floor(remaining))};t=${Math.max(0, Math.ceil(resetSeconds))}`;
}

/** One item of `ratelimit-policy`: `"per-consumer";q=100;w=60`; a window is at least one second long. */
export function rateLimitPolicyItem(quotedPolicy: string, quota: number, windowSeconds: number): string {
  return `${quotedPolicy};q=${Math.max(0, Math.floor(quota))};w=${Math.max(1, Math.ceil(windowSeconds))}`;
}

/** Items of either field, as the list that goes on the wire. */
export function joinItems(items: readonly string[]): string {
  return items.length === 1 ? items[0] : items.join(", ");
}
