// How events that follow from each other are tied together, as extensions of CloudEvents ("Correlation").
//
//   correlationid   the same for all that follow from one event: the first one's id, unless it came with one
//   causationid     the id of the event that this one follows from
//   hops            how many reactions lie between the first event and this one
//   requestkey      the idempotency-key of the request whose outcome this event tells of
//
// A cycle of reactions would never end: what has come through MAX_HOPS of them causes nothing more.

import { KEY_EXTENSION, type CloudEvent } from "./cloud-event.ts";

export const CORRELATION_EXTENSION = "correlationid";
export const CAUSATION_EXTENSION = "causationid";
export const HOPS_EXTENSION = "hops";
export const REQUEST_KEY_EXTENSION = "requestkey";
/** Reactions that may follow on each other. */
export const MAX_HOPS = 16;

type Cause = Pick<CloudEvent, "id" | "extensions">;

/** What everything that follows from an event has in common. */
export function correlationOf({ id, extensions }: Cause): string {
  return String(extensions[CORRELATION_EXTENSION] ?? "") || id;
}

/** Reactions that an event has come through; what is no such number counts as none. */
export function hopsOf({ extensions }: Pick<CloudEvent, "extensions">): number {
  const hops = Number(extensions[HOPS_EXTENSION] ?? 0);
  return Number.isSafeInteger(hops) && hops > 0 ? hops : 0;
}

/** What an event carries that follows from this one; it keeps the same order. */
export function followingAttributes(cause: Cause): CloudEvent["extensions"] {
  const key = cause.extensions[KEY_EXTENSION];
  return {
    [CORRELATION_EXTENSION]: correlationOf(cause),
    [CAUSATION_EXTENSION]: cause.id,
    [HOPS_EXTENSION]: hopsOf(cause) + 1,
    ...(key === undefined ? {} : { [KEY_EXTENSION]: key }),
  };
}
