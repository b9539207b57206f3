// What a receiver's answer means for a webhook, and what of it is kept.

/** Bytes that are read of an answer's body; the rest is cancelled. */
export const MAX_READ_BYTES = 64 * 1024;
/** Characters that are kept of it, for people who look for the reason. */
export const MAX_KEPT_CHARS = 4 * 1024;

/** Why a try failed without an answer. Tenants see the class alone, never what the runtime said. */
export type TryError = "timeout" | "unreachable" | "target-refused" | "secret-unusable";

export type AnswerVerdict =
  | { readonly kind: "delivered" }
  /** Tried again while tries are left. */
  | { readonly kind: "failed"; readonly isOverload: boolean }
  /** The receiver wants nothing any more: nothing is sent to it from now on. */
  | { readonly kind: "gone" };

/**
 * Success is 2xx. A redirect is a failure: it is not followed, because where it leads was not checked. 410
 * means gone. Every other status is tried again, a 4xx too: receivers' mistakes get mended.
 */
export function judgeStatus(status: number): AnswerVerdict {
  if (status >= 200 && status <= 299) return { kind: "delivered" };
  if (status === 410) return { kind: "gone" };
  return { kind: "failed", isOverload: status === 429 };
}

/** Whether a failure says something about the receiver: only when bytes could have reached it. */
export function countsAgainstReceiver(error: TryError | null): boolean {
  return error === null || error === "timeout" || error === "unreachable";
}
