// A real HTTP server that plays the upstream and keeps a record of what reached it.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export interface RecordedRequest {
  readonly method: string;
  /** The request target, byte for byte as it arrived. */
  readonly target: string;
  /** Lower-case names; see node's `IncomingMessage.headers`. */
  readonly headers: NodeJS.Dict<string | string[]>;
  /** Names and values in turn, as they arrived. */
  readonly rawHeaders: readonly string[];
}

export type UpstreamHandler = (request: IncomingMessage, response: ServerResponse) => void;

export interface RunningUpstream {
  /** Origin without a trailing slash. */
  readonly url: string;
  readonly port: number;
  /** Every request in the order of arrival; empty it with `requests.length = 0`. */
  readonly requests: RecordedRequest[];
  /** Closes every connection and the port. */
  readonly stop: () => Promise<void>;
}

/** Listens on a free port of 127.0.0.1. The handler answers; without one everything is 200 `ok`. */
export async function startUpstream(handler: UpstreamHandler = answerOk): Promise<RunningUpstream> {
  const requests: RecordedRequest[] = [];
  const server = createServer((request, response) => {
    const { method = "", url: target = "", headers, rawHeaders } = request;
    requests.push({ method, target, headers, rawHeaders });
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${address.port}`, port: address.port, requests, stop };
}

function answerOk(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  response.end("ok");
}
