// Where an OutboxObject can be killed.

import type { Failpoints } from "../failpoints.ts";

/** In the order in which an event passes them. */
export const OBJECT_FAILPOINTS = [
  "mid_transaction",
  "after_commit",
  "before_publish",
  "after_publish",
  "before_mark",
  "after_mark",
  "mid_collect",
] as const;

export type ObjectFailpoint = (typeof OBJECT_FAILPOINTS)[number];
export type ObjectFailpoints = Failpoints<ObjectFailpoint>;
