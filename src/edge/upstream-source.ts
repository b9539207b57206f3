// The isolate's upstreams and its hub: what they saw goes there, its verdicts come back, on breakers and on
// load. An upstream without a breaker has no part in the first.

import type { UpstreamPlan } from "../config/plan.ts";
import type { LoadTerms } from "../hub/load-protocol.ts";
import type { UpstreamTerms } from "../hub/upstream-protocol.ts";
import type { UpstreamSource } from "../region/upstream-source.ts";
import {
  expectRegion,
  followVerdict,
  hasUrgentNews,
  takeNews,
  wantsLease,
} from "../resilience/regional-breaker.ts";
import { hearOpen } from "../resilience/hearsay.ts";
import type { UpstreamControl } from "../resilience/upstream-control.ts";
import type { SharedBulkhead } from "./shared-bulkheads.ts";
import { askForBulkheads, followBulkheads, widenBulkheads } from "./shared-bulkheads.ts";
import { followLoad, standAlone, takeLoad, wantsPermits } from "../resilience/upstream-loops.ts";

/** An upstream counts as used for so long after its last request, and as long as that may have taken. */
const TRAFFIC_MS = 3_000;
/** On one's own machine the next request may come by hand: it should find its probe leased. */
const LOCAL_TRAFFIC_MS = 30_000;

/** What the source needs of an upstream. */
export interface FollowedUpstream {
  readonly plan: Pick<UpstreamPlan, "name" | "timeoutMs" | "breaker" | "concurrency" | "retry">;
  readonly control: UpstreamControl;
}

/** Connects upstreams with a hub. */
export function createUpstreamSource(
  upstreams: readonly FollowedUpstream[],
  isLocal: boolean,
  shared: readonly SharedBulkhead[] = [],
  takeMetrics: UpstreamSource["takeMetrics"] = () => [],
): UpstreamSource {
  const sharedByName = new Map(shared.map((bulkhead) => [bulkhead.name, bulkhead]));
  const idleMs = isLocal ? LOCAL_TRAFFIC_MS : TRAFFIC_MS;
  // Of both reports and asks: a verdict that was asked for and does not come means something.
  const isUsed = ({ control, plan }: FollowedUpstream, now: number): boolean =>
    now - control.arrivedAt <= idleMs + plan.timeoutMs;
  const inUse = (now: number): FollowedUpstream[] => upstreams.filter((each) => isUsed(each, now));
  for (const { control } of upstreams) if (control.breaker !== null) expectRegion(control.breaker);
  const byName = new Map(upstreams.map((upstream) => [upstream.plan.name, upstream]));
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
        const upstream = byName.get(verdict.upstream);
        const breaker = upstream?.control.breaker ?? null;
        if (upstream === undefined || breaker === null) continue;
        if (verdict.isUnasked !== true) followVerdict(breaker, verdict, now);
        else if (!isUsed(upstream, now)) hearOpen(breaker, verdict, now);
      }
    },
    takeLoads: (now) =>
      inUse(now).flatMap((upstream) => {
        const news = takeLoad(upstream.control, now);
        return news === null ? [] : [{ terms: loadTermsOf(upstream), ...news }];
      }),
    loadAsks: (now) =>
      inUse(now).map((upstream) => {
        const { permits, line } = upstream.control.bulkhead;
        const terms = loadTermsOf(upstream);
        return { terms, inflight: permits.inUse, waiting: line.length, limit: permits.limit };
      }),
    followLoads(verdicts, now) {
      for (const verdict of verdicts) {
        const control = byName.get(verdict.upstream)?.control;
        if (control !== undefined) followLoad(control, verdict, now);
      }
    },
    bulkheadAsks: () => askForBulkheads(shared),
    followBulkheads: (answers, now) => followBulkheads(sharedByName, answers, now),
    takeMetrics,
    standAlone(now) {
      widenBulkheads(shared, now);
      for (const { control } of inUse(now)) standAlone(control, now);
    },
    hasUrgentNews: (now) =>
      upstreams.some(({ control }) => {
        const regional = control.breaker?.regional ?? null;
        return (regional !== null && hasUrgentNews(regional)) || wantsPermits(control, now);
      }),
  };
}

function termsOf({ plan }: FollowedUpstream): UpstreamTerms | null {
  const { name, breaker, timeoutMs } = plan;
  return breaker === null ? null : { upstream: name, breaker, probeMs: timeoutMs };
}

function loadTermsOf({ plan: { name, concurrency, retry } }: FollowedUpstream): LoadTerms {
  const { max, adaptive } = concurrency;
  return { upstream: name, max, adaptive, retryShare: retry?.budget ?? null };
}

function gaugesOf({ control }: FollowedUpstream) {
  const { permits, line } = control.bulkhead;
  return { cursor: control.shed.cursor, limit: permits.limit, inflight: permits.inUse, waiting: line.length };
}
