// A route to an event: the request's body becomes the event's data, its type is the route's. It is answered
// with 202 once the event is stored, and with a problem when it is not.

import { consumerAt } from "../edge/engine.ts";
import type { Exchange } from "../edge/exchange.ts";
import { storedTraceparent } from "../edge/trace.ts";
import { Verdict } from "../edge/verdict.ts";
import { parseIdempotencyKey } from "../http/idempotency-key.ts";
import { MAX_KEY_CHARS } from "../hub/protocol.ts";
import type { Submitted } from "./accept-batches.ts";
import { digestOf, readBody, release } from "./accept-body.ts";
import { MAX_DATA_BYTES, NO_DATA, checkEvent, type CloudEvent } from "./events/cloud-event.ts";
import { ID_RANDOM_BYTES, uuidV7 } from "./events/event-id.ts";
import { bytesAs } from "./events/json-format.ts";
import { noteIntake, refuse, refuseBody, refuseFull, refuseSubmitted } from "./intake.ts";
import { PUBLISH_TIMEOUT_MS, publish } from "./publish.ts";

/** Publishes a request; on `admit` the exchange holds the answer. */
export async function publishRequest(x: Exchange, type: string): Promise<Verdict> {
  const { outboxes, plan } = x.engine;
  if (outboxes === null) return refuse(x, Verdict.notAccepted, "This gateway cannot store events.");
  const written = x.inbound.idempotencyKey;
  const key = written === null ? null : parseIdempotencyKey(written, MAX_KEY_CHARS);
  if (written !== null && key === null) return refuse(x, Verdict.badRequest, KEY_RULE);
  const retryAfterMs = outboxes.events(plan).refusal(x.trafficClass);
  if (retryAfterMs !== null) return refuseFull(x, retryAfterMs);
  const limitBytes = Math.min(x.route?.bodyLimitBytes ?? 0, MAX_DATA_BYTES);
  const body = await readBody(x.request.body, x.inbound.contentLength, {
    limitBytes,
    hasBucket: true,
    waitMs: x.deadlineAt - Date.now(),
  });
  if (body.kind !== "read") {
    return refuseBody(x, body, () => `Send at most ${limitBytes} bytes: an event is stored in one row.`);
  }
  release(body.body);
  const event = eventOf(x, type, body.body, key);
  if (typeof event === "string") return refuse(x, Verdict.badRequest, event);
  const submitted = await publish(
    x.engine,
    {
      event,
      priority: x.trafficClass,
      consumer: consumerAt(x.engine, x.consumer)?.name ?? null,
      tenant: x.tenant < 0 ? null : plan.tenants[x.tenant].name,
      route: x.route?.name ?? "",
      key,
      fingerprint: digestOf(
        new TextEncoder().encode(`${type}\n${x.rawPath}${x.query}\n${digestOf(body.body)}`),
      ),
      traceparent: storedTraceparent(x, type),
      requestId: x.requestId,
    },
    (work) => x.shell.waitUntil(work),
    Math.min(PUBLISH_TIMEOUT_MS, Math.max(1, x.deadlineAt - Date.now())),
  );
  return answer(x, event, submitted ?? { kind: "unanswered" });
}

const KEY_RULE = `Send one idempotency-key of 1 to ${MAX_KEY_CHARS} characters, as a quoted string or as a bare token.`;

/** The event, or the sentence that says why the request is none. */
function eventOf(
  x: Exchange,
  type: string,
  bytes: Uint8Array | null,
  key: string | null,
): CloudEvent | string {
  const contentType = x.request.headers.get("content-type");
  const now = Date.now();
  const data = bytes === null ? NO_DATA : bytesAs(bytes, contentType);
  if ("at" in data) return "Send a body that is JSON, as content-type says.";
  const event: CloudEvent = {
    id: key === null ? uuidV7(now, crypto.getRandomValues(new Uint8Array(ID_RANDOM_BYTES))) : idOf(x, key),
    source: sourceOf(x),
    type,
    subject: null,
    time: new Date(now).toISOString(),
    dataContentType: bytes === null ? null : contentType,
    dataSchema: null,
    extensions: {},
    data,
  };
  const wrong = checkEvent(event);
  if (wrong === null) return event;
  if (wrong.kind === "too-large") return `Send at most ${wrong.maxBytes} bytes.`;
  return wrong.at === "datacontenttype"
    ? "Send a content-type that is a media type."
    : `Its ${wrong.at} ${wrong.rule}.`;
}

/** The same key names the same event, also in the answer to its repetition. */
function idOf(x: Exchange, key: string): string {
  const scope = JSON.stringify([x.tenant, x.tenant < 0 ? x.consumer : null, x.route?.name, key]);
  return digestOf(new TextEncoder().encode(scope)).slice(0, 32);
}

/** Who says so: this gateway, by this route. */
function sourceOf({ engine, route }: Exchange): string {
  const name = (route?.name ?? "").replace(/^\/+/, "");
  return encodeURI(`/${engine.plan.name}/${name}`).replaceAll(/[^A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]/g, "_");
}

function answer(x: Exchange, { id, source, type }: CloudEvent, submitted: Submitted): Verdict {
  noteIntake(x, Verdict.admit, submitted.kind);
  switch (submitted.kind) {
    case "accepted":
    case "replayed":
      x.sent = submitted.kind === "accepted";
      if (x.sent) x.trace?.stored(Date.now(), id);
      x.response = new Response(JSON.stringify({ id, source, type, status: "accepted" }), {
        status: 202,
        headers: { "content-type": "application/json", "cache-control": "no-store" },
      });
      return Verdict.admit;
    default:
      return refuseSubmitted(x, submitted, Verdict.bodyTooLarge);
  }
}
