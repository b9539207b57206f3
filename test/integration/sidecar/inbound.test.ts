// A sidecar in front of a service: what passes stays as it is, and what goes wrong is told.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { request, type IncomingMessage, type RequestOptions, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { freePort } from "../../../cli/port.ts";
import { portIsOpen, startUpstream, until, type RunningUpstream } from "../rig/index.ts";
import { SidecarProcess } from "../rig/sidecar.ts";

const PYTHON = ["python3", "python"].find((name) => spawnSync(name, ["--version"]).status === 0);

describe("the inbound side", () => {
  let app: RunningUpstream;
  let sidecar: SidecarProcess;
  let handle: (message: IncomingMessage, response: ServerResponse) => void;

  beforeAll(async () => {
    app = await startUpstream((message, response) => handle(message, response));
    const config = {
      upstreams: {
        app: {
          targets: [],
          timeout: "2s",
          breaker: { consecutive: 3, openFor: "100ms", maxOpenFor: "100ms", probes: 1, rampUp: 0 },
        },
      },
      routes: [
        { path: "/small", upstream: "app", bodyLimit: "1KiB" },
        { path: "/few/*", upstream: "app", limits: ["few"], auth: false },
        { path: "/*", upstream: "app" },
      ],
      limits: { few: { key: "ip", rate: 2, per: "1h", consistency: "global" } },
      counters: { calls: { key: "ip" } },
    };
    const args = [
      "--inbound",
      "127.0.0.1:0",
      "--app",
      app.url,
      "--admin",
      "127.0.0.1:0",
      "--env",
      "ADMIN_TOKEN=secret",
    ];
    sidecar = await new SidecarProcess(args, config).ready();
  });

  afterAll(async () => {
    await sidecar.stop();
    await app.stop();
  });

  beforeEach(() => {
    app.requests.length = 0;
    handle = (message, response) => void message.resume().on("end", () => response.end("ok"));
  });

  function open(options: RequestOptions): ReturnType<typeof request> {
    return request({ host: "127.0.0.1", port: sidecar.port("inbound"), agent: false, ...options });
  }

  async function ask(options: RequestOptions, body: string | Buffer = ""): Promise<Reply> {
    const sent = open(options);
    sent.end(body);
    const [answer]: IncomingMessage[] = await once(sent, "response");
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk);
    const got = Buffer.concat(chunks);
    return {
      status: answer.statusCode ?? 0,
      headers: answer.headers,
      raw: answer.rawHeaders,
      body: got.toString(),
      bytes: got,
    };
  }

  it("opens no tunnel for others: 405 with what it passes", async () => {
    const reply = await new Promise<IncomingMessage>((resolve, reject) => {
      const { port } = new URL(sidecar.url("inbound"));
      request({ host: "127.0.0.1", port, method: "CONNECT", path: "example.com:443", agent: false })
        .on("connect", (answer, socket) => {
          socket.destroy();
          resolve(answer);
        })
        .on("error", reject)
        .end();
    });
    expect(reply.statusCode).toBe(405);
    expect(reply.headers).toMatchObject({
      allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
      "content-type": "application/problem+json",
    });
    expect(app.requests).toEqual([]);
  });

  it("hands on the host, path and fields that the client sent", async () => {
    await ask({
      path: "/a%20b//c?d=%27e%27",
      headers: { host: "shop.example.com:8443", "x-thing": "1", te: "trailers" },
    });
    const [seen] = app.requests;
    expect(seen.target).toBe("/a%20b//c?d=%27e%27");
    expect(seen.headers).toMatchObject({
      host: "shop.example.com:8443",
      "x-thing": "1",
      "x-forwarded-host": "shop.example.com:8443",
      "x-forwarded-proto": "http",
    });
    expect(seen.headers).not.toHaveProperty("te");
    expect(seen.headers["x-request-id"]).toMatch(/^[0-9a-f]{32}$/);
  });

  it("believes no address, class or identity that a client writes", async () => {
    await ask({
      path: "/x",
      headers: {
        "cf-connecting-ip": "9.9.9.9",
        "x-tidegate-class": "P3",
        "x-tidegate-consumer": "acme",
        "x-forwarded-client-cert": "x",
      },
    });
    expect(app.requests[0].headers["x-forwarded-for"]).toBe("127.0.0.1");
    expect(app.requests[0].headers["x-tidegate-class"]).toBe("P1");
    expect(app.requests[0].headers).not.toHaveProperty("x-tidegate-consumer");
    expect(app.requests[0].headers).not.toHaveProperty("x-forwarded-client-cert");
  });

  it("keeps answers as they are: cookies, compressed bodies, HEAD, 204, 304", async () => {
    handle = (message, response) => {
      message.resume();
      if (message.url === "/cookies") response.setHeader("set-cookie", ["a=1; Path=/", "b=2, c"]);
      if (message.url === "/gone") {
        response.writeHead(204).end();
      } else if (message.url === "/same") {
        response.writeHead(304, { etag: '"1"' }).end();
      } else {
        response.writeHead(200, { "content-encoding": "gzip", "content-length": 3 });
        response.end(Buffer.from([31, 139, 8]));
      }
    };
    const cookies = await ask({ path: "/cookies" });
    expect(cookies.headers["set-cookie"]).toEqual(["a=1; Path=/", "b=2, c"]);
    expect([...cookies.bytes]).toEqual([31, 139, 8]);
    expect(await ask({ path: "/x", method: "HEAD" })).toMatchObject({
      status: 200,
      body: "",
      headers: { "content-length": "3" },
    });
    expect(await ask({ path: "/gone" })).toMatchObject({ status: 204, body: "" });
    expect(await ask({ path: "/same" })).toMatchObject({ status: 304, headers: { etag: '"1"' } });
  });

  it("streams both ways, byte by byte as it comes", async () => {
    handle = (message, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      message.on("data", (chunk) => response.write(`got ${String(chunk)}\n`));
      message.on("end", () => response.end("end\n"));
    };
    const sent = open({ path: "/stream", method: "POST" });
    sent.write("one");
    const [answer]: IncomingMessage[] = await once(sent, "response");
    const next = async (): Promise<string> => String((await once(answer, "data"))[0]);
    expect(await next()).toBe("got one\n");
    const second = next();
    sent.write("two");
    expect(await second).toBe("got two\n");
    const last = next();
    sent.end();
    expect(await last).toBe("end\n");
  });

  it("carries bodies of any size, with and without a length", async () => {
    handle = (message, response) => void message.pipe(response);
    for (const size of [0, 1, 65_536, 65_537, 3_000_000]) {
      const body = Buffer.alloc(size, "x");
      const known = await ask({ path: "/echo", method: "PUT", headers: { "content-length": size } }, body);
      expect(known.bytes.length).toBe(size);
      const unknown = await ask(
        { path: "/echo", method: "PUT", headers: { "transfer-encoding": "chunked" } },
        body,
      );
      expect(unknown.bytes.length).toBe(size);
    }
  });

  it("refuses a body over the route's limit, by its length and by counting", async () => {
    const body = Buffer.alloc(2_000);
    expect(
      (await ask({ path: "/small", method: "PUT", headers: { "content-length": 2_000 } }, body)).status,
    ).toBe(413);
    expect(
      (await ask({ path: "/small", method: "PUT", headers: { "transfer-encoding": "chunked" } }, body))
        .status,
    ).toBe(413);
    expect(
      (
        await ask(
          { path: "/small", method: "PUT", headers: { "content-length": 1_000 } },
          body.subarray(1_000),
        )
      ).status,
    ).toBe(200);
  });

  it("tries again with the same body where that may be done, and not where it may not", async () => {
    const bodies: string[] = [];
    handle = (message, response) => {
      let body = "";
      message.on("data", (chunk) => (body += String(chunk)));
      message.on("end", () => {
        bodies.push(body);
        response.writeHead(bodies.length % 2 === 1 ? 503 : 200).end();
      });
    };
    expect((await ask({ path: "/x", method: "PUT" }, "again")).status).toBe(200);
    expect(bodies).toEqual(["again", "again"]);
    bodies.length = 0;
    expect((await ask({ path: "/x", method: "POST" }, "once")).status).toBe(503);
    expect(bodies).toEqual(["once"]);
  });

  it("answers 504 when the service is too slow, and frees its connection", async () => {
    let closed = 0;
    handle = (message) => void message.socket.once("close", () => closed++);
    expect((await ask({ path: "/x", method: "POST" }, "1")).status).toBe(504);
    await until("the connection is gone", 2_000, () => closed === 1);
  });

  it("cuts the answer when the service breaks off in the middle", async () => {
    handle = (_, response) => {
      response.writeHead(200, { "content-length": 100 });
      response.write("half");
      setTimeout(() => response.destroy(), 50);
    };
    await expect(ask({ path: "/x" })).rejects.toThrow(/aborted|ECONNRESET|hang up/);
  });

  it("learns nothing about the service from clients that hang up", async () => {
    let begun = 0;
    let cut = 0;
    handle = (message, response) => {
      begun++;
      response.once("close", () => cut++);
      message.resume();
    };
    for (let turn = 1; turn <= 6; turn++) {
      const sent = open({ path: "/x" });
      sent.on("error", () => {});
      sent.end();
      await until("it arrived", 2_000, () => begun === turn);
      sent.destroy();
      await until("the service heard of it", 2_000, () => cut === turn);
    }
    const state: { upstreams: Record<string, { breaker: { phase: string } }> } = JSON.parse(
      await (await fetch(`${sidecar.url("admin")}/state`)).text(),
    );
    expect(state.upstreams.app.breaker.phase).toBe("closed");
  });

  it("goes on serving a connection after a request that it refused", async () => {
    const socket = connect(sidecar.port("inbound"), "127.0.0.1");
    let got = "";
    socket.on("data", (chunk) => (got += String(chunk)));
    socket.write("POST /a/../b HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n");
    await until("the refusal", 2_000, () => got.startsWith("HTTP/1.1 400"));
    socket.write("bodyGET /next HTTP/1.1\r\nhost: a\r\n\r\n");
    await until("the next answer", 2_000, () => got.includes("HTTP/1.1 200"));
    expect(app.requests.map(({ target }) => target)).toEqual(["/next"]);
    socket.destroy();
  });

  it("passes WebSockets through, and a refusal to upgrade as it is", async () => {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "chat" });
    await once(server, "listening");
    server.on("connection", (socket) =>
      socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary })),
    );
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const beside = await new SidecarProcess([
      "--inbound",
      "127.0.0.1:0",
      "--app",
      `http://127.0.0.1:${port}`,
    ]).ready();
    const client = new WebSocket(`${beside.url("inbound").replace("http", "ws")}/ws`, ["chat"]);
    await once(client, "open");
    expect(client.protocol).toBe("chat");
    const bytes = Buffer.alloc(200_000, 7);
    client.send(bytes);
    const [echo]: Buffer[] = await once(client, "message");
    expect(echo.equals(bytes)).toBe(true);
    client.close(4001, "bye");
    expect((await once(client, "close"))[0]).toBe(4001);
    await beside.stop();
    server.close();
    handle = (_, response) => void response.writeHead(426).end("no");
    const headers = {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-key": "x",
      "sec-websocket-version": "13",
    };
    app.requests.length = 0;
    expect(await ask({ path: "/ws", headers })).toMatchObject({ status: 426, body: "no" });
  });

  it("counts limits and obeys operators, with nothing remote", async () => {
    expect((await ask({ path: "/few/1" })).status).toBe(200);
    expect((await ask({ path: "/few/2" })).headers.ratelimit).toMatch(/"few";r=0/);
    expect((await ask({ path: "/few/3" })).status).toBe(429);
    const headers = { authorization: "Bearer secret", "content-type": "application/json" };
    const url = `${sidecar.url("admin")}/_gateway/overrides/app`;
    const forced = await fetch(url, {
      method: "PUT",
      headers,
      body: JSON.stringify({ breaker: "open", forMs: 60_000 }),
    });
    expect(forced.status).toBe(200);
    expect((await ask({ path: "/x" })).status).toBe(503);
    expect((await fetch(url, { method: "DELETE", headers })).status).toBe(200);
    expect((await ask({ path: "/x" })).status).toBe(200);
    expect((await fetch(url)).status).toBe(401);
  });

  it("takes no method that only a server knows for a bug", async () => {
    const path = "/_gateway/health";
    expect((await ask({ path, method: "TRACE" })).status).toBe(401);
    const headers = { authorization: "Bearer secret" };
    expect((await ask({ path, method: "TRACE", headers })).status).toBe(404);
    const metrics = await (await fetch(`${sidecar.url("admin")}/metrics`)).text();
    expect(metrics).toMatch(/^tidegate_bugs_total 0$/m);
  });

  // There is no Python here.
  it.skipIf(PYTHON === undefined)("serves in front of a program that knows nothing of it", async () => {
    const port = await freePort("127.0.0.1", 24_000 + (process.pid % 1_000));
    const python = spawn(PYTHON ?? "", ["-m", "http.server", String(port), "--bind", "127.0.0.1"], {
      cwd: import.meta.dirname,
      stdio: "ignore",
    });
    await until("Python listens", 15_000, () => portIsOpen(port));
    const beside = await new SidecarProcess([
      "--inbound",
      "127.0.0.1:0",
      "--app",
      `http://127.0.0.1:${port}`,
    ]).ready();
    const answer = await fetch(`${beside.url("inbound")}/inbound.test.ts`);
    expect(answer.status).toBe(200);
    expect(await answer.text()).toContain("knows nothing of it");
    python.kill("SIGKILL");
    await once(python, "exit");
    const down = await fetch(`${beside.url("inbound")}/x`);
    expect(down.status).toBe(502);
    expect(await down.json()).toMatchObject({ code: "upstream_unreachable", upstream: "app" });
    await beside.stop();
  });
});

interface Reply {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly raw: readonly string[];
  readonly body: string;
  readonly bytes: Buffer;
}
