// Rules that bind two places of a configuration together. They read the input as it was written and step
// over what is malformed, so that all errors are found at once, whatever the schema says of other fields.

import { parseDuration } from "../http/durations.ts";
import { hasEncodedSlash } from "../http/paths.ts";
import { subscriptionIssues } from "./cross-check-subscriptions.ts";
import { relayIssues } from "./cross-check-relays.ts";
import { formatPath } from "./error-lines.ts";
import type { ConfigIssue, ConfigPath } from "./error-lines.ts";
import { MAX_DURATION_MS, NAME_PATTERN, NAME_RULE, REQUIRED } from "./fields.ts";
import { CONSISTENCIES, DEFAULT_CONSISTENCY, ignoresBurst, limitWindow } from "./limit-window.ts";
import { compileRewrite, parseRewriteTemplate } from "./path-rewrite.ts";
import { reactionIssues } from "./reaction-rules.ts";
import { parseRoutePath } from "./route-pattern.ts";
import { sagaIssues } from "./saga-rules.ts";
import { parseConsumerKey } from "./schema-callers.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Statuses whose answer has no body (RFC 9110 15.3.5, 15.3.6, 15.4.5). */
const BODILESS_STATUSES: ReadonlySet<unknown> = new Set([204, 205, 304]);

export function crossCheck(input: unknown): ConfigIssue[] {
  const config = fieldsOf(input);
  return [
    ...nameIssues(config),
    ...entriesOf(config.upstreams).flatMap(([name, upstream]) =>
      upstreamIssues(["upstreams", name], upstream),
    ),
    ...entriesOf(config.queues).flatMap(([name, queue]) => queueIssues(config, ["queues", name], queue)),
    ...entriesOf(config.subscriptions).flatMap(([name, subscription]) =>
      subscriptionIssues(name, fieldsOf(subscription.deliver), {
        upstreams: fieldsOf(config.upstreams),
        queues: fieldsOf(config.queues),
        ownHosts: itemsOf(config.routes).flatMap((route) => itemsOf(fieldsOf(route).hosts).map(String)),
      }),
    ),
    ...reactionIssues(fieldsOf(config.reactions), {
      upstreams: fieldsOf(config.upstreams),
      taken: { queue: fieldsOf(config.queues), subscription: fieldsOf(config.subscriptions) },
    }),
    ...relayIssues(entriesOf(config.relays)),
    ...consumerIssues(config),
    ...entriesOf(config.limits).flatMap(([name, limit]) => limitIssues(["limits", name], limit)),
    ...itemsOf(config.routes).flatMap((route, index) =>
      isObject(route) ? routeIssues(config, route, ["routes", index]) : [],
    ),
    ...routeNameIssues(config),
    ...entriesOf(config.sagas).flatMap(([name, saga]) =>
      sagaIssues(["sagas", name], saga, fieldsOf(config.upstreams)),
    ),
  ];
}

function nameIssues(config: Fields): ConfigIssue[] {
  return [
    "upstreams",
    "consumers",
    "tenants",
    "limits",
    "counters",
    "queues",
    "sagas",
    "subscriptions",
    "reactions",
    "relays",
  ].flatMap((section) =>
    Object.keys(fieldsOf(config[section]))
      .filter((name) => !NAME_PATTERN.test(name) && !(section === "tenants" && name === "*"))
      .map((name) => ({ path: [section, name], rule: NAME_RULE, value: name })),
  );
}

function upstreamIssues(path: ConfigPath, upstream: Fields): ConfigIssue[] {
  return [
    ...orderIssues([...path, "breaker"], fieldsOf(upstream.breaker), "openFor", "maxOpenFor"),
    ...orderIssues([...path, "retry"], fieldsOf(upstream.retry), "delay", "maxDelay"),
    ...targetIssues([...path, "targets"], itemsOf(upstream.targets)),
  ];
}

function queueIssues(config: Fields, path: ConfigPath, queue: Fields): ConfigIssue[] {
  return [
    ...referenceIssue(config.upstreams, queue.upstream, [...path, "upstream"], "is no upstream"),
    ...orderIssues([...path, "retry"], fieldsOf(queue.retry), "delay", "maxDelay"),
  ];
}

/** Of two written durations the second is the longer; one that was left out adapts to the other. */
function orderIssues(path: ConfigPath, fields: Fields, shorter: string, longer: string): ConfigIssue[] {
  const least = parseDuration(fields[shorter]);
  const most = parseDuration(fields[longer]);
  if (least === null || most === null || most >= least) return [];
  return [{ path: [...path, longer], rule: `must be at least ${shorter}` }];
}

function targetIssues(path: ConfigPath, targets: readonly unknown[]): ConfigIssue[] {
  const seen = new Set<string>();
  return targets.flatMap((target, index): ConfigIssue[] => {
    const { url, binding } =
      typeof target === "string" ? { url: target, binding: undefined } : fieldsOf(target);
    if (isObject(target) && url === undefined && binding === undefined) {
      return [{ path: [...path, index], rule: "must have a url or a binding" }];
    }
    const identity = JSON.stringify([String(url), String(binding)]);
    if (typeof (url ?? binding) === "string" && seen.has(identity)) {
      return [{ path: [...path, index], rule: "is listed twice, use weight to send more to it" }];
    }
    seen.add(identity);
    return [];
  });
}

function consumerIssues(config: Fields): ConfigIssue[] {
  const owners = new Map<string, string>();
  const tenants = config.tenants === undefined ? null : fieldsOf(config.tenants);
  return entriesOf(config.consumers).flatMap(([name, consumer]) => {
    const issues: ConfigIssue[] = [];
    for (const [index, written] of itemsOf(consumer.keys).entries()) {
      const key = parseConsumerKey(written);
      if (key === null) continue;
      const identity = "secret" in key ? `env:${key.secret}` : key.sha256;
      const owner = owners.get(identity);
      owners.set(identity, owner ?? name);
      if (owner === undefined) continue;
      issues.push({
        path: ["consumers", name, "keys", index],
        rule: `is already a key of ${formatPath(["consumers", owner])}`,
      });
    }
    const { tenant } = consumer;
    const isKnown = tenants === null || typeof tenant !== "string" || Object.hasOwn(tenants, tenant);
    if (isKnown || Object.hasOwn(tenants, "*")) return issues;
    return [
      ...issues,
      { path: ["consumers", name, "tenant"], rule: 'must be one of tenants, or tenants must have "*"' },
    ];
  });
}

function limitIssues(path: ConfigPath, limit: Fields): ConfigIssue[] {
  const { consistency: written = DEFAULT_CONSISTENCY } = limit;
  const consistency = CONSISTENCIES.find((known) => known === written);
  if (consistency === undefined) return [];
  const bound = ignoresBurst(consistency) ? "rate" : "burst";
  const most = limit[bound] ?? limit.rate;
  const issues: ConfigIssue[] = [];
  if (typeof limit.cost === "number" && typeof most === "number" && limit.cost > most) {
    issues.push({ path: [...path, "cost"], rule: `must be at most ${bound}, or no request ever passes` });
  }
  const perMs = parseDuration(limit.per);
  if (perMs !== null && typeof limit.rate === "number" && typeof limit.burst === "number") {
    const numbers = { consistency, rate: limit.rate, perMs, burst: limit.burst };
    if (limitWindow(numbers).windowMs > MAX_DURATION_MS) {
      issues.push({
        path: [...path, "burst"],
        rule: "makes a window of more than 24 days, lower it or raise rate",
      });
    }
  }
  if (limit.billing === true && consistency !== "exact") {
    issues.push({ path: [...path, "billing"], rule: 'a limit that is billed needs consistency "exact"' });
  }
  return issues;
}

const DESTINATIONS = ["upstream", "queue", "saga", "event"];

function routeIssues(config: Fields, route: Fields, path: ConfigPath): ConfigIssue[] {
  const given = DESTINATIONS.filter((key) => route[key] !== undefined);
  const issues: ConfigIssue[] = [];
  if (given.length === 0) {
    const rule = `${REQUIRED}, or a queue, saga or event in its place`;
    issues.push({ path: [...path, "upstream"], rule });
  }
  if (given.length > 1) issues.push({ path, rule: `must go to one of ${given.join(", ")}, not to several` });
  issues.push(...referenceIssue(config.upstreams, route.upstream, [...path, "upstream"], "is no upstream"));
  issues.push(...referenceIssue(config.sagas, route.saga, [...path, "saga"], "is no saga"));
  issues.push(...referenceIssue(config.queues, route.queue, [...path, "queue"], "is no queue"));
  if (route.queue !== undefined && route.fallback !== undefined) {
    issues.push({ path: [...path, "fallback"], rule: "cannot stand in for storing a request in a queue" });
  }
  if (route.event !== undefined && route.fallback !== undefined) {
    issues.push({ path: [...path, "fallback"], rule: "cannot stand in for storing an event" });
  }
  for (const [index, limit] of itemsOf(route.limits).entries()) {
    issues.push(...referenceIssue(config.limits, limit, [...path, "limits", index], "is no limit"));
  }
  issues.push(...countIssues(config.counters, itemsOf(route.count), [...path, "count"]));
  for (const [index, consumer] of itemsOf(route.auth).entries()) {
    issues.push(...referenceIssue(config.consumers, consumer, [...path, "auth", index], "is no consumer"));
  }
  issues.push(...pathIssues(route, path), ...fallbackIssues(route.fallback, path));
  return issues;
}

/** A counter that is listed twice would count each request twice. */
function countIssues(counters: unknown, names: readonly unknown[], path: ConfigPath): ConfigIssue[] {
  return names.flatMap((name, index) => {
    const itsPath = [...path, index];
    const isRepeated = typeof name === "string" && names.indexOf(name) < index;
    return isRepeated
      ? [{ path: itsPath, rule: "is listed twice" }]
      : referenceIssue(counters, name, itsPath, "is no counter");
  });
}

function referenceIssue(section: unknown, name: unknown, path: ConfigPath, rule: string): ConfigIssue[] {
  return typeof name !== "string" || Object.hasOwn(fieldsOf(section), name) ? [] : [{ path, rule }];
}

function pathIssues(route: Fields, path: ConfigPath): ConfigIssue[] {
  const pattern = parseRoutePath(route.path);
  if ("rule" in pattern) return [];
  const issues: ConfigIssue[] = [];
  if (hasEncodedSlash(pattern.value) && route.encodedSlashes !== true) {
    issues.push({
      path: [...path, "path"],
      rule: "holds an encoded slash, so the route needs encodedSlashes: true",
    });
  }
  const template = parseRewriteTemplate(fieldsOf(route.request).path);
  const rewrite = "rule" in template ? null : compileRewrite(pattern.value, template.value);
  if (rewrite !== null && "rule" in rewrite) {
    issues.push({ path: [...path, "request", "path"], rule: rewrite.rule });
  }
  return issues;
}

function fallbackIssues(fallback: unknown, path: ConfigPath): ConfigIssue[] {
  const { status, body } = fieldsOf(fallback);
  if (!BODILESS_STATUSES.has(status) || typeof body !== "string" || body === "") return [];
  return [
    {
      path: [...path, "fallback", "body"],
      rule: `must be empty: an answer with status ${String(status)} has no body`,
    },
  ];
}

function routeNameIssues(config: Fields): ConfigIssue[] {
  const seen = new Map<string, number>();
  return itemsOf(config.routes).flatMap((route, index) => {
    const { name } = fieldsOf(route);
    if (typeof name !== "string") return [];
    const first = seen.get(name);
    seen.set(name, first ?? index);
    return first === undefined
      ? []
      : [{ path: ["routes", index, "name"], rule: `is already the name of routes[${first}]` }];
  });
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function fieldsOf(value: unknown): Fields {
  return isObject(value) ? value : {};
}

function entriesOf(value: unknown): [string, Fields][] {
  return Object.entries(fieldsOf(value)).map(([key, entry]) => [key, fieldsOf(entry)]);
}

function itemsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
