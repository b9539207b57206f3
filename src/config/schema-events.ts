// Schemas of `subscriptions` and `relays`: who gets which events and how, and which tables become events.

import * as z from "zod/mini";
import { isEventPattern, MAX_PATTERNS } from "../delivery/events/event-pattern.ts";
import { outboxTable, type OutboxTable } from "../delivery/relay/columns.ts";
import { checkTarget, MAX_TARGET_CHARS, TARGET_RULES } from "../delivery/webhooks/core/target-url.ts";
import { BINDING_PATTERN, checkedField, duration, exactObject, field, flag } from "./fields.ts";
import { integer, listOf, oneOf, text, type Parsed } from "./fields.ts";
import { MAX_HIGH_WATERMARK } from "./schema-queues.ts";

/** Secrets of one webhook, while they are replaced. */
export const MAX_WEBHOOK_SECRETS = 10;
export const MAX_WEBHOOK_TIMEOUT_MS = 30_000;
export const DEFAULT_WEBHOOK_TIMEOUT_MS = 15_000;

/** Where a webhook goes. */
export interface WebhookTarget {
  readonly url: string;
  /** Why it is only good for local development; null: it is good everywhere. */
  readonly localOnly: string | null;
}

const EVERYWHERE = { isLocal: false, ownHosts: [], ports: [] };

const pattern = field('must be an event type, "<prefix>.*" or "*"', (value) =>
  typeof value === "string" && isEventPattern(value) ? value : null,
);

const bindingName = field("must be the name of a binding", (value) =>
  typeof value === "string" && BINDING_PATTERN.test(value) ? value : null,
);

/** `env:NAME`: gives NAME. */
const secret = field('must be "env:NAME" with the name of a secret', (value) => {
  const named = typeof value === "string" && value.startsWith("env:") ? value.slice("env:".length) : "";
  return BINDING_PATTERN.test(named) ? named : null;
});

const webhook = checkedField((value): Parsed<WebhookTarget> => {
  if (typeof value !== "string" || value.length > MAX_TARGET_CHARS) return { rule: TARGET_RULES.malformed };
  const strict = checkTarget(value, EVERYWHERE);
  if (strict.kind === "allowed") return { value: { url: strict.url, localOnly: null } };
  const local = checkTarget(value, { ...EVERYWHERE, isLocal: true });
  if (local.kind === "refused") return { rule: TARGET_RULES[local.reason] };
  return { value: { url: local.url, localOnly: TARGET_RULES[strict.reason] } };
});

/** How events reach their subscriber; exactly one of webhook, pull, upstream and binding. */
export type Deliver =
  | {
      readonly kind: "webhook";
      readonly target: WebhookTarget;
      /** Names of secrets. */
      readonly secrets: readonly string[];
      readonly timeoutMs: number;
    }
  | { readonly kind: "pull" }
  | { readonly kind: "upstream"; readonly upstream: string; readonly path: string }
  | { readonly kind: "binding"; readonly binding: string };

const KINDS = ["webhook", "pull", "upstream", "binding"] as const;
/** Which of the other fields belong to each. */
const FIELDS: Readonly<Record<(typeof KINDS)[number], readonly string[]>> = {
  webhook: ["secrets", "timeout"],
  pull: [],
  upstream: ["path"],
  binding: [],
};

const deliverFields = exactObject({
  webhook: z.optional(webhook),
  secrets: z.optional(listOf(secret, 1, "must be a list of at least one secret")),
  timeout: z.optional(duration()),
  pull: z.optional(field<true>("must be true", (value) => (value === true ? value : null))),
  upstream: z.optional(text("must be the name of an upstream")),
  path: z.optional(
    field('must be a path that begins with "/"', (value) =>
      typeof value === "string" && /^\/[\u0021-\u007e]*$/.test(value) ? value : null,
    ),
  ),
  binding: z.optional(bindingName),
});

type DeliverFields = z.output<typeof deliverFields>;

const deliver = z.pipe(
  deliverFields,
  z.transform((fields: DeliverFields, context): Deliver => {
    const rule = deliverRule(fields);
    if (rule === null) return deliverOf(fields);
    context.issues.push({ code: "custom", message: rule, input: fields });
    return z.NEVER;
  }),
);

function deliverRule(fields: DeliverFields): string | null {
  const kinds = KINDS.filter((kind) => fields[kind] !== undefined);
  if (kinds.length !== 1) return "must have exactly one of webhook, pull, upstream and binding";
  const [kind] = kinds;
  const given = Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  const foreign = given.find((name) => name !== kind && !FIELDS[kind].includes(name));
  if (foreign !== undefined) return `cannot have ${foreign} with ${kind}`;
  if (kind !== "webhook") return null;
  if (fields.secrets === undefined) return "must have secrets with webhook";
  if (fields.secrets.length > MAX_WEBHOOK_SECRETS) return `must have at most ${MAX_WEBHOOK_SECRETS} secrets`;
  return (fields.timeout ?? 0) > MAX_WEBHOOK_TIMEOUT_MS ? "must have a timeout of at most 30 s" : null;
}

function deliverOf(fields: DeliverFields): Deliver {
  const { webhook: target, secrets = [], timeout: timeoutMs = DEFAULT_WEBHOOK_TIMEOUT_MS } = fields;
  const { upstream, binding, path = "/" } = fields;
  if (target !== undefined) return { kind: "webhook", target, secrets, timeoutMs };
  if (upstream !== undefined) return { kind: "upstream", upstream, path };
  return binding === undefined ? { kind: "pull" } : { kind: "binding", binding };
}

export const subscriptionSchema = exactObject({
  events: listOf(pattern, 1, "must be a list of at least one event pattern").check(
    z.maxLength(MAX_PATTERNS, `must hold at most ${MAX_PATTERNS} patterns`),
  ),
  deliver,
  ordered: z.prefault(flag(), false),
  highWatermark: z.prefault(integer(1, MAX_HIGH_WATERMARK), 20_000),
  alertAt: z.prefault(integer(1), 10_000),
});

export type SubscriptionParsed = z.output<typeof subscriptionSchema>;

/** A relay as it is used: its table checked and quoted. */
export interface RelayParsed {
  readonly hyperdrive: string;
  readonly table: OutboxTable;
  readonly onPoison: "block" | "skip";
}

const relayFields = exactObject({
  hyperdrive: bindingName,
  table: z.prefault(text("must be the name of a table"), "outbox"),
  order: z.prefault(oneOf(["key", "none"]), "key"),
  columns: z.prefault(
    z.record(z.string(), text("must be the name of a column"), { error: "must be an object of columns" }),
    {},
  ),
  onPoison: z.prefault(oneOf(["block", "skip"]), "block"),
});

export const relaySchema = z.pipe(
  relayFields,
  z.transform((fields: z.output<typeof relayFields>, context): RelayParsed => {
    const { hyperdrive, onPoison } = fields;
    const checked = outboxTable(fields.order, fields.table, fields.columns);
    if (checked.kind === "table") return { hyperdrive, table: checked.table, onPoison };
    const path = checked.at.split(".");
    const input = path.length === 1 ? fields.table : fields.columns[path[1]];
    context.issues.push({ code: "custom", message: checked.rule, input, path });
    return z.NEVER;
  }),
);
