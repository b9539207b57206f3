// `POST /_gateway/events`: publishes CloudEvents (one as a whole, one in binary mode, or a batch) and
// Debezium's change events. 202 once every one of them is stored; else nothing is promised, and the same
// may be sent again: what is known already is not published twice.

import type { Exchange } from "../edge/exchange.ts";
import { makeProblem } from "../edge/answer.ts";
import { storedTraceparent } from "../edge/trace.ts";
import { retryAfterSeconds } from "../http/retry-after.ts";
import type { Submitted } from "../delivery/accept-batches.ts";
import { readBody, release } from "../delivery/accept-body.ts";
import type { CloudEvent } from "../delivery/events/cloud-event.ts";
import { readChangeEvent } from "../delivery/events/debezium.ts";
import { MAX_MESSAGE_BYTES, readHttpEvents } from "../delivery/events/http-binding.ts";
import { decodeText } from "../delivery/events/json-format.ts";
import { eventKeyOf, publish, publishTogether } from "../delivery/publish.ts";
import { problem } from "./answers.ts";

const READ_MS = 30_000;
const RETRY_MS = 1_000;
const EVENT_RULE =
  "Send a CloudEvent: `application/cloudevents+json`, a batch, or binary mode with `ce-` headers; or a change event of Debezium.";

export async function postEvents(x: Exchange, request: Request): Promise<Response> {
  const read = await readBody(request.body, request.headers.get("content-length"), {
    limitBytes: MAX_MESSAGE_BYTES,
    hasBucket: true,
    waitMs: READ_MS,
  });
  if (read.kind === "too-large") {
    const extra = {
      limitBytes: MAX_MESSAGE_BYTES,
      detail: `Send at most ${MAX_MESSAGE_BYTES} bytes at a time.`,
    };
    return makeProblem(x, "body_too_large", extra, new Headers());
  }
  if (read.kind === "busy") return notStored(x, RETRY_MS);
  if (read.kind !== "read") return problem(x, "bad_request", "Send the whole body.");
  release(read.body);
  const events = eventsOf(x, request.headers, read.body ?? new Uint8Array());
  return events instanceof Response ? events : publishAll(x, events);
}

function eventsOf(x: Exchange, headers: Headers, body: Uint8Array): readonly CloudEvent[] | Response {
  const parsed = readHttpEvents({ headers, body });
  switch (parsed.kind) {
    case "events":
      return parsed.events;
    case "invalid":
      return problem(x, "bad_request", `${parsed.at} ${parsed.rule}.`);
    case "too-large":
      return tooLarge(x, parsed);
    case "unsupported-format":
      return problem(x, "bad_request", `${parsed.contentType} is not read here. ${EVENT_RULE}`);
    case "no-event":
      return changesOf(x, body);
  }
}

function changesOf(x: Exchange, body: Uint8Array): readonly CloudEvent[] | Response {
  const text = decodeText(body);
  const change = text === null ? ({ kind: "no-change" } as const) : readChangeEvent(text);
  switch (change.kind) {
    case "event":
      return [change.event];
    case "skipped":
      return [];
    case "no-change":
      return problem(x, "bad_request", EVENT_RULE);
    case "invalid":
      return problem(x, "bad_request", `${change.at} ${change.rule}.`);
    case "too-large":
      return tooLarge(x, change);
  }
}

function tooLarge(
  x: Exchange,
  { at, maxBytes }: { readonly at: string; readonly maxBytes: number },
): Response {
  const detail = `Send at most ${maxBytes} bytes in ${at}.`;
  return makeProblem(x, "body_too_large", { limitBytes: maxBytes, detail }, new Headers());
}

async function publishAll(x: Exchange, events: readonly CloudEvent[]): Promise<Response> {
  const submitted = await submitAll(x, events);
  x.trace?.stored(Date.now(), events.length === 1 ? events[0].id : null);
  const refused = submitted.find((each) => !isStored(each));
  if (refused !== undefined) return refuse(x, refused);
  const ids = events.map(({ id }) => id);
  const one = events.length === 1 ? { id: ids[0] } : {};
  return Response.json({ ...one, ids, status: "accepted" }, { status: 202 });
}

/** A single event shares its call with others; a batch keeps its order. */
async function submitAll(x: Exchange, events: readonly CloudEvent[]): Promise<readonly (Submitted | null)[]> {
  const { outboxes, plan } = x.engine;
  const { requestId } = x;
  const traceparent = storedTraceparent(x, events.length === 1 ? events[0].type : "events");
  const [event] = events;
  if (events.length !== 1) {
    return outboxes === null ? [null] : publishTogether(outboxes, plan, events, { traceparent, requestId });
  }
  const key = eventKeyOf(event);
  const origin = { priority: 1, consumer: null, tenant: null, route: "events", requestId } as const;
  const publication = { ...origin, event, key, fingerprint: key, traceparent };
  return [await publish(x.engine, publication, (work) => x.shell.waitUntil(work))];
}

/** In flight: the same event comes twice in one batch, and the other one is stored. */
function isStored(submitted: Submitted | null): boolean {
  return submitted !== null && ["accepted", "replayed", "in-flight"].includes(submitted.kind);
}

function refuse(x: Exchange, refused: Submitted | null): Response {
  if (refused === null) return problem(x, "not_accepted", "This gateway cannot store events.");
  switch (refused.kind) {
    case "backlog-full": {
      const seconds = retryAfterSeconds(refused.retryAfterMs);
      const headers = new Headers({ "retry-after": String(seconds) });
      return makeProblem(x, "backlog_full", { retryAfter: seconds }, headers);
    }
    case "too-large":
      return makeProblem(x, "body_too_large", {}, new Headers());
    case "malformed":
      throw new Error(`the outbox of the events did not understand ${refused.field}`);
    default:
      return notStored(x, RETRY_MS);
  }
}

function notStored(x: Exchange, waitMs: number): Response {
  const seconds = retryAfterSeconds(waitMs);
  return makeProblem(
    x,
    "not_accepted",
    { retryAfter: seconds },
    new Headers({ "retry-after": String(seconds) }),
  );
}
