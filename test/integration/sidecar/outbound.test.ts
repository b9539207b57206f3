// Calls of a service through its sidecar: by an upstream's host, through an HTTP proxy, in a tunnel.
import { execFile, spawnSync } from "node:child_process";
import { createServer, request } from "node:http";
import { createServer as createTcpServer, connect } from "node:net";
import { promisify } from "node:util";
import { ProxyAgent, fetch as fetchThrough } from "undici";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startUpstream, until, type RunningUpstream } from "../rig/index.ts";
import { SidecarProcess } from "../rig/sidecar.ts";

const run = promisify(execFile);
const HAS_CURL = spawnSync("curl", ["--version"]).status === 0;
const NOBODY = "http://127.0.0.1:1";

describe("the outbound side", () => {
  let payments: RunningUpstream;
  let sidecar: SidecarProcess;
  let isFailing = false;

  beforeAll(async () => {
    payments = await startUpstream((message, response) => {
      message.resume();
      if (isFailing) response.writeHead(500);
      response.end("paid");
    });
    const config = {
      upstreams: {
        payments: {
          targets: [`${payments.url}/api`],
          breaker: { consecutive: 3, openFor: "1500ms", maxOpenFor: "1500ms", probes: 1, rampUp: "0ms" },
        },
        gone: {
          targets: [NOBODY],
          retry: false,
          breaker: { consecutive: 2, openFor: "1m", maxOpenFor: "1m" },
        },
        capped: { targets: [payments.url] },
      },
      limits: { few: { key: "route", rate: 2, per: "1h", consistency: "local" } },
      routes: [
        { path: "/background/*", hosts: ["payments.upstream"], upstream: "payments", priority: "P3" },
        { path: "/*", hosts: ["capped.upstream"], upstream: "capped", limits: ["few"] },
      ],
    };
    sidecar = await new SidecarProcess(
      ["--outbound", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
      config,
    ).ready();
  });

  afterAll(async () => {
    await sidecar.stop();
    await payments.stop();
  });

  beforeEach(() => {
    payments.requests.length = 0;
    isFailing = false;
  });

  /** As a service does whose base address is `http://<upstream>.upstream`, by a hosts entry. */
  function call(host: string, path: string, headers: Record<string, string> = {}): Promise<Reply> {
    return ask({ port: sidecar.port("outbound"), path, headers: { host, ...headers } });
  }

  async function phaseOf(upstream: string): Promise<string> {
    const state: { upstreams: Record<string, { breaker: { phase: string } }> } = JSON.parse(
      await (await fetch(`${sidecar.url("admin")}/state`)).text(),
    );
    return state.upstreams[upstream].breaker.phase;
  }

  it("takes a call by the upstream's host, whatever the port, behind the target's base path", async () => {
    const reply = await call("payments.upstream:9080", "/v1/x?a=1");
    expect(reply).toMatchObject({ status: 200, body: "paid" });
    const [seen] = payments.requests;
    expect(seen.target).toBe("/api/v1/x?a=1");
    expect(seen.headers).toMatchObject({
      host: `127.0.0.1:${payments.port}`,
      via: "1.1 tidegate-sidecar",
      "x-tidegate-class": "P1",
    });
    expect(seen.headers.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    expect(seen.headers["x-forwarded-for"]).toBeUndefined();
  });

  it("gives a call the terms of its route, and lets the service lower them further", async () => {
    await call("payments.upstream", "/background/x");
    await call("payments.upstream", "/x", { "x-tidegate-class": "P2", "x-tidegate-deadline-ms": "1500" });
    await call("payments.upstream", "/background/x", { "x-tidegate-class": "P0" });
    expect(payments.requests.map(({ headers }) => headers["x-tidegate-class"])).toEqual(["P3", "P2", "P3"]);
    expect(Number(payments.requests[1].headers["x-tidegate-deadline-ms"])).toBeLessThanOrEqual(1500);
    expect((await call("capped.upstream", "/")).status).toBe(200);
    expect((await call("capped.upstream", "/")).status).toBe(200);
    expect(await call("capped.upstream", "/")).toMatchObject({ status: 429, code: "rate_limited" });
  });

  it("refuses a host that is no upstream with a problem", async () => {
    expect(await call("nobody.upstream", "/")).toMatchObject({ status: 404, code: "route_not_found" });
    expect(await call("127.0.0.1:9080", "/")).toMatchObject({ status: 404, code: "route_not_found" });
  });

  it("opens, probes and heals for a caller that knows only its proxy", async () => {
    const dispatcher = new ProxyAgent({ uri: sidecar.url("outbound"), proxyTunnel: false });
    // The service's own address for it: what it would call without a sidecar.
    const url = `${payments.url}/api/v1/x`;
    const status = async (): Promise<number> => {
      const answer = await fetchThrough(url, { dispatcher, method: "POST", body: "1" });
      await answer.text();
      return answer.status;
    };
    expect(await status()).toBe(200);
    isFailing = true;
    for (let failures = 0; failures < 3; failures++) expect(await status()).toBe(500);
    expect(await status()).toBe(503);
    expect(await phaseOf("payments")).toBe("open");
    const reached = payments.requests.length;
    expect(await status()).toBe(503);
    expect(payments.requests.length).toBe(reached);
    isFailing = false;
    await until("healed", 10_000, async () => (await status()) === 200);
    await until("closed", 10_000, async () => {
      await status();
      return (await phaseOf("payments")) === "closed";
    });
    await dispatcher.close();
  });

  it("answers for an upstream that cannot be reached, and stops trying", async () => {
    expect(await call("gone.upstream", "/")).toMatchObject({ status: 502, code: "upstream_unreachable" });
    expect(await call("gone.upstream", "/")).toMatchObject({ status: 502 });
    const refused = await call("gone.upstream", "/");
    expect(refused).toMatchObject({ status: 503, code: "circuit_open" });
    expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(1);
    expect(refused.headers["proxy-status"]).toMatch(/^tidegate-sidecar; error=[a-z_]+; next-hop="gone"$/);
  });

  // There is no curl here.
  it.skipIf(!HAS_CURL)("serves curl with http_proxy in its environment", async () => {
    const env = { ...process.env, http_proxy: sidecar.url("outbound"), NO_PROXY: "", no_proxy: "" };
    const { stdout } = await run("curl", ["-s", "http://payments.upstream/v1/curl"], { env });
    expect(stdout).toBe("paid");
    expect(payments.requests.map(({ target }) => target)).toEqual(["/api/v1/curl"]);
  });

  it("passes requests to hosts that nothing is configured for, without anything of the hop", async () => {
    const other = await startUpstream();
    const headers = {
      "proxy-connection": "keep-alive",
      connection: "x-private",
      "x-private": "1",
      "x-kept": "1",
    };
    const reply = await ask({ port: sidecar.port("outbound"), path: `${other.url}/a%20b?c=d`, headers });
    expect(reply).toMatchObject({ status: 200, body: "ok" });
    expect(other.requests[0].target).toBe("/a%20b?c=d");
    expect(other.requests[0].headers).toMatchObject({ "x-kept": "1", via: "1.1 tidegate-sidecar" });
    expect(other.requests[0].headers).not.toHaveProperty("x-private");
    expect(other.requests[0].headers).not.toHaveProperty("proxy-connection");
    await other.stop();
  });

  it("tunnels bytes, and counts only connections that do not come about", async () => {
    const echo = createTcpServer((socket) => socket.on("error", () => {}).pipe(socket));
    await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
    const address = echo.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    expect(await tunnel(`127.0.0.1:${port}`, "not HTTP at all")).toMatch(
      /^HTTP\/1\.1 200 [^\r]+\r\n\r\nnot HTTP at all$/,
    );
    echo.close();
    const answers: string[] = [];
    for (let turn = 0; turn < 6; turn++) answers.push((await tunnel("127.0.0.1:1", "")).slice(9, 12));
    expect(answers).toEqual(["502", "502", "502", "502", "502", "503"]);
    // Another authority has another breaker.
    expect((await tunnel("127.0.0.1:2", "")).slice(9, 12)).toBe("502");
    expect((await tunnel("payments.upstream:443", "")).slice(9, 12)).toBe("400");
    expect((await tunnel("no authority", "")).slice(9, 12)).toBe("400");
    const metrics = await (await fetch(`${sidecar.url("admin")}/metrics`)).text();
    expect(metrics).toMatch(
      /_count\{http_route="",http_response_status_code="200",http_request_method="CONNECT"\} [1-9]/,
    );
  });

  it("writes metrics and a log that name the upstream", async () => {
    // The log is a sample: one that is not written now is written a second later.
    await until("a line about it", 10_000, async () => {
      await call("payments.upstream", "/logged", { "x-request-id": "logged-1" });
      return sidecar.log.some(({ requestId }) => requestId === "logged-1");
    });
    const metrics = await (await fetch(`${sidecar.url("admin")}/metrics`)).text();
    expect(metrics).toContain(
      'http_client_request_duration_seconds_count{tidegate_upstream="payments",outcome="ok",http_request_method=',
    );
    expect(sidecar.log.find(({ requestId }) => requestId === "logged-1")).toMatchObject({
      event: "request",
      route: "payments.upstream",
      upstream: "payments",
      status: 200,
    });
  });

  function tunnel(authority: string, text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(sidecar.port("outbound"), "127.0.0.1");
      let got = "";
      socket.on("data", (chunk) => {
        got += String(chunk);
        if (got.includes("\r\n\r\n") && got.startsWith("HTTP/1.1 200")) {
          if (got.endsWith(text)) socket.end();
          else if (got.endsWith("\r\n\r\n")) socket.write(text);
        }
      });
      socket.on("close", () => resolve(got));
      socket.on("error", reject);
      socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n\r\n`);
    });
  }
});

describe("an outbound side that keeps to its upstreams", () => {
  it("refuses every other host, by request and by tunnel", async () => {
    const known = await startUpstream();
    const other = createServer((_, response) => response.end("other"));
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const address = other.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const args = ["--outbound", "127.0.0.1:0", "--outbound-hosts", "known"];
    const sidecar = await new SidecarProcess(args, { upstreams: { a: { targets: [known.url] } } }).ready();
    try {
      const to = (url: string): Promise<Reply> =>
        ask({ port: sidecar.port("outbound"), path: url, headers: {} });
      expect(await to(`${known.url}/x`)).toMatchObject({ status: 200 });
      expect(await to(`http://127.0.0.1:${port}/`)).toMatchObject({ status: 404, code: "route_not_found" });
      expect(await connectStatus(sidecar.port("outbound"), `127.0.0.1:${port}`)).toBe(404);
      expect(await connectStatus(sidecar.port("outbound"), `127.0.0.1:${known.port}`)).toBe(200);
    } finally {
      await sidecar.stop();
      await known.stop();
      other.close();
    }
  });
});

interface Reply {
  readonly status: number;
  readonly body: string;
  readonly code: unknown;
  readonly headers: NodeJS.Dict<string | string[]>;
}

function ask(options: { port: number; path: string; headers: Record<string, string> }): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", agent: false, ...options }, (answer) => {
      let body = "";
      answer.on("data", (chunk) => (body += String(chunk)));
      answer.on("end", () => {
        const isProblem = answer.headers["content-type"] === "application/problem+json";
        const code: unknown = isProblem ? JSON.parse(body).code : null;
        resolve({ status: answer.statusCode ?? 0, body, code, headers: answer.headers });
      });
    });
    sent.on("error", reject);
    sent.end();
  });
}

function connectStatus(port: number, authority: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, method: "CONNECT", path: authority, agent: false });
    sent.on("connect", (answer, socket) => {
      socket.destroy();
      resolve(answer.statusCode ?? 0);
    });
    sent.on("error", reject);
    sent.end();
  });
}
