// HTTP/1.1 by hand over a socket: every byte of the request is the test's own, where ordinary clients would
// normalise the path, join fields or refuse to send. The answer is parsed by RFC 9112.
import { connect, type Socket } from "node:net";

const ANSWER_TIMEOUT_MS = 15_000;
const HEAD_END = "\r\n\r\n";

export interface RawAnswer {
  readonly status: number;
  /** Names in lower case, in the order of arrival. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

export interface RequestParts {
  readonly method?: string;
  /** Request target, sent as it is. */
  readonly target: string;
  readonly host?: string | null;
  readonly fields?: readonly (readonly [name: string, value: string])[];
  readonly body?: string | Buffer;
}

/** The head and body as bytes; `host` is left out when null, `content-length` comes with a body. */
export function requestBytes(parts: RequestParts): Buffer {
  const { method = "GET", target, host = "gateway.test", fields = [], body } = parts;
  const lines = [`${method} ${target} HTTP/1.1`];
  if (host !== null) lines.push(`Host: ${host}`);
  for (const [name, value] of fields) lines.push(`${name}: ${value}`);
  if (body !== undefined) lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  const head = Buffer.from(`${lines.join("\r\n")}${HEAD_END}`, "latin1");
  return body === undefined ? head : Buffer.concat([head, Buffer.from(body)]);
}

/** Opens a connection to an origin like `http://127.0.0.1:8787`. */
export function openSocket(origin: string): Socket {
  const { hostname, port } = new URL(origin);
  return connect({ host: hostname, port: Number(port), noDelay: true });
}

/** Sends the bytes on a connection of their own and reads one answer. Rejects when none comes. */
export function sendBytes(origin: string, bytes: Buffer, isHead = false): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = openSocket(origin);
    let received: Buffer = Buffer.alloc(0);
    const timer = setTimeout(() => {
      socket.destroy(
        new Error(`no whole answer within ${ANSWER_TIMEOUT_MS} ms, got: ${received.toString("latin1")}`),
      );
    }, ANSWER_TIMEOUT_MS);
    const finish = (answer: RawAnswer | null): void => {
      if (answer === null) return;
      clearTimeout(timer);
      resolve(answer);
      socket.destroy();
    };
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      finish(parseAnswer(received, false, isHead));
    });
    socket.on("end", () => finish(parseAnswer(received, true, isHead)));
    socket.on("error", reject);
    socket.on("close", () => {
      clearTimeout(timer);
      reject(new Error(`the connection ended after: ${received.toString("latin1").slice(0, 200)}`));
    });
    socket.write(bytes);
  });
}

/** Sends one request and reads its answer. */
export function send(origin: string, parts: RequestParts): Promise<RawAnswer> {
  return sendBytes(origin, requestBytes(parts), parts.method === "HEAD");
}

/** All values of a field joined as RFC 9110 5.3 says, or null. */
export function fieldOf(answer: Pick<RawAnswer, "fields">, name: string): string | null {
  const values = answer.fields.filter(([field]) => field === name).map(([, value]) => value);
  return values.length === 0 ? null : values.join(", ");
}

/** The first whole answer, without interim ones (1xx but 101); null while it is not whole. */
export function parseAnswer(bytes: Buffer, ended: boolean, isHead: boolean): RawAnswer | null {
  const headEnd = bytes.indexOf(HEAD_END);
  if (headEnd < 0) return null;
  const [statusLine, ...lines] = bytes.subarray(0, headEnd).toString("latin1").split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1]);
  const rest = bytes.subarray(headEnd + HEAD_END.length);
  if (status >= 100 && status < 200 && status !== 101) return parseAnswer(rest, ended, isHead);
  const fields = lines.map((line): readonly [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  const body =
    isHead || status === 101 || status === 204 || status === 304
      ? Buffer.alloc(0)
      : bodyOf(fields, rest, ended);
  return body === null ? null : { status, fields, body };
}

function bodyOf(fields: RawAnswer["fields"], rest: Buffer, ended: boolean): Buffer | null {
  if (/chunked/i.test(fieldOf({ fields }, "transfer-encoding") ?? "")) return dechunk(rest);
  const length = fieldOf({ fields }, "content-length");
  if (length === null) return ended ? rest : null;
  return rest.length >= Number(length) ? rest.subarray(0, Number(length)) : null;
}

/** The content of a chunked body (RFC 9112 7.1), or null while its last chunk is missing. */
export function dechunk(bytes: Buffer): Buffer | null {
  const pieces: Buffer[] = [];
  let offset = 0;
  for (;;) {
    const lineEnd = bytes.indexOf("\r\n", offset);
    if (lineEnd < 0) return null;
    const size = Number.parseInt(bytes.subarray(offset, lineEnd).toString("latin1"), 16);
    const start = lineEnd + 2;
    if (bytes.length < start + size + 2) return null;
    if (size === 0) return Buffer.concat(pieces);
    pieces.push(bytes.subarray(start, start + size));
    offset = start + size + 2;
  }
}
