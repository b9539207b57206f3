// What a job holds: the request that is to be sent and the answer that is kept. Plain data that can be
// cloned. Everybody imports it through protocol.ts.

import type { CloudEvent } from "../events/cloud-event.ts";

/** A body of more bytes is stored elsewhere first and comes as a `BodyClaim`. */
export const MAX_INLINE_BODY_BYTES = 96 * 1024;
/** Names and values of a job's headers together, in UTF-16 units. */
export const MAX_HEADER_CHARS = 64 * 1024;
/** Method and path with its query, in UTF-16 units. */
export const MAX_METHOD_CHARS = 32;
export const MAX_PATH_CHARS = 16 * 1024;

/** A body that stands in a bucket. Whoever reads it checks its hash. */
export interface BodyClaim {
  readonly ref: string;
  /** 64 lower-case hex digits. */
  readonly sha256: string;
  /** Bytes. */
  readonly length: number;
}

/** Null: no body. */
export type Body = Uint8Array | BodyClaim | null;

/** In the order in which they were sent; a name may come twice. */
export type HeaderPairs = readonly (readonly [name: string, value: string])[];

/** What is to be sent: already edited for the upstream, but for what every try adds by itself. */
export interface JobRequest {
  readonly method: string;
  /** Path and query below the upstream's base path. */
  readonly path: string;
  readonly headers: HeaderPairs;
  readonly body: Body;
}

/** A request for an upstream; the queue's configuration names it. */
export interface RequestTarget {
  readonly kind: "request";
  readonly request: JobRequest;
}

/** An event for whoever has subscribed; the subscription's configuration says how it gets there. */
export interface EventTarget {
  readonly kind: "event";
  readonly event: CloudEvent;
  /** Names of the subscriptions that it is for; only where it was published. */
  readonly recipients?: readonly string[];
}

/** What a job does when it runs; later kinds are added here. */
export type JobTarget = RequestTarget | EventTarget;

/** An upstream's answer as it is kept for whoever asks for the result. */
export interface JobResult {
  readonly status: number;
  readonly headers: HeaderPairs;
  readonly body: Body;
}

export interface Malformed {
  readonly kind: "malformed";
  /** The field that is wrong. */
  readonly field: string;
}

export interface Unknown {
  readonly kind: "unknown";
}
