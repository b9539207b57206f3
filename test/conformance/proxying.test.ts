// What passes through the gateway: bodies both ways as they arrive, every kind of status, fields that may
// occur several times, and the path as it is sent to the target that was chosen. A target that is a binding
// needs a second Worker and is tested where there is one.
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, it } from "vitest";
import {
  startGateway,
  startUpstream,
  until,
  type RunningGateway,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { fieldOf, openSocket, requestBytes, send, sendBytes } from "./support/raw-http.ts";

const LARGE_BYTES = 20 * 1024 * 1024;
const LARGE_BODY = randomBytes(LARGE_BYTES);
const LARGE_HASH = createHash("sha256").update(LARGE_BODY).digest("hex");
const ZIPPED = gzipSync("the same bytes ".repeat(100));
/** Permits of the upstream behind `/narrow`. */
const NARROW = 4;

/** Stands where a handler will put what a test calls. */
const notYet = (): void => {};

let gateway: RunningGateway;
let main: RunningUpstream;
let heavy: RunningUpstream;
let light: RunningUpstream;
/** Set by a test: answers the requests for `/custom/...`. */
let custom: (request: IncomingMessage, response: ServerResponse) => void;

beforeAll(async () => {
  main = await startUpstream(handle);
  heavy = await startUpstream();
  light = await startUpstream();
  const config = {
    upstreams: {
      main: { targets: [main.url] },
      based: { targets: [`${main.url}/base/v2`] },
      narrow: { targets: [main.url], concurrency: { max: NARROW, adaptive: false, waiting: 0 } },
      // Left alone by no breaker, whatever it answers.
      frail: { targets: [main.url], breaker: false },
      weighted: { targets: [{ url: heavy.url, weight: 3 }, light.url] },
    },
    routes: [
      { path: "/narrow/*", upstream: "narrow", request: { path: "/*" } },
      { path: "/frail/*", upstream: "frail", request: { path: "/*" } },
      { path: "/based/*", upstream: "based" },
      { path: "/moved/*", upstream: "main", request: { path: "/charge/*" } },
      { path: "/users/:id/posts/*", upstream: "main", request: { path: "/by-id/:id/p/*" } },
      { path: "/fixed/*", upstream: "based", request: { path: "/one" } },
      { path: "/weighted/*", upstream: "weighted" },
      { path: "/*", upstream: "main" },
    ],
  };
  gateway = await startGateway({ config });
});

afterAll(async () => {
  await gateway?.stop();
  for (const upstream of [main, heavy, light]) await upstream?.stop();
});

function handle(request: IncomingMessage, response: ServerResponse): void {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://upstream");
  if (pathname.startsWith("/custom")) return custom(request, response);
  request.resume();
  const status = Number(searchParams.get("status") ?? 200);
  if (pathname === "/zipped") {
    response.writeHead(200, { "content-encoding": "gzip", "content-length": ZIPPED.length }).end(ZIPPED);
  } else if (pathname === "/status") {
    response.writeHead(status, { etag: '"v1"' }).end(status >= 400 ? `status ${status}` : undefined);
  } else response.end("ok");
}

function hashOf(stream: IncomingMessage): Promise<string> {
  const hash = createHash("sha256");
  return new Promise((resolve, reject) => {
    stream.on("data", (chunk: Buffer) => hash.update(chunk));
    stream.on("end", () => resolve(hash.digest("hex")));
    stream.on("error", reject);
  });
}

describe("streaming", () => {
  it("sends the first byte of a chunked upload on before the body ends", async ({ expect }) => {
    const seen: string[] = [];
    custom = (request, response) => {
      request.on("data", (chunk: Buffer) => seen.push(chunk.toString()));
      request.on("end", () => response.end(seen.join("")));
    };
    const socket = openSocket(gateway.url);
    socket.write("POST /custom HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    await until("the first chunk is upstream", 3000, () => seen.length === 1);
    socket.write("4\r\nlast\r\n0\r\n\r\n");
    const [answer] = await once(socket, "data");
    expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /);
    expect(seen.join("")).toBe("firstlast");
    socket.destroy();
  });

  it("sends the first byte of an upload with content-length on before the body ends", async ({ expect }) => {
    const seen: string[] = [];
    custom = (request, response) => {
      request.on("data", (chunk: Buffer) => seen.push(chunk.toString()));
      request.on("end", () => response.end("done"));
    };
    const socket = openSocket(gateway.url);
    socket.write("PUT /custom HTTP/1.1\r\nHost: g\r\nContent-Length: 9\r\n\r\nfirst");
    await until("the first bytes are upstream", 3000, () => seen.length === 1);
    socket.write("last");
    const [answer] = await once(socket, "data");
    expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /);
    expect(seen.join("")).toBe("firstlast");
    expect(main.requests.at(-1)?.headers["content-length"]).toBe("9");
    socket.destroy();
  });

  it("hands the first byte of an answer on before it ends", async ({ expect }) => {
    let finish = notYet;
    custom = (request, response) => {
      request.resume();
      response.write("first");
      finish = () => response.end("last");
    };
    const { body } = await fetch(`${gateway.url}/custom`);
    const reader = body?.getReader();
    const first = await reader?.read();
    expect(new TextDecoder().decode(first?.value)).toBe("first");
    finish();
    const last = await reader?.read();
    expect(new TextDecoder().decode(last?.value)).toBe("last");
    expect((await reader?.read())?.done).toBe(true);
  });

  it("hands server-sent events on one by one", async ({ expect }) => {
    let emit: (event: string) => void = notYet;
    custom = (request, response) => {
      request.resume();
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      emit = (event) => void response.write(`data: ${event}\n\n`);
    };
    const { headers, body } = await fetch(`${gateway.url}/custom`);
    expect(headers.get("content-type")).toBe("text/event-stream");
    const reader = body?.getReader();
    for (const event of ["one", "two"]) {
      emit(event);
      const { value } = (await reader?.read()) ?? {};
      expect(new TextDecoder().decode(value)).toBe(`data: ${event}\n\n`);
    }
    await reader?.cancel();
  });

  it("ends the upstream's stream when the client leaves it", async ({ expect }) => {
    let ended = false;
    custom = (request, response) => {
      request.resume();
      // The runtime notices that nobody reads when there is something to hand on.
      const ticking = setInterval(() => response.write("tick"), 20);
      response.on("close", () => {
        clearInterval(ticking);
        ended = true;
      });
    };
    const leaving = new AbortController();
    const { body } = await fetch(`${gateway.url}/custom`, { signal: leaving.signal });
    await body?.getReader().read();
    leaving.abort();
    await until("the upstream sees the end", 5000, () => ended);
    expect(ended).toBe(true);
  });

  it("breaks the client's answer off when the upstream breaks off", async ({ expect }) => {
    custom = (request, response) => {
      request.resume();
      response.writeHead(200, { "content-length": "100" });
      response.write("half", () => response.destroy());
    };
    const response = await fetch(`${gateway.url}/custom`);
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
  });
});

describe("bodies", () => {
  it("takes 20 MiB up, with and without a length", async ({ expect }) => {
    const lengths: unknown[] = [];
    custom = (request, response) => {
      lengths.push(request.headers["content-length"]);
      void hashOf(request).then((hash) => response.end(hash));
    };
    const known = await fetch(`${gateway.url}/custom`, { method: "POST", body: LARGE_BODY });
    expect(await known.text()).toBe(LARGE_HASH);
    const chunked = await fetch(`${gateway.url}/custom`, {
      method: "POST",
      body: new Blob([LARGE_BODY]).stream(),
      duplex: "half",
    });
    expect(await chunked.text()).toBe(LARGE_HASH);
    expect(lengths).toEqual([String(LARGE_BYTES), undefined]);
  });

  it("brings 20 MiB down", async ({ expect }) => {
    custom = (request, response) => {
      request.resume();
      response.end(LARGE_BODY);
    };
    const response = await fetch(`${gateway.url}/custom`);
    expect(response.headers.get("content-length")).toBe(String(LARGE_BYTES));
    const body = Buffer.from(await response.arrayBuffer());
    expect(createHash("sha256").update(body).digest("hex")).toBe(LARGE_HASH);
  });

  it("leaves compressed bytes as they are", async ({ expect }) => {
    const fields = [["Accept-Encoding", "br;q=0.5, gzip"]] as const;
    const answer = await send(gateway.url, { target: "/zipped", fields });
    expect(fieldOf(answer, "content-encoding")).toBe("gzip");
    expect(answer.body.equals(ZIPPED)).toBe(true);
    expect(main.requests.at(-1)?.headers["accept-encoding"]).toBe("br;q=0.5, gzip");
  });

  it("leaves compressed bytes as they are for a client that did not ask for them", async ({ expect }) => {
    const answer = await send(gateway.url, { target: "/zipped" });
    expect(fieldOf(answer, "content-encoding")).toBe("gzip");
    expect(answer.body.equals(ZIPPED)).toBe(true);
  });

  it("leaves a compressed upload as it is", async ({ expect }) => {
    let received = Buffer.alloc(0);
    custom = (request, response) => {
      request.on("data", (chunk: Buffer) => (received = Buffer.concat([received, chunk])));
      request.on("end", () => response.end());
    };
    await send(gateway.url, {
      method: "POST",
      target: "/custom",
      fields: [["Content-Encoding", "gzip"]],
      body: ZIPPED,
    });
    expect(received.equals(ZIPPED)).toBe(true);
    expect(main.requests.at(-1)?.headers["content-encoding"]).toBe("gzip");
  });

  it("sends no body where the client sent none", async ({ expect }) => {
    await send(gateway.url, { method: "POST", target: "/x", body: "" });
    expect(main.requests.at(-1)?.headers["content-length"] ?? "0").toBe("0");
    await send(gateway.url, { method: "DELETE", target: "/x" });
    expect(main.requests.at(-1)?.headers["transfer-encoding"]).toBeUndefined();
  });

  it.for(["GET", "HEAD"])("hands the body of a %s on, and tries it once", async (method, { expect }) => {
    const received: string[] = [];
    custom = (request, response) => {
      let text = "";
      request.on("data", (chunk: Buffer) => (text += chunk.toString()));
      request.on("end", () => {
        received.push(text);
        response.writeHead(503).end();
      });
    };
    const answer = await send(gateway.url, { method, target: "/frail/custom", body: "a query" });
    expect(answer.status).toBe(503);
    expect(received).toEqual(["a query"]);
    expect(main.requests.at(-1)?.headers["content-length"]).toBe("7");
  });

  it.for(["GET", "HEAD"])(
    "takes a %s that says that its body is empty for one without",
    async (method, { expect }) => {
      const before = main.requests.length;
      const answer = await send(gateway.url, { method, target: "/frail/status?status=503", body: "" });
      expect(answer.status).toBe(503);
      expect(main.requests.length - before).toBe(2);
    },
  );

  it("refuses the body of a GET that does not say how long it is", async ({ expect }) => {
    const head = "GET /x HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n";
    const answer = await sendBytes(gateway.url, Buffer.from(`${head}3\r\nabc\r\n0\r\n\r\n`));
    expect(answer.status).toBe(400);
    expect(answer.body.toString()).toContain("content-length");
  });

  it("drops trailers both ways", async ({ expect }) => {
    let trailers: unknown = null;
    custom = (request, response) => {
      request.resume();
      request.on("end", () => {
        trailers = request.trailers;
        response.writeHead(200, { trailer: "x-sum" });
        response.write("body");
        response.addTrailers({ "x-sum": "1" });
        response.end();
      });
    };
    const head = "POST /custom HTTP/1.1\r\nHost: g\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n";
    const answer = await sendBytes(gateway.url, Buffer.from(`${head}3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n`));
    expect(trailers).toEqual({});
    expect(main.requests.at(-1)?.headers["trailer"]).toBeUndefined();
    expect(answer.body.toString()).toBe("body");
    expect(fieldOf(answer, "trailer")).toBeNull();
    expect(fieldOf(answer, "x-sum")).toBeNull();
  });

  it("does not forward Expect", async ({ expect }) => {
    const answer = await send(gateway.url, {
      method: "POST",
      target: "/expecting",
      fields: [["Expect", "100-continue"]],
      body: "abc",
    });
    expect(answer.status).toBe(200);
    expect(main.requests.at(-1)).toMatchObject({ target: "/expecting" });
    expect(main.requests.at(-1)?.headers["expect"]).toBeUndefined();
  });
});

describe("statuses", () => {
  it("hands 103 to nobody and the final answer on", async ({ expect }) => {
    custom = (request, response) => {
      request.resume();
      response.writeEarlyHints({ link: "</a.css>; rel=preload" });
      setTimeout(() => response.end("final"), 20);
    };
    const socket = openSocket(gateway.url);
    socket.write(requestBytes({ target: "/custom" }));
    const [bytes] = await once(socket, "data");
    expect(String(bytes)).toMatch(/^HTTP\/1\.1 200 /);
    socket.destroy();
  });

  it.for([204, 205, 304])("hands %i on without a body", async (status, { expect }) => {
    const answer = await send(gateway.url, { target: `/status?status=${status}` });
    expect(answer.status).toBe(status);
    expect(fieldOf(answer, "etag")).toBe('"v1"');
    expect(answer.body).toHaveLength(0);
    expect(fieldOf(answer, "content-length") ?? "0").toBe("0");
  });

  it("answers HEAD with the fields of the upstream and no body", async ({ expect }) => {
    custom = (request, response) => {
      request.resume();
      response.writeHead(200, { "content-length": "1234", etag: '"head"' }).end();
    };
    const answer = await send(gateway.url, { method: "HEAD", target: "/custom" });
    expect(answer.status).toBe(200);
    expect(main.requests.at(-1)?.method).toBe("HEAD");
    expect(fieldOf(answer, "etag")).toBe('"head"');
    expect(fieldOf(answer, "content-length")).toBe("1234");
  });

  it.for([301, 302, 303, 307, 308])(
    "hands redirect %i on and does not follow it",
    async (status, { expect }) => {
      custom = (request, response) => {
        request.resume();
        response.writeHead(status, { location: `${main.url}/elsewhere` }).end();
      };
      const before = main.requests.length;
      const answer = await send(gateway.url, { target: "/custom" });
      expect(answer.status).toBe(status);
      expect(fieldOf(answer, "location")).toBe(`${main.url}/elsewhere`);
      expect(main.requests.length - before).toBe(1);
    },
  );

  it.for([400, 401, 404, 409, 429, 500, 501])(
    "hands the upstream's own %i on unchanged",
    async (status, { expect }) => {
      const answer = await send(gateway.url, { method: "POST", target: `/status?status=${status}` });
      expect(answer.status).toBe(status);
      expect(answer.body.toString()).toBe(`status ${status}`);
      expect(fieldOf(answer, "etag")).toBe('"v1"');
      expect(fieldOf(answer, "x-request-id")).not.toBeNull();
    },
  );

  it("takes a switch of protocols that nobody asked for as no answer", async ({ expect }) => {
    custom = (request) => {
      request.socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    };
    const answer = await send(gateway.url, { method: "POST", target: "/custom", body: "a" });
    expect(answer.status).toBe(502);
    expect(answer.body.toString()).toContain("upstream_invalid");
  });

  it("keeps several set-cookie several", async ({ expect }) => {
    custom = (request, response) => {
      request.resume();
      response.writeHead(200, { "set-cookie": ["a=1; Path=/", "b=2, still b", "c=3"] }).end();
    };
    const answer = await send(gateway.url, { target: "/custom" });
    const cookies = answer.fields.filter(([name]) => name === "set-cookie").map(([, value]) => value);
    expect(cookies).toEqual(["a=1; Path=/", "b=2, still b", "c=3"]);
  });
});

describe("where a request goes", () => {
  it.for([
    ["/plain", "/plain"],
    ["/", "/"],
    ["/based/a", "/base/v2/based/a"],
    ["/based/a//b/%7Ec;d=1", "/base/v2/based/a//b/%7Ec;d=1"],
    ["/moved/a/b", "/charge/a/b"],
    ["/moved/a%20b/%C3%A4?x=1", "/charge/a%20b/%C3%A4?x=1"],
    ["/users/u%2B1/posts/7/8?page=2", "/by-id/u%2B1/p/7/8?page=2"],
    ["/fixed/whatever?keep=me", "/base/v2/one?keep=me"],
  ] as const)("sends %s as %s", async ([target, expected], { expect }) => {
    await send(gateway.url, { target });
    expect(main.requests.at(-1)?.target).toBe(expected);
  });

  it.for([
    "?",
    "?a=1&a=2",
    "?q=%2F..%2f%5C&r=a+b%20c",
    "?x=/../..//\\&y=?z",
    "?%zz&=&&",
    "?t=~!$()*,;:@|{}^`[]",
  ])("keeps the query %s byte for byte", async (query, { expect }) => {
    await send(gateway.url, { target: `/query${query}` });
    expect(main.requests.at(-1)?.target).toBe(`/query${query}`);
  });

  it("spreads requests over targets by their weights", async ({ expect }) => {
    const rounds = 200;
    for (let round = 0; round < rounds; round += 10) {
      await Promise.all(Array.from({ length: 10 }, () => send(gateway.url, { target: "/weighted/x" })));
    }
    expect(heavy.requests.length + light.requests.length).toBe(rounds);
    // 3 : 1 is 150 of 200; by chance alone (sd 6) less than 120 or more than 180 is one in a million.
    expect(heavy.requests.length).toBeGreaterThan(120);
    expect(heavy.requests.length).toBeLessThan(180);
  });
});

describe("permits", () => {
  it("end at the response headers: open streams take none", async ({ expect }) => {
    const open: ServerResponse[] = [];
    custom = (request, response) => {
      request.resume();
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: first\n\n");
      open.push(response);
    };
    const readers = [];
    for (let stream = 0; stream < NARROW * 4; stream++) {
      const { status, body } = await fetch(`${gateway.url}/narrow/custom`);
      expect(status).toBe(200);
      readers.push(body?.getReader());
    }
    expect((await send(gateway.url, { target: "/narrow/plain" })).status).toBe(200);
    for (const reader of readers) expect((await reader?.read())?.done).toBe(false);
    for (const response of open) response.end();
    for (const reader of readers) expect((await reader?.read())?.done).toBe(true);
  });

  it("come back when clients leave before the headers", async ({ expect }) => {
    const held: ServerResponse[] = [];
    custom = (request, response) => {
      request.resume();
      held.push(response);
    };
    const sockets = Array.from({ length: NARROW }, () => {
      const socket = openSocket(gateway.url);
      socket.write(requestBytes({ target: "/narrow/custom" }));
      return socket;
    });
    await until("all are upstream", 3000, () => held.length === NARROW);
    expect((await send(gateway.url, { target: "/narrow/plain" })).status).toBe(503);
    for (const socket of sockets) socket.destroy();
    await pause(50);
    for (const response of held) response.end();
    await until(
      "permits are back",
      5000,
      async () => (await send(gateway.url, { target: "/narrow/plain" })).status === 200,
    );
  });
});
