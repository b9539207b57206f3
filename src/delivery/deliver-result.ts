// An upstream's answer as it is kept: status, headers, and the first bytes of the body. The rest of a longer
// body is not read; a field says so.

import { removeHopByHop } from "../http/hop-by-hop.ts";
import { MAX_HEADER_CHARS, type HeaderPairs, type JobResult } from "./core/protocol.ts";

/** At most this much of a body is kept. */
export const MAX_RESULT_BODY_BYTES = 64 * 1024;
/** A body that has not ended by then is kept as far as it came. */
export const RESULT_BODY_MS = 5_000;
/** Says that the body was longer, or broke off, and how many bytes of it are kept. */
export const TRUNCATED = "x-tidegate-truncated";
/** What says something of the body as it was sent, not as it is kept. */
const FRAMING = ["content-length", "content-encoding", "content-range"];

/** Reads an answer; never throws. The answer's body is used up. */
export async function readResult(response: Response): Promise<JobResult> {
  const { bytes, isWhole } = await readHead(response.body);
  const headers = new Headers(response.headers);
  removeHopByHop(headers, false);
  for (const name of FRAMING) headers.delete(name);
  headers.delete(TRUNCATED);
  if (!isWhole) headers.set(TRUNCATED, String(bytes.byteLength));
  return {
    status: response.status,
    headers: fitting(headers),
    body: bytes.byteLength === 0 ? null : bytes,
  };
}

/** Frees an answer that nobody reads. */
export function discard(response: Response | null): void {
  response?.body?.cancel().catch(() => {});
}

interface Head {
  readonly bytes: Uint8Array;
  readonly isWhole: boolean;
}

async function readHead(body: ReadableStream<Uint8Array> | null): Promise<Head> {
  if (body === null) return { bytes: new Uint8Array(), isWhole: true };
  const chunks: Uint8Array[] = [];
  let length = 0;
  let isWhole = false;
  const reader = body.getReader();
  const { promise: tooLong, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), RESULT_BODY_MS);
  try {
    while (length <= MAX_RESULT_BODY_BYTES) {
      const read = await Promise.race([reader.read(), tooLong]);
      isWhole = read?.done === true;
      if (read === null || read.done) break;
      chunks.push(read.value);
      length += read.value.byteLength;
    }
  } catch {
    // It broke off: what came is kept, and marked.
  } finally {
    clearTimeout(timer);
    reader.cancel().catch(() => {});
  }
  const bytes = new Uint8Array(Math.min(length, MAX_RESULT_BODY_BYTES));
  let at = 0;
  for (const chunk of chunks) {
    const part = chunk.subarray(0, bytes.byteLength - at);
    bytes.set(part, at);
    at += part.byteLength;
  }
  return { bytes, isWhole };
}

/** As many fields as may stand in a row, in their order. */
function fitting(headers: Headers): HeaderPairs {
  let chars = 0;
  const pairs: [string, string][] = [];
  for (const [name, value] of headers) {
    chars += name.length + value.length;
    if (chars > MAX_HEADER_CHARS) break;
    pairs.push([name, value.toWellFormed()]);
  }
  return pairs;
}
