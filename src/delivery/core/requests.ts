// Checks what comes to an outbox before anything of it counts: its sender may be another version of the
// Worker. A batch of accepts is checked item by item, because its items come from different clients; all
// else is taken whole or not at all. What does not hold is a value that names the field.

import { isKey, isPlainName } from "../../hub/names.ts";
import { MAX_ATTRIBUTE_CHARS as MAX_PATTERN_CHARS, checkEvent } from "../events/cloud-event.ts";
import { MAX_PATTERNS } from "../events/event-pattern.ts";
import type { PullRequest, SubscriptionRoute } from "./event-protocol.ts";
import { MAX_PULL_LEASE_MS, MAX_SUBSCRIPTIONS, MIN_PULL_LEASE_MS } from "./event-protocol.ts";
import {
  MAX_ATTEMPTS,
  MAX_BATCH_JOBS,
  MAX_HIGH_WATERMARK,
  MAX_PAGE_ROWS,
  MAX_RESULT_WAIT_MS,
  type AcceptItem,
  type AcceptRequest,
  type CancelRequest,
  type DeadRequest,
  type Idempotency,
  type JobTarget,
  type KeyLookup,
  type Malformed,
  type Pointer,
  type QueueTerms,
  type ReplayRequest,
  type ResultRequest,
} from "./protocol.ts";
import {
  fitsInline,
  isCloudEvent,
  isDelivery,
  isDuration,
  isFields,
  isHex64,
  isJobRequest,
  isKeyOrNull,
  isListOf,
  isReactionTerms,
  isText,
  isTextOrNull,
  isTrafficClass,
  isWhole,
} from "./shapes.ts";

/** Routes are named by their paths where they have no name. */
const MAX_ROUTE_CHARS = 1024;
const MAX_TRACEPARENT_CHARS = 256;
export const MAX_REQUEST_ID_CHARS = 128;
const MAX_CURSOR_CHARS = 64;
/** Dead rows per second of a replay. */
export const MAX_REPLAY_RATE = 1_000;

export type Checked<Request> = { readonly kind: "valid"; readonly request: Request } | Malformed;

export type CheckedItem = { readonly kind: "item"; readonly item: AcceptItem } | TooLarge | Malformed;

export interface TooLarge {
  readonly kind: "too-large";
}

/** A batch whose items are checked one by one. */
export type CheckedAccept = Omit<AcceptRequest, "items" | "lookups" | "subscriptions"> & {
  readonly items: readonly CheckedItem[];
  readonly lookups: readonly KeyLookup[];
  /** Null: its sender knows no configuration. */
  readonly subscriptions: readonly SubscriptionRoute[] | null;
};

export function malformed(field: string): Malformed {
  return { kind: "malformed", field };
}

export function checkAccept(input: unknown): Checked<CheckedAccept> {
  if (!isFields(input)) return malformed("request");
  const { region, config, terms, items, refused, lookups = [], subscriptions = null } = input;
  if (!isText(region, 64)) return malformed("region");
  if (!isText(config, 128)) return malformed("config");
  if (!isQueueTerms(terms)) return malformed("terms");
  if (!Array.isArray(items) || items.length > MAX_BATCH_JOBS) return malformed("items");
  if (!isWhole(refused, 0)) return malformed("refused");
  const isTold = subscriptions === null || isListOf(subscriptions, MAX_SUBSCRIPTIONS, isRoute);
  if (!isTold) return malformed("subscriptions");
  if (!isListOf(lookups, MAX_BATCH_JOBS, isLookup)) return malformed("lookups");
  const checked = items.map(checkItem);
  const batch = { region, config, terms, items: checked, refused, lookups, subscriptions };
  return { kind: "valid", request: batch };
}

function isLookup(value: unknown): value is KeyLookup {
  if (!isFields(value)) return false;
  const { consumer, tenant, route, idempotency } = value;
  return (
    isKeyOrNull(consumer) &&
    isKeyOrNull(tenant) &&
    isText(route, MAX_ROUTE_CHARS) &&
    isIdempotency(idempotency)
  );
}

function checkItem(input: unknown): CheckedItem {
  if (!isFields(input)) return malformed("item");
  const { target, priority, consumer, tenant, route, key } = input;
  const { idempotency, traceparent, requestId, maxAgeMs } = input;
  if (!isTarget(target)) return malformed("target");
  if (!isTrafficClass(priority)) return malformed("priority");
  if (!isKeyOrNull(consumer)) return malformed("consumer");
  if (!isKeyOrNull(tenant)) return malformed("tenant");
  if (!isText(route, MAX_ROUTE_CHARS)) return malformed("route");
  if (!isKeyOrNull(key)) return malformed("key");
  if (idempotency !== null && !isIdempotency(idempotency)) return malformed("idempotency");
  if (!isTextOrNull(traceparent, MAX_TRACEPARENT_CHARS)) return malformed("traceparent");
  if (!isTextOrNull(requestId, MAX_REQUEST_ID_CHARS)) return malformed("requestId");
  if (maxAgeMs !== null && !isDuration(maxAgeMs)) return malformed("maxAgeMs");
  if (!fits(target)) return { kind: "too-large" };
  const item = { target, priority, consumer, tenant, route, key, idempotency, traceparent, requestId };
  return { kind: "item", item: { ...item, maxAgeMs } };
}

function isTarget(value: unknown): value is JobTarget {
  if (!isFields(value)) return false;
  return value.kind === "event"
    ? isCloudEvent(value.event)
    : value.kind === "request" && isJobRequest(value.request);
}

function fits(target: JobTarget): boolean {
  return target.kind === "event" ? checkEvent(target.event) === null : fitsInline(target.request);
}

function isPattern(value: unknown): value is string {
  return isText(value, MAX_PATTERN_CHARS);
}

function isRoute(value: unknown): value is SubscriptionRoute {
  if (!isFields(value) || typeof value.ordered !== "boolean" || !isQueueTerms(value.terms)) return false;
  return isPlainName(value.name) && isListOf(value.events, MAX_PATTERNS, isPattern);
}

/** Leases `max` events; see `PullRequest`. */
export function checkPull(input: unknown): Checked<PullRequest> {
  if (!isFields(input)) return malformed("request");
  const { max, leaseMs } = input;
  if (!isWhole(max, 1, MAX_BATCH_JOBS)) return malformed("max");
  if (!isWhole(leaseMs, MIN_PULL_LEASE_MS, MAX_PULL_LEASE_MS)) return malformed("leaseMs");
  return { kind: "valid", request: { max, leaseMs } };
}

function isIdempotency(value: unknown): value is Idempotency {
  return isFields(value) && isKey(value.key) && isHex64(value.fingerprint);
}

/** Whether these are the terms of a queue, with every number within its bounds. */
export function isQueueTerms(value: unknown): value is QueueTerms {
  if (!isFields(value) || !isFields(value.retry)) return false;
  const { highWatermark, resumeAt, alertAt, maxAgeMs, retry, onDeadHead } = value;
  return (
    isWhole(highWatermark, 1, MAX_HIGH_WATERMARK) &&
    typeof resumeAt === "number" &&
    resumeAt >= 0 &&
    resumeAt < 1 &&
    isWhole(alertAt, 1) &&
    isDuration(maxAgeMs) &&
    isWhole(retry.attempts, 1, MAX_ATTEMPTS) &&
    isDuration(retry.delayMs) &&
    isDuration(retry.maxDelayMs) &&
    (onDeadHead === "block" || onDeadHead === "skip") &&
    isDelivery(value.delivery) &&
    (value.reaction === undefined || isReactionTerms(value.reaction))
  );
}

export function checkResult(input: unknown): Checked<ResultRequest> {
  if (!isFields(input)) return malformed("request");
  const { id, waitMs } = input;
  if (!isIdText(id)) return malformed("id");
  if (!isDuration(waitMs)) return malformed("waitMs");
  return { kind: "valid", request: { id, waitMs: Math.min(waitMs, MAX_RESULT_WAIT_MS) } };
}

export function checkCancel(input: unknown): Checked<CancelRequest> {
  if (!isFields(input)) return malformed("request");
  const { id, by } = input;
  if (!isIdText(id)) return malformed("id");
  if (by !== "client" && by !== "operator") return malformed("by");
  return { kind: "valid", request: { id, by } };
}

export function checkDead(input: unknown): Checked<DeadRequest> {
  if (!isFields(input)) return malformed("request");
  const { after, max } = input;
  if (!isTextOrNull(after, MAX_CURSOR_CHARS)) return malformed("after");
  if (!isWhole(max, 1)) return malformed("max");
  return { kind: "valid", request: { after, max: Math.min(max, MAX_PAGE_ROWS) } };
}

export function checkReplay(input: unknown): Checked<ReplayRequest> {
  if (!isFields(input)) return malformed("request");
  if (input.ids !== undefined) {
    const { ids } = input;
    return isListOf(ids, MAX_PAGE_ROWS, isIdText) ? { kind: "valid", request: { ids } } : malformed("ids");
  }
  const { since, until, rate } = input;
  if (!isWhole(since, 0)) return malformed("since");
  if (!isWhole(until, since)) return malformed("until");
  if (typeof rate !== "number" || !(rate > 0 && rate <= MAX_REPLAY_RATE)) return malformed("rate");
  return { kind: "valid", request: { since, until, rate } };
}

/** Whether a message of the Cloudflare Queue is a pointer that this version knows. */
export function isPointer(value: unknown): value is Pointer {
  if (!isFields(value)) return false;
  return value.v === 1 && isText(value.outbox, 128) && isIdText(value.id) && isText(value.region, 64);
}

/** What is not a job's id at all is answered `unknown`, like an id that nobody has. */
export function isIdText(value: unknown): value is string {
  return isText(value, MAX_ROUTE_CHARS);
}
