// The schema of the whole configuration: every field's own rule and its default. What binds two fields
// together (names that must exist, orders of durations) stands in cross-checks.ts.

import * as z from "zod/mini";
import { exactObject, listOf, mapOf, name } from "./fields.ts";
import { consumerSchema, counterSchema, limitSchema, tenantSchema } from "./schema-callers.ts";
import { queueSchema } from "./schema-queues.ts";
import { reactionSchema } from "./schema-reactions.ts";
import { relaySchema } from "./schema-relays.ts";
import { routeSchema } from "./schema-routes.ts";
import { sagaSchema } from "./schema-sagas.ts";
import { subscriptionSchema } from "./schema-subscriptions.ts";
import { upstreamSchema } from "./schema-upstreams.ts";

export const configSchema = exactObject({
  name: z.prefault(name(), "tidegate"),
  upstreams: mapOf(upstreamSchema),
  consumers: z.prefault(mapOf(consumerSchema), {}),
  tenants: z.prefault(mapOf(tenantSchema), { "*": {} }),
  limits: z.prefault(mapOf(limitSchema), {}),
  counters: z.prefault(mapOf(counterSchema), {}),
  routes: listOf(routeSchema, 1, "must be a list of at least one route"),
  queues: z.prefault(mapOf(queueSchema), {}),
  subscriptions: z.prefault(mapOf(subscriptionSchema), {}),
  relays: z.prefault(mapOf(relaySchema), {}),
  reactions: z.prefault(mapOf(reactionSchema), {}),
  sagas: z.prefault(mapOf(sagaSchema), {}),
});

export type ParsedConfig = z.output<typeof configSchema>;
