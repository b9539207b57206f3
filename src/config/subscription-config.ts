// What `subscriptions` of a configuration file may say, as types.

import type { Duration } from "./gateway-config.ts";

export interface SubscriptionConfig {
  /** Types of events: `"order.paid"`, all below `"order.*"`, or all: `"*"`. */
  events: string[];
  /** How they get there. */
  deliver: WebhookConfig | SubscribedUpstreamConfig | { binding: string } | { pull: true };
  /** Whether events of one partition key (else of one subject) come one after the other. Default: false. */
  ordered?: boolean;
  /** Events that may wait in its outbox; what comes then waits in that of all events. Default: 20,000. */
  highWatermark?: number;
  /** Waiting events from which, after a minute, an alert is raised. Default: 10,000. */
  alertAt?: number;
}

export interface WebhookConfig {
  /** A public https URL; loopback and http only in local development. */
  webhook: string;
  /** Secrets that sign (Standard Webhooks), the newest first: `"env:NAME"`. */
  secrets: string[];
  /** The receiver's time for its whole answer, at most `"30s"`. Default: `"15s"`. */
  timeout?: Duration;
  /** Attributes as header fields, or the whole event as the body. Default: `"binary"`. */
  mode?: "binary" | "structured";
  /** Header fields to add; a value may be `"env:NAME"`. */
  headers?: Record<string, string>;
}

export interface SubscribedUpstreamConfig {
  /** Name of the upstream that gets them, in CloudEvents' binary mode. */
  upstream: string;
  /** Path and query to post them to. Default: `"/"`. */
  path?: string;
}
