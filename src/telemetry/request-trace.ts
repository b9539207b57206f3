// What the pipeline notes of a request whose trace is recorded, or whose timings an operator asked for. It
// exists only then: nobody else pays for it.

/** A try that has left for a target. */
export interface TriedSpan {
  /** 16 hex digits: the parent of what the upstream does. */
  readonly spanId: string;
  readonly startMs: number;
  readonly baseUrl: string;
  /** Path and query behind the base URL. */
  readonly path: string;
  /** The target's index. */
  readonly target: number;
  /** The breaker's phase when the try was let through. */
  readonly phase: string;
  /** Time in line for the upstream's permit. */
  readonly waitedMs: number;
  /** null: it is under way. */
  endMs: number | null;
  /** null: there was no answer. */
  status: number | null;
  /** Why there was none: a problem's code; null: there was one. */
  error: string | null;
}

/** What the request left for later: a job or an event. */
export interface ProducedSpan {
  readonly spanId: string;
  readonly startMs: number;
  /** The queue's name, or the event's type. */
  readonly destination: string;
  endMs: number | null;
  id: string | null;
}

export class RequestTrace {
  readonly spanId: string;
  /** false: an operator asked for timings, and nothing is sent. */
  readonly isRecorded: boolean;
  readonly tries: TriedSpan[] = [];
  produced: ProducedSpan | null = null;
  /** Time in lines: the route's, the limits', the upstream's over all tries. */
  waitedMs = 0;

  constructor(spanId: string, isRecorded: boolean) {
    this.spanId = spanId;
    this.isRecorded = isRecorded;
  }

  begin(tried: Omit<TriedSpan, "endMs" | "status" | "error">): void {
    this.tries.push({ ...tried, endMs: null, status: null, error: null });
  }

  /** Ends the newest try, unless it is over or none has left. */
  end(endMs: number, status: number | null, error: string | null): void {
    const tried = this.tries.at(-1);
    if (tried === undefined || tried.endMs !== null) return;
    tried.endMs = endMs;
    tried.status = status;
    tried.error = error;
  }

  /** Ends what was left for later: it is stored under this id, or nothing is known of it. */
  stored(endMs: number, id: string | null): void {
    if (this.produced === null) return;
    this.produced.endMs = endMs;
    this.produced.id = id;
  }
}
