// A reaction at work: an event becomes the request that its configuration writes. What is published of the
// outcome, its outbox decides; see core/sequel.ts.
//
//   idempotency-key      made of the event's source and id and of the reaction: the same for every try, and
//                        another for each reaction to the same event
//   ce-correlationid, ce-causationid, ce-hops
//                        what an event should carry that the upstream publishes in its turn

import type { ReactionRequest, SubscriptionPlan } from "../config/plan.ts";
import type { Json, Scope } from "../saga/core/template.ts";
import { renderBody, renderPath, renderText } from "../saga/core/template.ts";
import { digestOf } from "./accept-body.ts";
import type { ClaimedJob, DeliveryOutcome, HeaderPairs } from "./core/protocol.ts";
import type { RequestJob } from "./deliver-request.ts";
import { IDEMPOTENCY_KEY } from "./deliver-request.ts";
import type { Delivered } from "./deliver.ts";
import { KEY_EXTENSION, type CloudEvent } from "./events/cloud-event.ts";
import { MAX_HOPS, correlationOf, followingAttributes, hopsOf } from "./events/correlation.ts";
import { encodeHeaderValue } from "./events/http-binding.ts";
import { parseJson } from "./events/json-format.ts";

/** Of the hash that a key is: 128 bits. */
const KEY_HEX_DIGITS = 32;
/** What is gone already needs no deleting: a try whose answer was lost may have done it. */
const GONE: ReadonlySet<number> = new Set([404, 410]);

export type Reacted =
  | { readonly kind: "request"; readonly job: RequestJob }
  /** No try would change anything. */
  | Extract<DeliveryOutcome, { kind: "hopeless" }>;

/** The request for an event. `secretHeaders`: those of its fields that stand in secrets. */
export function reactTo(
  job: ClaimedJob,
  { name }: Pick<SubscriptionPlan, "name">,
  request: ReactionRequest,
  secretHeaders: HeaderPairs,
): Reacted {
  const { target, ...rest } = job;
  if (target.kind !== "event") return { kind: "hopeless", reason: "a request stands among events" };
  const { event } = target;
  const hops = hopsOf(event);
  if (hops >= MAX_HOPS) {
    const reason = `its event has come through ${hops} reactions, and ${MAX_HOPS} are the most`;
    return { kind: "hopeless", reason };
  }
  const key = reactionKey(event, name);
  const rendered = renderRequest(request, scopeOf(event, key));
  if ("missing" in rendered) {
    return { kind: "hopeless", reason: `its event does not say what the request needs: ${rendered.missing}` };
  }
  const { path, headers, body } = rendered;
  const own: [string, string][] = [[IDEMPOTENCY_KEY, key]];
  for (const [attribute, value] of Object.entries(followingAttributes(event))) {
    if (attribute !== KEY_EXTENSION) own.push([`ce-${attribute}`, encodeHeaderValue(String(value))]);
  }
  const all = [...own, ...headers, ...secretHeaders];
  if (body !== null && !all.some(([field]) => field === "content-type")) {
    all.push(["content-type", "application/json"]);
  }
  const { method } = request;
  return {
    kind: "request",
    job: { ...rest, target: { kind: "request", request: { method, path, headers: all, body } } },
  };
}

/** How a request went, as its outbox hears it: of an answer only what can be published is kept. */
export function asReactionOutcome({ outcome, tookMs }: Delivered, method: string): Delivered {
  switch (outcome.kind) {
    case "refused": {
      const result = published(outcome.result);
      const isGone = method === "DELETE" && GONE.has(result.status);
      // What is said of something that is not there is no news.
      if (isGone) return { outcome: { kind: "succeeded", result: { ...result, body: null } }, tookMs };
      return { outcome: { kind: "refused", result }, tookMs };
    }
    case "succeeded":
      return { outcome: { ...outcome, result: published(outcome.result) }, tookMs };
    case "failed":
      return {
        outcome: { ...outcome, result: outcome.result === null ? null : published(outcome.result) },
        tookMs,
      };
    default:
      return { outcome, tookMs };
  }
}

type Result = Extract<DeliveryOutcome, { kind: "succeeded" }>["result"];

const KEPT_FIELDS: ReadonlySet<string> = new Set(["content-type", "x-tidegate-truncated"]);

function published({ status, headers, body }: Result): Result {
  return { status, headers: headers.filter(([name]) => KEPT_FIELDS.has(name.toLowerCase())), body };
}

/** The key of a reaction's request, by which a repetition is known. */
function reactionKey({ source, id }: CloudEvent, reaction: string): string {
  return digestOf(new TextEncoder().encode(`${source}\n${id}\n${reaction}`)).slice(0, KEY_HEX_DIGITS);
}

function scopeOf(event: CloudEvent, idempotencyKey: string): Scope {
  const { id, source, type, subject, time, extensions, data } = event;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- JSON.parse gives nothing else
  const parsed = data.kind === "json" ? (parseJson(data.text) as Json | undefined) : undefined;
  const key = extensions[KEY_EXTENSION];
  return {
    id,
    source,
    type,
    correlationid: correlationOf(event),
    extensions,
    idempotencyKey,
    ...(parsed === undefined ? {} : { data: parsed }),
    ...(subject === null ? {} : { subject }),
    ...(time === null ? {} : { time }),
    ...(key === undefined ? {} : { partitionkey: key }),
  };
}

interface RenderedRequest {
  readonly path: string;
  readonly headers: HeaderPairs;
  readonly body: Uint8Array | null;
}

function renderRequest(
  request: ReactionRequest,
  scope: Scope,
): RenderedRequest | { readonly missing: string } {
  const path = renderPath(request.path, scope);
  if ("missing" in path) return path;
  const headers: [string, string][] = [];
  for (const [name, template] of request.headers) {
    const value = renderText(template, scope);
    if ("missing" in value) return value;
    headers.push([name, value.value]);
  }
  if (request.body === undefined) return { path: path.value, headers, body: null };
  const body = renderBody(request.body, scope);
  if ("missing" in body) return body;
  return { path: path.value, headers, body: new TextEncoder().encode(JSON.stringify(body.value)) };
}
