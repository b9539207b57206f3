// What an outbox says in the log: lines of JSON, an alert once when it is raised and once when it is over.

import type { HealthNotice } from "../../src/delivery/webhooks/core/endpoint-health.ts";

export class OutboxLog {
  readonly #outbox: string;
  #told: boolean;

  /** `raised`: what was told before this boot. */
  constructor(outbox: string, raised: boolean) {
    this.#outbox = outbox;
    this.#told = raised;
  }

  alert(raised: boolean, lag: number): void {
    if (raised === this.#told) return;
    this.#told = raised;
    const event = raised ? "outbox-lag-alert" : "outbox-lag-alert-cleared";
    console.warn(JSON.stringify({ event, outbox: this.#outbox, lag }));
  }

  /** A webhook's receiver: what people should know, each once. */
  endpoint({ kind, ...rest }: HealthNotice): void {
    console.warn(JSON.stringify({ event: `endpoint-${kind}`, outbox: this.#outbox, ...rest }));
  }

  failure(event: string, error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    console.error(JSON.stringify({ event: `outbox-${event}`, outbox: this.#outbox, error: text }));
  }
}
