// The isolate's breakers and its hub: what they saw goes there, its verdicts come back. An upstream without a
// breaker has no part in it.

import type { UpstreamSource } from "../region/upstream-source.ts";
import type { UpstreamTerms } from "../hub/upstream-protocol.ts";
import { expectRegion, followVerdict, hasUrgentNews, takeNews } from "../resilience/regional-breaker.ts";
import type { Engine, Upstream } from "./engine.ts";

/** The isolate could probe an upstream that it had a request for within this time. */
const TRAFFIC_MS = 3_000;
/** On one's own machine the next request may come by hand: it should find its probe leased. */
const LOCAL_TRAFFIC_MS = 30_000;

/** Connects the engine's breakers with a hub. */
export function createUpstreamSource(engine: Engine): UpstreamSource {
  const trafficMs = engine.isLocal ? LOCAL_TRAFFIC_MS : TRAFFIC_MS;
  const followed = engine.upstreams.filter(({ control }) => control.breaker !== null);
  for (const { control } of followed) if (control.breaker !== null) expectRegion(control.breaker);
  const byName = new Map(followed.map((upstream) => [upstream.plan.name, upstream]));
  return {
    takeCalls: (now) =>
      followed.flatMap((upstream) => {
        const terms = termsOf(upstream);
        const { breaker } = upstream.control;
        const news = breaker === null ? null : takeNews(breaker, now);
        return terms === null || news === null ? [] : [{ terms, ...news }];
      }),
    asks: (now) =>
      followed.flatMap((upstream) => {
        const terms = termsOf(upstream);
        const isQuiet = now - upstream.control.arrivedAt > trafficMs;
        return terms === null || isQuiet ? [] : [{ terms, gauges: gaugesOf(upstream) }];
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
