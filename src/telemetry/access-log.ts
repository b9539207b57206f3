// The access log: one JSON line per request, to the console. At low rates every request is written; above
// that a sample, and each line says how many requests it stands for. Query values are never written.

/** Up to this many lines a second nothing is left out. */
export const FULL_LINES_PER_SECOND = 20;
/** Beyond it, one request in this many is written. */
export const SAMPLE_EVERY = 100;

export interface AccessRecord {
  readonly requestId: string;
  readonly traceId: string;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly route: string | null;
  readonly upstream: string | null;
  readonly consumer: string | null;
  readonly class: string;
  readonly status: number;
  /** The problem's code, or null for an upstream's answer. */
  readonly code: string | null;
  readonly tries: number;
  readonly durationMs: number;
  /** What the runtime said of a failed try. */
  readonly failure: string | null;
}

export class AccessLog {
  readonly #write: (line: string) => void;
  #second = 0;
  #written = 0;
  #skipped = 0;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  /** Whether the next request is to be written. Asked before the record is made: most are not. */
  wants(now: number): boolean {
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#written = 0;
    }
    if (this.#written < FULL_LINES_PER_SECOND || this.#skipped + 1 >= SAMPLE_EVERY) return true;
    this.#skipped++;
    return false;
  }

  write(record: AccessRecord, now: number): void {
    const standsFor = this.#skipped + 1;
    this.#skipped = 0;
    this.#written++;
    const { query, ...rest } = record;
    const line = {
      time: new Date(now).toISOString(),
      level: "info",
      event: "request",
      ...rest,
      query: redactQuery(query),
      standsFor,
    };
    this.#write(JSON.stringify(line));
  }
}

/** Keeps the names of query parameters and hides their values: `?a=1&b=2` becomes `?a=*&b=*`. */
export function redactQuery(query: string): string {
  return query.replaceAll(/=[^&]*/g, "=*").slice(0, 1024);
}
