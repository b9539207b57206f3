// Bindings that the configuration needs but the Worker does not have.

import { formatIssue } from "./error-lines.ts";
import type { ConfigIssue } from "./error-lines.ts";
import type { Plan } from "./plan.ts";

/** The names that wrangler.toml declares, by what can be done with them. */
export interface DeclaredBindings {
  /** Those with a `fetch` of their own. */
  readonly fetchers: ReadonlySet<string>;
  readonly objects: ReadonlySet<string>;
  /** Producers of Cloudflare Queues. */
  readonly queues: ReadonlySet<string>;
  /** Those of them whose queue the Worker itself consumes, with a queue for what is given up. */
  readonly consumed: ReadonlySet<string>;
}

/** One line for each binding that is missing: of a target, or what queues are made of. */
export function missingBindings(plan: Plan, declared: DeclaredBindings): readonly string[] {
  const targets = targetIssues(plan, declared).map((issue) => formatIssue(null, issue));
  return [...targets, ...queueLines(plan, declared)];
}

function targetIssues(plan: Plan, { fetchers }: DeclaredBindings): ConfigIssue[] {
  return plan.upstreams.flatMap((upstream) =>
    upstream.targets.flatMap(({ binding }, index): ConfigIssue[] => {
      if (binding === null || fetchers.has(binding)) return [];
      const path = ["upstreams", upstream.name, "targets", index, "binding"];
      return [{ path, rule: "is no binding with a fetch in wrangler.toml", value: binding }];
    }),
  );
}

function queueLines({ queues }: Plan, { objects, queues: producers, consumed }: DeclaredBindings): string[] {
  if (queues.length === 0) return [];
  const missing = [
    ...(objects.has("OUTBOX") ? [] : ["the Durable Object binding OUTBOX"]),
    ...(producers.has("DELIVERY") ? [] : ["the binding DELIVERY to a Cloudflare Queue"]),
    ...(consumed.has("DELIVERY") ? [] : ["a consumer, with a dead_letter_queue, of DELIVERY's queue"]),
  ];
  return missing.map((what) => `queues: need ${what} in wrangler.toml`);
}
