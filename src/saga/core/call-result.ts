// What became of one call of an upstream, and what its answer means.

import type { Json } from "./template.ts";

export type CallResult =
  | {
      readonly kind: "answered";
      readonly status: number;
      /** The answer's body: JSON where it was, else text; null where there was none or it was too long. */
      readonly body: Json;
      readonly retryAfterMs: number | null;
    }
  /** Nothing left for the upstream: a circuit was open, no permit was free. */
  | { readonly kind: "unsent"; readonly reason: string; readonly retryAfterMs: number | null }
  /** It may have reached the upstream; its answer never came. */
  | { readonly kind: "lost"; readonly reason: string }
  /** A template could not be filled in. */
  | { readonly kind: "unrenderable"; readonly reason: string };

/** `not-now`: the upstream did nothing and may do it later. `unclear`: it may or may not have done it. */
export type Meaning = "done" | "refused" | "not-now" | "unclear";

/** Request Timeout, Too Early, Too Many Requests (RFC 9110 15.5.9, RFC 8470 5.2, RFC 6585 4). */
const NOT_NOW: ReadonlySet<number> = new Set([408, 425, 429]);
/** What was never there, or is gone, needs no undoing. */
const GONE: ReadonlySet<number> = new Set([404, 410]);

/** What the status of a forward call or of a compensation means. */
export function meaningOf(status: number): Meaning {
  if (status >= 200 && status < 300) return "done";
  if (status >= 500) return "unclear";
  return NOT_NOW.has(status) ? "not-now" : "refused";
}

/** Whether a status says that what it was asked for does not exist. */
export function isGone(status: number): boolean {
  return GONE.has(status);
}
