// The isolate's breakers and its hub: what they saw goes there, its verdicts come back. An upstream without a
// breaker has no part in it.

import type { UpstreamSource } from "../region/upstream-source.ts";
import type { UpstreamTerms } from "../hub/upstream-protocol.ts";
import {
  expectRegion,
  followVerdict,
  hasUrgentNews,
  takeNews,
  wantsLease,
} from "../resilience/regional-breaker.ts";
import type { Engine, Upstream } from "./engine.ts";

/** An upstream counts as used for so long after its last request, and as long as that may have taken. */
const TRAFFIC_MS = 3_000;
/** On one's own machine the next request may come by hand: it should find its probe leased. */
const LOCAL_TRAFFIC_MS = 30_000;

/** Connects the engine's breakers with a hub. */
export function createUpstreamSource(engine: Engine): UpstreamSource {
  const idleMs = engine.isLocal ? LOCAL_TRAFFIC_MS : TRAFFIC_MS;
  // Of both reports and asks: a verdict that was asked for and does not come means something.
  const inUse = (now: number): Upstream[] =>
    followed.filter(({ control, plan }) => now - control.arrivedAt <= idleMs + plan.timeoutMs);
  const followed = engine.upstreams.filter(({ control }) => control.breaker !== null);
  for (const { control } of followed) if (control.breaker !== null) expectRegion(control.breaker);
  const byName = new Map(followed.map((upstream) => [upstream.plan.name, upstream]));
  return {
    takeCalls: (now) =>
      inUse(now).flatMap((upstream) => {
        const terms = termsOf(upstream);
        const { breaker } = upstream.control;
        const news = breaker === null ? null : takeNews(breaker, now);
        return terms === null || news === null ? [] : [{ terms, ...news }];
      }),
    asks: (now) =>
      inUse(now).flatMap((upstream) => {
        const terms = termsOf(upstream);
        const regional = upstream.control.breaker?.regional ?? null;
        if (terms === null || regional === null) return [];
        return [{ terms, gauges: gaugesOf(upstream), wantsLease: wantsLease(regional, now) }];
      }),
    follow(verdicts, now) {
      for (const verdict of verdicts) {
        const breaker = byName.get(verdict.upstream)?.control.breaker ?? null;
        if (breaker !== null) followVerdict(breaker, verdict, now);
      }
    },
    hasUrgentNews: () =>
      followed.some(({ control }) => {
        const regional = control.breaker?.regional ?? null;
        return regional !== null && hasUrgentNews(regional);
      }),
  };
}

function termsOf({ plan }: Upstream): UpstreamTerms | null {
  const { name, breaker, timeoutMs } = plan;
  return breaker === null ? null : { upstream: name, breaker, probeMs: timeoutMs };
}

function gaugesOf({ control }: Upstream) {
  const { permits, line } = control.bulkhead;
  return { cursor: control.shed.cursor, limit: permits.limit, inflight: permits.inUse, waiting: line.length };
}
