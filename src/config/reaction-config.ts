// What `reactions` of a configuration file may say, as types.

import type { Duration, QueueRetryConfig } from "./gateway-config.ts";
import type { SagaRequestConfig } from "./saga-config.ts";

export interface ReactionConfig {
  /** Types of events: `"order.placed"`, `"order.*"`, or several of them. */
  on: string | string[];
  /**
   * The request that the event becomes. Templates read the event: `{data.sku}`, `{id}`, `{subject}`,
   * `{type}`, `{source}`, `{time}`, `{correlationid}`, `{partitionkey}`, `{extensions.<name>}`; and
   * `{idempotencyKey}`.
   */
  request: SagaRequestConfig;
  /** Types of the events that tell how it went. What none tells of is a dead letter. */
  then?: {
    /** The upstream answered with 2xx. */
    ok?: string;
    /** It refused, or all tries failed. */
    failed?: string;
    /** The deadline has passed. Default: as `failed`. */
    deadline?: string;
  };
  /** From the event on; then no more is tried. At most `"14d"`. Default: `"1h"`. */
  deadline?: Duration;
  retry?: QueueRetryConfig;
  /**
   * Whether events of one partition key (else of one subject) become requests one after the other. Default:
   * false.
   */
  ordered?: boolean;
  /** Events that may wait for their requests; what comes then waits in the outbox of all. Default: 20,000. */
  highWatermark?: number;
  /** Waiting events from which, after a minute, an alert is raised. Default: 10,000. */
  alertAt?: number;
}
