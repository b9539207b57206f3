// What a client says of how its request is to be stored: its idempotency key, its place in an order, how long
// it would wait for the result. Pure; what does not hold is named by the problem that it is answered with.

import type { QueuePlan } from "../config/plan.ts";
import { parseIdempotencyKey } from "../http/idempotency-key.ts";
import { parsePrefer } from "../http/prefer.ts";
import { MAX_KEY_CHARS } from "../hub/protocol.ts";
import { MAX_RESULT_WAIT_MS } from "./core/protocol.ts";

const MS_PER_SECOND = 1_000;

export interface AcceptTerms {
  /** null: none was sent. */
  readonly idempotencyKey: string | null;
  /** Requests of one key are delivered one after the other; null: no order. */
  readonly key: string | null;
  readonly respondAsync: boolean;
  /** Ms to wait for the result; 0: not at all, null: not asked for. */
  readonly waitMs: number | null;
}

export type ReadTerms =
  | ({ readonly kind: "terms" } & AcceptTerms)
  | { readonly kind: "key-required" }
  /** `detail` says what to send instead. */
  | { readonly kind: "malformed"; readonly detail: string };

/** Reads the fields of a request; `orderKey` is the value of the queue's `orderBy` field. */
export function readTerms(
  queue: Pick<QueuePlan, "idempotencyKey" | "orderBy">,
  fields: {
    readonly idempotencyKey: string | null;
    readonly prefer: string | null;
    readonly orderKey: string | null;
  },
): ReadTerms {
  const { orderKey } = fields;
  const written = fields.idempotencyKey;
  if (written === null && queue.idempotencyKey === "required") return { kind: "key-required" };
  const idempotencyKey = written === null ? null : parseIdempotencyKey(written, MAX_KEY_CHARS);
  if (written !== null && idempotencyKey === null) {
    const detail = `Send one idempotency-key of 1 to ${MAX_KEY_CHARS} characters, as a quoted string or as a bare token.`;
    return { kind: "malformed", detail };
  }
  if (orderKey !== null && orderKey.length > MAX_KEY_CHARS) {
    const detail = `Send at most ${MAX_KEY_CHARS} characters in ${queue.orderBy ?? ""}.`;
    return { kind: "malformed", detail };
  }
  const { respondAsync, waitSeconds } = parsePrefer(fields.prefer);
  const waitMs = waitSeconds === null ? null : Math.min(waitSeconds * MS_PER_SECOND, MAX_RESULT_WAIT_MS);
  return { kind: "terms", idempotencyKey, key: orderKey === "" ? null : orderKey, respondAsync, waitMs };
}

/** `preference-applied` (RFC 7240 3) of an answer; null: nothing was asked for. */
export function appliedPreferences(
  { respondAsync, waitMs }: Pick<AcceptTerms, "respondAsync" | "waitMs">,
  answered: "with-job" | "with-result",
): string | null {
  const applied = [
    ...(respondAsync && answered === "with-job" ? ["respond-async"] : []),
    ...(waitMs === null ? [] : [`wait=${waitMs / MS_PER_SECOND}`]),
  ];
  return applied.length === 0 ? null : applied.join(", ");
}
