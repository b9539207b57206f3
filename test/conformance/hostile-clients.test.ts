// What a client does to its own request says nothing about the upstream: nobody can open a breaker for
// everybody else by aborting, stalling, lying or hurrying, nor keep permits that nobody uses.
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, it } from "vitest";
import {
  startGateway,
  startUpstream,
  until,
  type RunningGateway,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { openSocket, send, sendBytes } from "./support/raw-http.ts";
import { upstreamView } from "./support/state.ts";

/** More than any rule of the breaker below needs. */
const TIMES = 12;
const UPSTREAM_TIMEOUT_MS = 300;
const SLOW_MS = 150;

type Attack = (path: string) => Promise<void>;

let gateway: RunningGateway;
let upstream: RunningUpstream;

/** Opens a connection, writes, waits a moment, and ends it in the way given. */
function abandon(head: string, how: "half-closed" | "reset" | "stalled"): Attack {
  return async (path) => {
    const socket = openSocket(gateway.url);
    socket.on("error", () => {});
    socket.resume();
    socket.write(head.replace("PATH", path));
    await pause(how === "stalled" ? UPSTREAM_TIMEOUT_MS + 150 : 40);
    if (how === "half-closed") socket.end();
    else socket.resetAndDestroy();
    await pause(20);
    socket.destroy();
  };
}

function request(method: string, fields: string, body: string): string {
  return `${method} PATH HTTP/1.1\r\nHost: g\r\n${fields}\r\n\r\n${body}`;
}

const SMALL = request("POST", "Content-Length: 1000", "x".repeat(100));
const SMALL_REPEATABLE = request("PUT", "Content-Length: 1000", "x".repeat(100));
const LARGE = request("POST", "Content-Length: 1000000", "x".repeat(100_000));
const LARGE_REPEATABLE = request("PUT", "Content-Length: 1000000", "x".repeat(100_000));
const CHUNKED = request("POST", "Transfer-Encoding: chunked", `64\r\n${"x".repeat(100)}\r\n`);
const CHUNKED_REPEATABLE = request("PUT", "Transfer-Encoding: chunked", `64\r\n${"x".repeat(100)}\r\n`);
const NO_BODY = request("GET", "Accept: */*", "");

function asking(method: string, fields: readonly (readonly [string, string])[], body?: string): Attack {
  return async (path) => {
    // A refusal may come, and end the connection, before all is written.
    await send(gateway.url, { method, target: path, fields, ...(body === undefined ? {} : { body }) }).catch(
      () => {},
    );
  };
}

const ATTACKS: Readonly<Record<string, Attack>> = {
  "small-half-closed": abandon(SMALL, "half-closed"),
  "small-reset": abandon(SMALL, "reset"),
  "small-stalled": abandon(SMALL, "stalled"),
  "small-repeatable-half-closed": abandon(SMALL_REPEATABLE, "half-closed"),
  "small-repeatable-reset": abandon(SMALL_REPEATABLE, "reset"),
  "small-repeatable-stalled": abandon(SMALL_REPEATABLE, "stalled"),
  "large-half-closed": abandon(LARGE, "half-closed"),
  "large-reset": abandon(LARGE, "reset"),
  "large-stalled": abandon(LARGE, "stalled"),
  "large-repeatable-half-closed": abandon(LARGE_REPEATABLE, "half-closed"),
  "large-repeatable-reset": abandon(LARGE_REPEATABLE, "reset"),
  "large-repeatable-stalled": abandon(LARGE_REPEATABLE, "stalled"),
  "chunked-half-closed": abandon(CHUNKED, "half-closed"),
  "chunked-reset": abandon(CHUNKED, "reset"),
  "chunked-stalled": abandon(CHUNKED, "stalled"),
  "chunked-repeatable-half-closed": abandon(CHUNKED_REPEATABLE, "half-closed"),
  "chunked-repeatable-reset": abandon(CHUNKED_REPEATABLE, "reset"),
  "chunked-repeatable-stalled": abandon(CHUNKED_REPEATABLE, "stalled"),
  "answer-not-awaited": abandon(NO_BODY, "reset"),
  "answer-half-awaited": abandon(NO_BODY, "half-closed"),
  "broken-chunks": async (path) => {
    const bytes = `POST ${path} HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\nnonsense\r\n`;
    await sendBytes(gateway.url, Buffer.from(bytes)).catch(() => {});
  },
  "no-time": asking("GET", [["X-Tidegate-Deadline-Ms", "1"]]),
  "little-time": asking("GET", [["X-Tidegate-Deadline-Ms", String(SLOW_MS / 3)]]),
  "little-time-post": asking("POST", [["X-Tidegate-Deadline-Ms", String(SLOW_MS / 3)]], "body"),
  "too-large": asking("POST", [], "x".repeat(3_000_000)),
  "too-large-streamed": async (path) => {
    const chunk = `186a0\r\n${"x".repeat(100_000)}\r\n`;
    const head = `POST ${path} HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n`;
    await sendBytes(gateway.url, Buffer.from(`${head}${chunk.repeat(25)}0\r\n\r\n`)).catch(() => {});
  },
  trace: asking("TRACE", []),
  "get-with-body": asking("GET", [], "a body"),
  "odd-upgrade": asking("GET", [
    ["Connection", "upgrade"],
    ["Upgrade", "websocket"],
  ]),
  "odd-upgrade-post": asking(
    "POST",
    [
      ["Connection", "upgrade"],
      ["Upgrade", "websocket"],
    ],
    "a body",
  ),
};

beforeAll(async () => {
  upstream = await startUpstream((incoming, response) => {
    incoming.on("error", () => {});
    incoming.resume();
    if (incoming.method === "GET" && incoming.url?.includes("quick") !== true) {
      setTimeout(() => response.end("ok"), SLOW_MS);
    } else incoming.on("end", () => response.end("ok"));
  });
  const one = {
    targets: [upstream.url],
    timeout: UPSTREAM_TIMEOUT_MS,
    breaker: { consecutive: 3, minimumCalls: 3, openFor: "60s", maxOpenFor: "60s" },
    concurrency: { max: 100, adaptive: false },
  };
  const names = Object.keys(ATTACKS);
  const patient = { targets: [upstream.url], concurrency: { max: 4, adaptive: false, waiting: 0 } };
  gateway = await startGateway({
    config: {
      upstreams: { ...Object.fromEntries(names.map((name) => [name, one])), patient },
      routes: [...names, "patient"].map((name) => ({
        path: `/${name}/*`,
        upstream: name,
        bodyLimit: "2MiB",
      })),
    },
  });
});

afterAll(async () => {
  await gateway?.stop();
  await upstream?.stop();
});

describe("a hostile client", () => {
  it.concurrent.for(Object.entries(ATTACKS))(
    "cannot open a breaker: %s",
    async ([name, attack], { expect }) => {
      await Promise.all(Array.from({ length: TIMES / 2 }, () => attack(`/${name}/x`)));
      for (let count = 0; count < TIMES / 2; count++) await attack(`/${name}/x`);
      const { breaker, window } = await upstreamView(gateway, name);
      expect({ phase: breaker.phase, failRemote: window.failRemote, failLocal: window.failLocal }).toEqual({
        phase: "closed",
        failRemote: 0,
        failLocal: 0,
      });
      expect((await send(gateway.url, { target: `/${name}/quick` })).status).toBe(200);
    },
  );

  it.for(Object.keys(ATTACKS))("keeps no permit: %s", async (name, { expect }) => {
    await until("all permits are back", 3000, async () => (await upstreamView(gateway, name)).inflight === 0);
    expect((await upstreamView(gateway, name)).waiting).toBe(0);
  });

  it.for(Object.entries({ SMALL, SMALL_REPEATABLE, LARGE, CHUNKED, CHUNKED_REPEATABLE }))(
    "gives its permit back when it hangs up, long before any timeout: %s",
    async ([, head], { expect }) => {
      await Promise.all(Array.from({ length: 4 }, () => abandon(head, "reset")("/patient/x")));
      await until(
        "all permits are back",
        2000,
        async () => (await upstreamView(gateway, "patient")).inflight === 0,
      );
      expect((await send(gateway.url, { target: "/patient/quick" })).status).toBe(200);
    },
  );
});
