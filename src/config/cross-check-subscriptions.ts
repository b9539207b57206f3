// Rules that bind fields of a subscription to each other and to the rest of the configuration. A webhook's
// URL is judged as it will be before each try, see target-url.ts; only loopback and plain http, which local
// development may use, pass here: a Worker that is deployed refuses them when it starts.

import { TARGET_RULES, checkTarget } from "../delivery/webhooks/core/target-url.ts";
import { parseDuration } from "../http/durations.ts";
import type { ConfigIssue, ConfigPath } from "./error-lines.ts";
import { REQUIRED } from "./fields.ts";
import { MAX_WEBHOOK_TIMEOUT_MS } from "./schema-subscriptions.ts";

type Fields = Readonly<Record<string, unknown>>;

const WAYS = ["webhook", "upstream", "binding", "pull"];
/** What may be said beside each of them. */
const COMPANIONS: Readonly<Record<string, string>> = {
  secrets: "webhook",
  timeout: "webhook",
  mode: "webhook",
  headers: "webhook",
  path: "upstream",
};

export interface KnownNames {
  readonly upstreams: Fields;
  readonly queues: Fields;
  /** Host names of routes, lower case. */
  readonly ownHosts: readonly string[];
}

export function subscriptionIssues(name: string, deliver: Fields, known: KnownNames): ConfigIssue[] {
  const base: ConfigPath = ["subscriptions", name];
  const path: ConfigPath = [...base, "deliver"];
  const issues: ConfigIssue[] = [];
  const given = WAYS.filter((way) => deliver[way] !== undefined);
  if (Object.hasOwn(known.queues, name)) issues.push({ path: base, rule: "is already the name of a queue" });
  if (given.length === 0) issues.push({ path, rule: `needs one of ${WAYS.join(", ")}` });
  if (given.length > 1) issues.push({ path, rule: `must have one of ${given.join(", ")}, not several` });
  for (const [field, way] of Object.entries(COMPANIONS)) {
    if (deliver[field] !== undefined && given.length === 1 && given[0] !== way) {
      issues.push({ path: [...path, field], rule: `belongs to ${way}` });
    }
  }
  const { webhook, upstream } = deliver;
  if (webhook !== undefined && deliver.secrets === undefined) {
    issues.push({ path: [...path, "secrets"], rule: REQUIRED });
  }
  if (typeof webhook === "string") issues.push(...webhookIssues(webhook, [...path, "webhook"], known));
  if (typeof upstream === "string" && !Object.hasOwn(known.upstreams, upstream)) {
    issues.push({ path: [...path, "upstream"], rule: "is no upstream" });
  }
  const timeoutMs = parseDuration(deliver.timeout);
  if (timeoutMs !== null && timeoutMs > MAX_WEBHOOK_TIMEOUT_MS) {
    issues.push({ path: [...path, "timeout"], rule: "must be at most 30s" });
  }
  return issues;
}

function webhookIssues(url: string, path: ConfigPath, { ownHosts }: KnownNames): ConfigIssue[] {
  const check = checkTarget(url, { isLocal: true, ownHosts, ports: [] });
  return check.kind === "allowed" ? [] : [{ path, rule: TARGET_RULES[check.reason] }];
}
