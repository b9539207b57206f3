// The request's body on its way upstream. A large one is the stream that came in, untouched. One of
// unknown length is counted as it passes, and one of at most 64 KiB is kept: to be sent again, and to tell
// after a failed try whether the client had sent it whole. The runtime reports a client that breaks off
// and an upstream that does as the same error.

/** At most this much of a body is kept. */
export const MAX_KEPT_BYTES = 64 * 1024;
/** What the client has sent is there at once; a read that takes longer waits for more to come. */
const ARRIVAL_PROBE_MS = 10;

/** How much of the body the client has sent, as far as can be told once a try has failed. */
export type BodyArrival = "whole" | "arriving" | "broken" | "unknown";

export interface OutboundBody {
  /** For the next try: null without a body. Call it once per try, and again only while `repeatable`. */
  next(): ReadableStream<Uint8Array> | null;
  /**
   * Aborts the try when the body cannot be sent whole: a runtime may end the outgoing body of a stream
   * that fails as if it were complete, and the upstream would take the half for the whole.
   */
  readonly signal: AbortSignal | null;
  /** Whether another try could send the same body. */
  repeatable(): boolean;
  /** Whether the body turned out larger than the route allows. */
  tooLarge(): boolean;
  /** Whether a failed try can be the client's doing: it is when the body is `broken` or still `arriving`. */
  arrival(): Promise<BodyArrival>;
  /** Frees what was kept. */
  discard(): void;
}

export interface BodyRules {
  readonly contentLength: string | null;
  readonly limitBytes: number;
  /** Whether the request may be tried again at all. */
  readonly keep: boolean;
}

const no = (): boolean => false;

export function createOutboundBody(body: ReadableStream<Uint8Array> | null, rules: BodyRules): OutboundBody {
  if (body === null) {
    return {
      next: () => null,
      signal: null,
      repeatable: () => true,
      tooLarge: no,
      arrival: () => Promise.resolve("whole"),
      discard: () => {},
    };
  }
  if (rules.contentLength === null) return createCountedBody(body, rules);
  if (Number(rules.contentLength) <= MAX_KEPT_BYTES) return createKeptBody(body);
  return createPassedBody(body);
}

/** A body that is sent once, as the stream that came in. */
export function createPassedBody(body: ReadableStream<Uint8Array>): OutboundBody {
  return {
    next: () => body,
    signal: null,
    repeatable: no,
    tooLarge: no,
    arrival: () => Promise.resolve("unknown"),
    discard: () => {},
  };
}

/** A small body of known length: one branch goes out, the other waits for the next try. */
function createKeptBody(body: ReadableStream<Uint8Array>): OutboundBody {
  let kept: ReadableStream<Uint8Array> = body;
  return {
    signal: null,
    next() {
      const [outgoing, waiting] = kept.tee();
      kept = waiting;
      return outgoing;
    },
    repeatable: () => true,
    tooLarge: no,
    arrival() {
      const [probe, waiting] = kept.tee();
      kept = waiting;
      return arrivalOf(probe);
    },
    discard() {
      kept.cancel().catch(() => {});
    },
  };
}

/** Reads what is there, and cancels the stream. */
async function arrivalOf(stream: ReadableStream<Uint8Array>): Promise<BodyArrival> {
  const reader = stream.getReader();
  const { promise: tooLong, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), ARRIVAL_PROBE_MS);
  try {
    for (;;) {
      const read = await Promise.race([reader.read(), tooLong]);
      if (read === null) return "arriving";
      if (read.done) return "whole";
    }
  } catch {
    return "broken";
  } finally {
    clearTimeout(timer);
    reader.cancel().catch(() => {});
  }
}

/** A body of unknown length: counted against the limit, and recorded while it is small. */
function createCountedBody(body: ReadableStream<Uint8Array>, rules: BodyRules): OutboundBody {
  const state = { bytes: 0, ended: false, tooLarge: false, broken: false };
  let recorded: Uint8Array[] | null = rules.keep ? [] : null;
  let started = false;
  const reader = body.getReader();
  const abort = new AbortController();
  const counted = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const chunk = await reader.read().catch(() => null);
      if (chunk?.done === true) {
        state.ended = true;
        controller.close();
        return;
      }
      state.bytes += chunk?.value.byteLength ?? 0;
      state.broken = chunk === null;
      state.tooLarge = state.bytes > rules.limitBytes;
      if (chunk === null || state.tooLarge) {
        abort.abort();
        return new Promise<void>(() => {});
      }
      if (state.bytes > MAX_KEPT_BYTES) recorded = null;
      recorded?.push(chunk.value.slice());
      controller.enqueue(chunk.value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
  return {
    signal: abort.signal,
    next() {
      if (!started) {
        started = true;
        return counted;
      }
      return streamOf(recorded ?? []);
    },
    repeatable: () => recorded !== null && state.ended,
    tooLarge: () => state.tooLarge,
    arrival: () => Promise.resolve(state.broken ? "broken" : state.ended ? "whole" : "arriving"),
    discard() {
      recorded = null;
    },
  };
}

function streamOf(chunks: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  let next = 0;
  return new ReadableStream({
    pull(controller) {
      if (next < chunks.length) controller.enqueue(chunks[next++]);
      else controller.close();
    },
  });
}
