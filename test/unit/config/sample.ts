// Small valid configurations that tests bend, and what validation says about them.

import type { DeclaredBindings } from "../../../src/config/bindings.ts";
import type { Plan } from "../../../src/config/plan.ts";
import { validateConfig } from "../../../src/config/validate.ts";

type Fields = Record<string, unknown>;

export const KEY_HASH = "0123456789abcdef".repeat(4);

/** One upstream, one route. */
export function minimalConfig(changes: Fields = {}): Fields {
  return {
    upstreams: { a: { targets: ["http://a.test"] } },
    routes: [{ path: "/*", upstream: "a" }],
    ...changes,
  };
}

export function withUpstream(upstream: Fields): Fields {
  return minimalConfig({ upstreams: { a: { targets: ["http://a.test"], ...upstream } } });
}

export function withTargets(...targets: readonly unknown[]): Fields {
  return withUpstream({ targets });
}

export function withRoute(route: Fields, changes: Fields = {}): Fields {
  return minimalConfig({ routes: [{ path: "/*", upstream: "a", ...route }], ...changes });
}

export function withLimit(limit: Fields): Fields {
  return minimalConfig({ limits: { l: { key: "ip", rate: 5, per: "1s", ...limit } } });
}

export function withConsumer(consumer: Fields, changes: Fields = {}): Fields {
  return minimalConfig({ consumers: { c: { keys: [`sha256:${KEY_HASH}`], ...consumer } }, ...changes });
}

/** One queue, and a route that leads to it. */
export function withQueue(queue: Fields, route: Fields = {}): Fields {
  return minimalConfig({
    queues: { q: { upstream: "a", ...queue } },
    routes: [{ path: "/jobs/*", methods: ["POST"], queue: "q", ...route }],
  });
}

/** What wrangler.toml may declare, by names. */
export function declared(
  names: Partial<Record<keyof DeclaredBindings, readonly string[]>>,
): DeclaredBindings {
  const { fetchers = [], objects = [], queues = [], consumed = queues, crons = [] } = names;
  return {
    fetchers: new Set(fetchers),
    objects: new Set(objects),
    queues: new Set(queues),
    consumed: new Set(consumed),
    crons: new Set(crons),
  };
}

export function errorsOf(config: unknown): readonly string[] {
  const result = validateConfig(config);
  return result.ok ? [] : result.errors;
}

/** The Plan of a configuration that must be valid. */
export function planOf(config: unknown): Plan {
  const result = validateConfig(config);
  if (!result.ok) throw new Error(result.errors.join("\n"));
  return result.plan;
}
