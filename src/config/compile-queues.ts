// Queues of a parsed configuration become queues of the Plan, each with the route that its deliveries take.

import type { QueuePlan, RoutePlan, UpstreamPlan } from "./plan.ts";
import type { QueueParsed } from "./schema-queues.ts";
import { DEFAULT_QUEUE_DELAY_MS, DEFAULT_QUEUE_MAX_DELAY_MS } from "./schema-queues.ts";
import type { ParsedConfig } from "./schema.ts";

/** A delivery has at least as long as a live request has by default, with waiting and all tries. */
const MIN_DELIVERY_DEADLINE_MS = 30_000;
/** The platform ends a consumer after 15 min; a delivery must be over, and told of, before that. */
export const MAX_DELIVERY_DEADLINE_MS = 10 * 60_000;

/** The first delivery route has the index behind the last route that was written. */
export function compileQueues(
  config: ParsedConfig,
  {
    upstreams,
    routes,
  }: { readonly upstreams: readonly UpstreamPlan[]; readonly routes: readonly RoutePlan[] },
): QueuePlan[] {
  return Object.entries(config.queues).map(([name, queue], index) => {
    const upstream = upstreams.find((other) => other.name === queue.upstream);
    if (upstream === undefined) throw new Error(`unchecked name: ${queue.upstream}`);
    return {
      index,
      name,
      upstream: upstream.index,
      rewrite: queue.path,
      orderBy: queue.orderBy ?? null,
      batch: queue.batch,
      idempotencyKey: queue.idempotencyKey,
      terms: termsOf(queue),
      delivery: queueRoute(name, index, upstream, routes),
    };
  });
}

function termsOf({
  highWatermark,
  resumeAt,
  alertAt,
  maxAge,
  retry,
  onDeadHead,
}: QueueParsed): QueuePlan["terms"] {
  return {
    highWatermark,
    resumeAt,
    alertAt,
    maxAgeMs: maxAge,
    retry: retryOf(retry),
    onDeadHead,
  };
}

/** The longer of two pauses is never below the shorter. */
export function retryOf({ attempts, delay, maxDelay }: QueueParsed["retry"]): QueuePlan["terms"]["retry"] {
  const delayMs = delay ?? Math.min(DEFAULT_QUEUE_DELAY_MS, maxDelay ?? Infinity);
  return { attempts, delayMs, maxDelayMs: maxDelay ?? Math.max(DEFAULT_QUEUE_MAX_DELAY_MS, delayMs) };
}

/** The route that deliveries take; its class and size are those of what feeds it. */
export function deliveryRoute(
  of: Pick<RoutePlan, "name" | "index" | "priority" | "bodyLimitBytes">,
  upstream: UpstreamPlan,
): RoutePlan {
  return {
    ...of,
    path: "/*",
    methods: null,
    hosts: null,
    headers: null,
    destination: { kind: "upstream", upstream: upstream.index },
    auth: null,
    limits: [],
    count: [],
    deadlineMs: Math.min(Math.max(MIN_DELIVERY_DEADLINE_MS, upstream.timeoutMs), MAX_DELIVERY_DEADLINE_MS),
    concurrency: null,
    encodedSlashes: true,
    rewrite: null,
    requestHeaders: { set: [], remove: [] },
    responseHeaders: { set: [], remove: [] },
    fallback: null,
  };
}

function queueRoute(
  queue: string,
  index: number,
  upstream: UpstreamPlan,
  routes: readonly RoutePlan[],
): RoutePlan {
  const feeding = routes.filter(
    ({ destination }) => destination.kind === "queue" && destination.queue === index,
  );
  const priority = feeding.reduce<RoutePlan["priority"]>(
    (best, each) => (each.priority < best ? each.priority : best),
    3,
  );
  const bodyLimitBytes = Math.max(0, ...feeding.map((each) => each.bodyLimitBytes));
  return deliveryRoute(
    { name: `queue.${queue}`, index: routes.length + index, priority, bodyLimitBytes },
    upstream,
  );
}
