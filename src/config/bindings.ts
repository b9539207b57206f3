// Bindings that the configuration needs but the Worker does not have.

import { formatIssue } from "./error-lines.ts";
import type { ConfigIssue, ConfigPath } from "./error-lines.ts";
import { BINDING_PATTERN } from "./fields.ts";
import type { Plan } from "./plan.ts";

const NO_FETCHER = "is no binding with a fetch in wrangler.toml";

/** The names that wrangler.toml declares, by what can be done with them. */
export interface DeclaredBindings {
  /** Those with a `fetch` of their own. */
  readonly fetchers: ReadonlySet<string>;
  readonly objects: ReadonlySet<string>;
  /** Producers of Cloudflare Queues. */
  readonly queues: ReadonlySet<string>;
  /** Those of them whose queue the Worker itself consumes, with a queue for what is given up. */
  readonly consumed: ReadonlySet<string>;
  readonly workflows?: ReadonlySet<string>;
  readonly crons?: ReadonlySet<string>;
  readonly hyperdrives?: ReadonlySet<string>;
}

/** What works without and is better with: one line each. */
export function adviseBindings(plan: Plan, { crons }: DeclaredBindings): readonly string[] {
  const hasOutboxes = plan.queues.length + plan.subscriptions.length + plan.relays.length > 0;
  if (!hasOutboxes || (crons?.size ?? 0) > 0) return [];
  return [
    `queues: wrangler.toml has no cron trigger ([triggers] crons = ["* * * * *"]), so nothing wakes an outbox ` +
      "whose alarm was lost",
  ];
}

/** One line for each binding that is missing: of a target, or what queues and sagas are made of. */
export function missingBindings(plan: Plan, declared: DeclaredBindings): readonly string[] {
  const issues = [
    ...targetIssues(plan, declared),
    ...subscriptionIssues(plan, declared),
    ...relayIssues(plan, declared),
  ];
  return [
    ...issues.map((issue) => formatIssue(null, issue)),
    ...queueLines(plan, declared),
    ...relayLines(plan, declared),
    ...sagaLines(plan, declared),
  ];
}

/**
 * The same of a configuration that has other errors, and so no plan: one line for each binding with a fetch
 * that it names and that is missing.
 */
export function missingNamedBindings(input: unknown, { fetchers }: DeclaredBindings): readonly string[] {
  return namedBindings(input)
    .filter(({ value }) => !fetchers.has(value))
    .map(({ path, value }) => formatIssue(null, { path, rule: NO_FETCHER, value }));
}

interface NamedBinding {
  readonly path: ConfigPath;
  readonly value: string;
}

/** What a configuration says of bindings with a fetch, wherever it is well formed. */
export function namedBindings(input: unknown): readonly NamedBinding[] {
  const config = fieldsOf(input);
  const ofTargets = Object.entries(fieldsOf(config["upstreams"])).flatMap(([name, upstream]) => {
    const { targets } = fieldsOf(upstream);
    return (Array.isArray(targets) ? targets : []).flatMap((target: unknown, index) =>
      bindingAt(["upstreams", name, "targets", index], target),
    );
  });
  const ofSubscriptions = Object.entries(fieldsOf(config["subscriptions"])).flatMap(([name, subscription]) =>
    bindingAt(["subscriptions", name, "deliver"], fieldsOf(subscription)["deliver"]),
  );
  return [...ofTargets, ...ofSubscriptions];
}

function bindingAt(path: ConfigPath, value: unknown): NamedBinding[] {
  const { binding } = fieldsOf(value);
  const isName = typeof binding === "string" && BINDING_PATTERN.test(binding);
  return isName ? [{ path: [...path, "binding"], value: binding }] : [];
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}

function targetIssues(plan: Plan, { fetchers }: DeclaredBindings): ConfigIssue[] {
  return plan.upstreams.flatMap((upstream) =>
    upstream.targets.flatMap(({ binding }, index): ConfigIssue[] => {
      if (binding === null || fetchers.has(binding)) return [];
      const path = ["upstreams", upstream.name, "targets", index, "binding"];
      return [{ path, rule: NO_FETCHER, value: binding }];
    }),
  );
}

function subscriptionIssues({ subscriptions }: Plan, { fetchers }: DeclaredBindings): ConfigIssue[] {
  return subscriptions.flatMap(({ name, deliver }): ConfigIssue[] => {
    if (deliver.kind !== "binding" || fetchers.has(deliver.binding)) return [];
    const path = ["subscriptions", name, "deliver", "binding"];
    return [{ path, rule: NO_FETCHER, value: deliver.binding }];
  });
}

function relayIssues({ relays }: Plan, { hyperdrives }: DeclaredBindings): ConfigIssue[] {
  return relays.flatMap(({ name, hyperdrive }): ConfigIssue[] => {
    if (hyperdrives?.has(hyperdrive) === true) return [];
    const path = ["relays", name, "hyperdrive"];
    return [{ path, rule: "is no Hyperdrive binding in wrangler.toml", value: hyperdrive }];
  });
}

function relayLines({ relays }: Plan, { objects }: DeclaredBindings): string[] {
  if (relays.length === 0 || objects.has("RELAY")) return [];
  return ["relays: need the Durable Object binding RELAY in wrangler.toml"];
}

function queueLines(plan: Plan, { objects, queues: producers, consumed }: DeclaredBindings): string[] {
  const { queues, subscriptions, relays, routes } = plan;
  const isEventing = subscriptions.length > 0 || relays.length > 0;
  const publishes = isEventing || routes.some(({ destination }) => destination.kind === "event");
  if (queues.length === 0 && !publishes) return [];
  const missing = [
    ...(objects.has("OUTBOX") ? [] : ["the Durable Object binding OUTBOX"]),
    ...(producers.has("DELIVERY") ? [] : ["the binding DELIVERY to a Cloudflare Queue"]),
    ...(consumed.has("DELIVERY") ? [] : ["a consumer, with a dead_letter_queue, of DELIVERY's queue"]),
  ];
  const areReactions =
    subscriptions.length > 0 && subscriptions.every(({ terms }) => terms.reaction !== undefined);
  const areRelays = relays.length > 0 && subscriptions.length === 0;
  const ofEvents = areReactions ? "reactions" : areRelays ? "relays" : "subscriptions";
  const section = queues.length > 0 ? "queues" : ofEvents;
  return missing.map((what) => `${section}: need ${what} in wrangler.toml`);
}

function sagaLines({ sagas }: Plan, { objects, workflows }: DeclaredBindings): string[] {
  if (sagas.length === 0) return [];
  const missing = [
    ...(objects.has("SAGA_LEDGER") ? [] : ["the Durable Object binding SAGA_LEDGER"]),
    ...(workflows?.has("SAGA") === true ? [] : ["the binding SAGA to a workflow"]),
  ];
  return missing.map((what) => `sagas: need ${what} in wrangler.toml`);
}
