// The body of a request that is to be stored: read whole, counted against the route's limit. A small one goes
// into the job's row, a larger one into the bucket before the job is stored (claim check): the row then holds
// its name, length and SHA-256, which the bucket verifies when it stores the object and the consumer when it
// reads it.

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { Body, BodyClaim } from "./core/protocol.ts";
import { MAX_INLINE_BODY_BYTES } from "./core/protocol.ts";

/** A bucket verifies only what is put as a whole, and an isolate has 128 MB for everything. */
export const MAX_STORED_BODY_BYTES = 25 * 1024 * 1024;
/** Bodies beyond the inline size that an isolate reads at a time, together. */
export const MAX_HELD_BYTES = 50 * 1024 * 1024;

/** The part of a bucket's binding that is used here. */
export interface ClaimStore {
  put(key: string, value: Uint8Array, options: { readonly sha256: string }): Promise<unknown>;
  delete(key: string): Promise<void>;
}

export type ReadBody =
  | { readonly kind: "read"; readonly body: Uint8Array | null }
  /** `limitBytes` is what it may have at most, and `why` what that comes from. */
  | {
      readonly kind: "too-large";
      readonly limitBytes: number;
      readonly why: "route" | "no-bucket" | "storage";
    }
  /** The isolate holds too much already. */
  | { readonly kind: "busy" }
  /** The client broke off. */
  | { readonly kind: "broken" }
  | { readonly kind: "too-slow" };

export interface BodyBounds {
  /** Of the route. */
  readonly limitBytes: number;
  readonly hasBucket: boolean;
  /** Ms until the request's deadline. */
  readonly waitMs: number;
}

/** Bytes of larger bodies that are being read or stored. */
let heldBytes = 0;

/** Whether a value is a bucket. */
export function isClaimStore(value: unknown): value is ClaimStore {
  return typeof value === "object" && value !== null && "put" in value && "delete" in value;
}

/** What may be stored of a body, and why not more. */
export function boundOf({ limitBytes, hasBucket }: BodyBounds): Extract<ReadBody, { kind: "too-large" }> {
  const most = hasBucket ? MAX_STORED_BODY_BYTES : MAX_INLINE_BODY_BYTES;
  if (limitBytes <= most) return { kind: "too-large", limitBytes, why: "route" };
  return { kind: "too-large", limitBytes: most, why: hasBucket ? "storage" : "no-bucket" };
}

/** Reads a body to its end. What it gives is held until `release`. */
export async function readBody(
  stream: ReadableStream<Uint8Array> | null,
  declared: string | null,
  bounds: BodyBounds,
): Promise<ReadBody> {
  if (stream === null) return { kind: "read", body: null };
  const bound = boundOf(bounds);
  if (declared !== null && Number(declared) > bound.limitBytes) return bound;
  const reader = stream.getReader();
  const { promise: tooSlow, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), Math.max(0, bounds.waitMs));
  const chunks: Uint8Array[] = [];
  let length = 0;
  let held = 0;
  let ended: ReadBody | null = null;
  try {
    while (ended === null) {
      const read = await Promise.race([reader.read(), tooSlow]);
      if (read === null) ended = { kind: "too-slow" };
      else if (read.done) return { kind: "read", body: joined(chunks, length) };
      else {
        chunks.push(read.value);
        length += read.value.byteLength;
        if (length > bound.limitBytes) ended = bound;
        const more = length > MAX_INLINE_BODY_BYTES ? length - held : 0;
        held += more;
        heldBytes += more;
        if (ended === null && heldBytes > MAX_HELD_BYTES) ended = { kind: "busy" };
      }
    }
  } catch {
    ended = { kind: "broken" };
  } finally {
    clearTimeout(timer);
  }
  heldBytes -= held;
  reader.cancel().catch(() => {});
  return ended;
}

/** A body of that length is not held any more. */
export function release(body: Uint8Array | null): void {
  if (body !== null && body.byteLength > MAX_INLINE_BODY_BYTES) heldBytes -= body.byteLength;
}

/** Lower-case hex SHA-256 of a body; of none: of no bytes. */
export function digestOf(body: Uint8Array | null): string {
  return bytesToHex(sha256(body ?? new Uint8Array()));
}

/** The body as its job holds it. Throws when the bucket does not take it. */
export async function storeBody(
  body: Uint8Array | null,
  queue: string,
  bucket: ClaimStore | null,
): Promise<Body> {
  if (body === null || body.byteLength <= MAX_INLINE_BODY_BYTES) return body;
  if (bucket === null) throw new Error("a body that was too large has been read");
  const claim: BodyClaim = {
    ref: `claims/${queue}/${crypto.randomUUID()}`,
    sha256: digestOf(body),
    length: body.byteLength,
  };
  await bucket.put(claim.ref, body, { sha256: claim.sha256 });
  return claim;
}

/** Always a buffer of its own: a part of a larger one would be sent with all of it. */
function joined(chunks: readonly Uint8Array[], length: number): Uint8Array | null {
  if (length === 0) return null;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}
