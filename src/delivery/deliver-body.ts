// The body of a job on its way upstream: the bytes of its row, or the object in the bucket that its claim
// names. What comes from the bucket is only sent when it is what was accepted.

import type { Body, BodyClaim } from "./core/protocol.ts";

/** A body from the bucket that is larger goes out as it arrives, six of the others fit into an isolate. */
export const MAX_READ_BODY_BYTES = 8 * 1024 * 1024;

/** The part of a bucket's binding that is used here. */
export interface ClaimBucket {
  get(key: string): Promise<ClaimObject | null>;
}

export interface ClaimObject {
  readonly size: number;
  /** What the bucket has verified when it was stored. */
  readonly checksums: { readonly sha256?: ArrayBuffer };
  readonly body: ReadableStream<Uint8Array>;
  arrayBuffer(): Promise<ArrayBuffer>;
}

export type LoadedBody =
  | { readonly kind: "loaded"; readonly body: Uint8Array | ReadableStream<Uint8Array> | null }
  /** The bucket did not answer: it may later. */
  | { readonly kind: "unavailable"; readonly error: string }
  /** It is gone or not what was accepted: it never will. */
  | { readonly kind: "lost"; readonly error: string };

/** The body of a job; `bucket` is null where the Worker has none. */
export async function loadBody(body: Body, bucket: ClaimBucket | null): Promise<LoadedBody> {
  if (body === null || body instanceof Uint8Array) return { kind: "loaded", body };
  if (bucket === null) return { kind: "unavailable", error: "the Worker has no bucket CLAIMS" };
  try {
    const object = await bucket.get(body.ref);
    if (object === null) return { kind: "lost", error: "its body is not in the bucket any more" };
    return await checkObject(object, body);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { kind: "unavailable", error: `the bucket CLAIMS did not answer: ${reason}` };
  }
}

async function checkObject(object: ClaimObject, claim: BodyClaim): Promise<LoadedBody> {
  const other: LoadedBody = {
    kind: "lost",
    error: "its body in the bucket is not the one that was accepted",
  };
  if (object.size !== claim.length) return other;
  const { sha256 } = object.checksums;
  if (sha256 !== undefined && hexOf(sha256) !== claim.sha256) return other;
  if (claim.length > MAX_READ_BODY_BYTES) {
    if (sha256 !== undefined) return { kind: "loaded", body: object.body };
    return { kind: "lost", error: "its body in the bucket has no hash" };
  }
  const bytes = await object.arrayBuffer();
  const isSame = sha256 !== undefined || hexOf(await crypto.subtle.digest("SHA-256", bytes)) === claim.sha256;
  return isSame ? { kind: "loaded", body: new Uint8Array(bytes) } : other;
}

function hexOf(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
