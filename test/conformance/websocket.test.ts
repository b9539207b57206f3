// WebSockets pass through: handshake, frames of both kinds, and how they end (RFC 6455).
import { once } from "node:events";
import { afterAll, beforeAll, describe, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { startGateway, until, type RunningGateway } from "../integration/rig/index.ts";
import { fieldOf, send } from "./support/raw-http.ts";

const LARGE_BYTES = 2 * 1024 * 1024;
/** Permits of the upstream: open sockets must hold none. */
const PERMITS = 2;

interface Connection {
  readonly socket: WebSocket;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly url: string;
  closed: { readonly code: number; readonly reason: string } | null;
}

let gateway: RunningGateway;
let server: WebSocketServer;
const connections: Connection[] = [];

beforeAll(async () => {
  server = new WebSocketServer({
    host: "127.0.0.1",
    port: 0,
    handleProtocols: (offered) => (offered.has("chat.v2") ? "chat.v2" : false),
    verifyClient: ({ req }, done) => done(req.url !== "/ws/refused", 403, "no"),
  });
  await once(server, "listening");
  server.on("connection", (socket, request) => {
    const connection: Connection = { socket, headers: request.headers, url: request.url ?? "", closed: null };
    connections.push(connection);
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on("close", (code, reason) => (connection.closed = { code, reason: reason.toString() }));
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  gateway = await startGateway({
    config: {
      upstreams: {
        sockets: {
          targets: [`http://127.0.0.1:${address.port}`],
          concurrency: { max: PERMITS, adaptive: false, waiting: 0 },
        },
      },
      routes: [{ path: "/ws/*", upstream: "sockets" }],
    },
  });
});

afterAll(async () => {
  for (const client of server.clients) client.terminate();
  await gateway?.stop();
  server.close();
});

async function open(
  path: string,
  protocols: string[] = [],
  headers: Record<string, string> = {},
): Promise<WebSocket> {
  const socket = new WebSocket(`${gateway.url.replace("http", "ws")}${path}`, protocols, { headers });
  await once(socket, "open");
  return socket;
}

function lastConnection(): Connection {
  const connection = connections.at(-1);
  if (connection === undefined) throw new Error("no connection upstream");
  return connection;
}

describe("WebSocket", () => {
  it("carries text and binary messages, 2 MiB whole", async ({ expect }) => {
    const socket = await open("/ws/echo?room=1");
    expect(lastConnection().url).toBe("/ws/echo?room=1");
    for (const message of ["hello ✓", Buffer.from([0, 1, 254, 255]), Buffer.alloc(LARGE_BYTES, 7)]) {
      socket.send(message);
      const [data, isBinary] = await once(socket, "message");
      expect(isBinary).toBe(typeof message !== "string");
      expect(Buffer.from(data).equals(Buffer.from(message))).toBe(true);
    }
    socket.close();
  });

  it("carries the subprotocol, and the gateway's fields upstream", async ({ expect }) => {
    const socket = await open("/ws/x", ["chat.v1", "chat.v2"], {
      "x-request-id": "ws-1",
      "x-tidegate-consumer": "forged",
    });
    expect(socket.protocol).toBe("chat.v2");
    const { headers } = lastConnection();
    expect(headers["via"]).toBe("1.1 tidegate");
    expect(headers["x-request-id"]).toBe("ws-1");
    expect(headers["x-tidegate-class"]).toBe("P1");
    expect(headers["x-tidegate-consumer"]).toBeUndefined();
    socket.close();
  });

  it("carries close codes and reasons both ways", async ({ expect }) => {
    const leaving = await open("/ws/x");
    const upstream = lastConnection();
    leaving.close(4001, "bye");
    await until("the upstream sees it", 3000, () => upstream.closed !== null);
    expect(upstream.closed).toEqual({ code: 4001, reason: "bye" });

    const left = await open("/ws/x");
    lastConnection().socket.close(4002, "go away");
    const [code, reason] = await once(left, "close");
    expect([code, String(reason)]).toEqual([4002, "go away"]);
  });

  it("holds no permit while it is open", async ({ expect }) => {
    const sockets = [];
    for (let count = 0; count < PERMITS * 3; count++) sockets.push(await open("/ws/x"));
    expect(sockets.every((socket) => socket.readyState === WebSocket.OPEN)).toBe(true);
    for (const socket of sockets) socket.close();
  });

  it("hands the upstream's refusal of the upgrade on", async ({ expect }) => {
    const fields = [
      ["Connection", "Upgrade"],
      ["Upgrade", "websocket"],
      ["Sec-WebSocket-Version", "13"],
      ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
    ] as const;
    const answer = await send(gateway.url, { target: "/ws/refused", fields });
    expect(answer.status).toBe(403);
    expect(fieldOf(answer, "x-request-id")).not.toBeNull();
  });

  it("answers a refusal of its own before the handshake", async ({ expect }) => {
    const socket = new WebSocket(`${gateway.url.replace("http", "ws")}/nowhere`);
    const [, response] = await once(socket, "unexpected-response");
    expect(response.statusCode).toBe(404);
    socket.on("error", () => {});
    socket.terminate();
  });
});
