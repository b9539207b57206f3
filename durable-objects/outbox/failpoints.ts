// Where an outbox can be killed.

import type { Failpoints } from "../failpoints.ts";

/** In the order in which a job passes them. */
export const FAILPOINTS = [
  "mid_batch",
  "after_commit",
  "before_publish",
  "after_publish",
  "before_mark",
  "after_settle",
  "before_sequel",
  "after_sequel",
] as const;

export type Failpoint = (typeof FAILPOINTS)[number];
export type OutboxFailpoints = Failpoints<Failpoint>;
