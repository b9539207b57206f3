// What `sagas` of a configuration file may say, as types.

import type { Duration } from "./gateway-config.ts";

/** What a body template may be: JSON whose texts hold references like `{body.orderId}`. */
export type SagaBody = null | boolean | number | string | SagaBody[] | { [key: string]: SagaBody };

export interface SagaConfig {
  /** What makes two starts one, e.g. `"{body.orderId}"`. */
  key: string;
  /** After it everything is undone, unless the pivot has passed. Default: `"24h"`. */
  timeout?: Duration;
  /** One after the other; the steps of a group run side by side. */
  steps: (SagaStepConfig | { parallel: SagaStepConfig[] })[];
}

export interface SagaStepConfig {
  /** Unique within the saga. */
  id: string;
  request: SagaRequestConfig;
  retry?: SagaRetryConfig;
  /** One try, until its answer. Default: `"15s"`. */
  timeout?: Duration;
  /** Asks whether a request whose answer was lost was done: 2xx yes, 404 and 410 no. */
  outcome?: { upstream?: string; method?: string; path: string; headers?: Record<string, string> };
  /** How it is undone, or why nothing has to be. Required before the pivot. */
  compensate?: SagaCompensationConfig | { none: string };
  /** From its success on there is only forward. At most one. */
  pivot?: boolean;
  /** After the pivot: tried until it succeeds. */
  retriable?: boolean;
}

export interface SagaRequestConfig {
  upstream: string;
  /** GET, POST, PUT, PATCH or DELETE. */
  method: string;
  /** A template; values are percent-encoded. */
  path: string;
  /** Templates, or `env:NAME` for a secret. */
  headers?: Record<string, string>;
  body?: SagaBody;
}

export interface SagaCompensationConfig {
  /** Default: the step's own. */
  upstream?: string;
  method: string;
  path: string;
  headers?: Record<string, string>;
  body?: SagaBody;
  /** Default: 20 attempts, `"2s"`, `"10m"`. */
  retry?: SagaRetryConfig;
  /** Default: the step's own. */
  timeout?: Duration;
}

export interface SagaRetryConfig {
  /** Tries in all. Default: 5; 20 to undo; 1000 behind the pivot. */
  attempts?: number;
  /** Before the second try; doubles with each. Default: `"2s"`. */
  delay?: Duration;
  /** Default: `"2m"`. */
  maxDelay?: Duration;
}
