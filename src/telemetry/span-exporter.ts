// Sends spans to a receiver of OTLP over HTTP, behind responses, a batch at a time. Nothing here can hurt a
// request: what does not fit into the queue is dropped and counted, and so is what the receiver does not
// take.
//
//   add -> queue (2048) -> a sender waits 1 s for company, or until a batch (512) is full -> POST -> ...
//
// There is one sender at a time. On Workers it lives as long as the request that began it, so it has a
// lease: when the runtime has ended it, the next span begins another. A batch is tried three times within
// its timeout, where the protocol says that trying helps (429, 502, 503, 504, no connection).

import { parseRetryAfterMs } from "../http/retry-after.ts";
import { encodeSpans } from "./otlp.ts";
import type { Attributes, Span } from "./span.ts";
import type { TraceReceiver } from "./trace-settings.ts";

/** Spans that wait at one time; the rest is dropped. */
export const MAX_QUEUED_SPANS = 2048;
export const MAX_BATCH_SPANS = 512;
export const MAX_TRIES = 3;
/** Between the tries of a batch, doubled each time; a `retry-after` that is longer counts instead. */
export const RETRY_DELAY_MS = 500;
/** Beyond a batch's own timeout, before a sender that says nothing is taken for gone. */
const LEASE_SLACK_MS = 1_000;
/** A sender begins no other batch after this: work behind a response ends after 30 s. */
const MAX_SENDING_MS = 8_000;
/** The end of a process waits so long for its last spans. */
export const MAX_FLUSH_MS = 3_000;
/** A warning says how many spans were lost since the last one. */
export const WARN_EVERY_MS = 60_000;
const RETRYABLE = new Set([429, 502, 503, 504]);

export type DropReason = "queue_full" | "refused" | "unanswered";

export interface SpanExporterParts {
  readonly receiver: TraceReceiver;
  readonly resource: Attributes;
  readonly fetch: (request: Request) => Promise<Response>;
  readonly now: () => number;
  /** Resolves after so many ms. */
  readonly pause: (ms: number) => Promise<void>;
  /** Takes one line of the log. */
  readonly write: (line: string) => void;
}

type Keep = (work: Promise<unknown>) => void;

type Sent =
  | { readonly kind: "taken"; readonly rejected: number }
  | { readonly kind: "again"; readonly afterMs: number; readonly reason: DropReason }
  | { readonly kind: "refused" };

interface Sender {
  until: number;
  readonly wake: () => void;
}

export class SpanExporter {
  readonly #parts: SpanExporterParts;
  readonly #queue: Span[] = [];
  #sender: Sender | null = null;
  #sending: Promise<void> = Promise.resolve();
  #isEnding = false;
  #lostSince = 0;
  #warnedAt = Number.NEGATIVE_INFINITY;
  #exported = 0;
  readonly #dropped: Record<DropReason, number> = { queue_full: 0, refused: 0, unanswered: 0 };

  constructor(parts: SpanExporterParts) {
    this.#parts = parts;
  }

  get exported(): number {
    return this.#exported;
  }

  get dropped(): Readonly<Record<DropReason, number>> {
    return this.#dropped;
  }

  /** Takes the spans of one request, all or none. `keep` lets the sending go on behind its response. */
  add(spans: readonly Span[], keep: Keep): void {
    if (this.#queue.length + spans.length > MAX_QUEUED_SPANS) return this.#drop("queue_full", spans.length);
    this.#queue.push(...spans);
    const now = this.#parts.now();
    if (this.#sender !== null && now < this.#sender.until) {
      if (this.#queue.length >= MAX_BATCH_SPANS) this.#sender.wake();
      return;
    }
    this.#sending = this.#run(now);
    keep(this.#sending);
  }

  /** Sends what waits, at once, and tries nothing twice; resolves when that is done or took too long. */
  async flush(): Promise<void> {
    this.#isEnding = true;
    this.#sender?.wake();
    await Promise.race([this.#finish(), this.#parts.pause(MAX_FLUSH_MS)]);
  }

  async #finish(): Promise<void> {
    await this.#sending;
    if (this.#queue.length > 0) await this.#run(this.#parts.now());
  }

  async #run(startedAt: number): Promise<void> {
    const { now, pause, receiver } = this.#parts;
    const { promise: woken, resolve: wake } = Promise.withResolvers<void>();
    const { gatherMs, timeoutMs } = receiver;
    const leaseMs = timeoutMs + LEASE_SLACK_MS;
    const sender: Sender = { until: startedAt + gatherMs + leaseMs, wake };
    this.#sender = sender;
    if (!this.#isEnding && this.#queue.length < MAX_BATCH_SPANS) await Promise.race([pause(gatherMs), woken]);
    while (this.#queue.length > 0 && (this.#isEnding || now() < startedAt + MAX_SENDING_MS)) {
      sender.until = now() + leaseMs;
      await this.#send(this.#queue.splice(0, MAX_BATCH_SPANS));
    }
    if (this.#sender === sender) this.#sender = null;
  }

  /** Never rejects. */
  async #send(batch: readonly Span[]): Promise<void> {
    const { receiver, resource, now, pause } = this.#parts;
    const until = now() + receiver.timeoutMs;
    const body = encodeSpans(batch, resource);
    for (let tries = 1; ; tries++) {
      const sent = await this.#post(body, until - now());
      if (sent.kind === "taken") {
        const rejected = Math.min(sent.rejected, batch.length);
        this.#exported += batch.length - rejected;
        if (rejected > 0) this.#drop("refused", rejected);
        return;
      }
      if (sent.kind === "refused") return this.#drop("refused", batch.length);
      const waitMs = Math.max(sent.afterMs, RETRY_DELAY_MS * 2 ** (tries - 1));
      const isLast = this.#isEnding || tries >= MAX_TRIES || now() + waitMs >= until;
      if (isLast) return this.#drop(sent.reason, batch.length);
      await pause(waitMs);
    }
  }

  async #post(body: string, timeoutMs: number): Promise<Sent> {
    const { receiver, fetch, now } = this.#parts;
    try {
      const request = new Request(receiver.url, {
        method: "POST",
        headers: { "content-type": "application/json", ...Object.fromEntries(receiver.headers) },
        body,
        redirect: "manual",
        signal: AbortSignal.timeout(Math.max(1, timeoutMs)),
      });
      const response = await fetch(request);
      const { status, headers } = response;
      if (status >= 200 && status <= 299) {
        return { kind: "taken", rejected: rejectedOf(await response.text()) };
      }
      await response.body?.cancel();
      const retryAfter = headers.get("retry-after");
      const afterMs = retryAfter === null ? 0 : (parseRetryAfterMs(retryAfter, now()) ?? 0);
      return RETRYABLE.has(status) ? { kind: "again", afterMs, reason: "refused" } : { kind: "refused" };
    } catch {
      return { kind: "again", afterMs: 0, reason: "unanswered" };
    }
  }

  #drop(reason: DropReason, spans: number): void {
    this.#dropped[reason] += spans;
    this.#lostSince += spans;
    const now = this.#parts.now();
    if (now < this.#warnedAt + WARN_EVERY_MS) return;
    const line = { level: "warn", event: "spans_dropped", reason, spans: this.#lostSince };
    this.#warnedAt = now;
    this.#lostSince = 0;
    this.#parts.write(JSON.stringify({ time: new Date(now).toISOString(), ...line }));
  }
}

/** How many spans a receiver has left out of those that it took (`ExportTracePartialSuccess`). */
function rejectedOf(text: string): number {
  try {
    const rejected = Number(JSON.parse(text).partialSuccess?.rejectedSpans ?? 0);
    return Number.isSafeInteger(rejected) && rejected > 0 ? rejected : 0;
  } catch {
    return 0;
  }
}
