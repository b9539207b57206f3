// One demo upstream: a real HTTP server with a capacity, a latency and faults that can be changed while
// it runs. It answers with what it saw, so that the gateway's headers can be looked at.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { changeSettings, type DemoSettings } from "./settings.ts";

/** Header fields of a request that the answer repeats. */
const SHOWN_HEADERS = /^(?:x-tidegate-.*|x-request-id|x-forwarded-.*|via|traceparent|host)$/;

export interface DemoCounts {
  served: number;
  failed: number;
  refused: number;
  abandoned: number;
}

export interface DemoServer {
  readonly name: string;
  readonly port: number;
  close(): Promise<void>;
}

interface DemoState {
  readonly name: string;
  settings: DemoSettings;
  readonly counts: DemoCounts;
  inService: number;
  readonly waiting: { readonly request: IncomingMessage; readonly response: ServerResponse }[];
}

/** Listens on 127.0.0.1; port 0 takes a free one. Rejects when the port cannot be had. */
export async function startDemoServer(
  name: string,
  port: number,
  settings: DemoSettings,
): Promise<DemoServer> {
  const counts = { served: 0, failed: 0, refused: 0, abandoned: 0 };
  const state: DemoState = { name, settings, counts, inService: 0, waiting: [] };
  const server = createServer((request, response) => handle(state, request, response));
  // A gateway reuses connections; one that is closed under its hands looks like a failed upstream.
  server.keepAliveTimeout = 60_000;
  await listen(server, port);
  const address = server.address();
  const actualPort = typeof address === "object" && address !== null ? address.port : port;
  return { name, port: actualPort, close: () => close(server) };
}

function handle(state: DemoState, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "http://demo");
  if (url.pathname === "/_demo") {
    request.resume();
    control(state, request.method ?? "GET", url.searchParams, response);
  } else if (state.settings.down) {
    state.counts.refused++;
    request.socket.destroy();
  } else {
    request.resume();
    state.waiting.push({ request, response });
    serveWaiting(state);
  }
}

function control(state: DemoState, method: string, query: URLSearchParams, response: ServerResponse): void {
  if (method === "POST" || method === "PUT") {
    const change = changeSettings(state.settings, query);
    if (!change.ok) return sendJson(response, 400, { error: change.error });
    state.settings = change.settings;
    serveWaiting(state);
  }
  const { name, settings, counts, inService, waiting } = state;
  sendJson(response, 200, { name, settings, counts, inService, waiting: waiting.length });
}

function serveWaiting(state: DemoState): void {
  while (state.inService < state.settings.capacity) {
    const next = state.waiting.shift();
    if (next === undefined) return;
    if (next.request.socket.destroyed) {
      state.counts.abandoned++;
      continue;
    }
    state.inService++;
    setTimeout(() => finish(state, next.request, next.response), state.settings.latency);
  }
}

function finish(state: DemoState, request: IncomingMessage, response: ServerResponse): void {
  state.inService--;
  const { name, settings, counts } = state;
  if (settings.down) {
    counts.refused++;
    request.socket.destroy();
  } else if (Math.random() < settings.errors) {
    counts.failed++;
    sendJson(response, 500, { upstream: name, error: "this demo upstream fails on purpose" });
  } else {
    counts.served++;
    const headers = Object.entries(request.headers).filter(([field]) => SHOWN_HEADERS.test(field));
    const { method, url: path } = request;
    sendJson(response, 200, { upstream: name, method, path, headers: Object.fromEntries(headers) });
  }
  serveWaiting(state);
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(body)}\n`);
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve());
  });
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
