// The outbound side as a proxy: requests of absolute form and tunnels. What belongs to an upstream goes
// through the pipeline; the rest is passed on as it is, with a breaker on connections alone.

import type { IncomingMessage, ServerResponse } from "node:http";
import { request as requestHttp } from "node:http";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { UPSTREAM_SUFFIX } from "../../config/call-routes.ts";
import type { Plan } from "../../config/plan.ts";
import { MAX_SIDECAR_VISITS } from "../../edge/outbound.ts";
import { removeHopByHop } from "../../http/hop-by-hop.ts";
import type { ProblemCode } from "../../http/problem.ts";
import { PROBLEMS, problemBody } from "../../http/problem.ts";
import { retryAfterSeconds } from "../../http/retry-after.ts";
import { appendVia, viaNames } from "../../http/via.ts";
import { Outcome } from "../../resilience/outcome.ts";
import type { Telemetry } from "../../telemetry/telemetry.ts";
import { AuthorityBreakers, CONNECT_TIMEOUT_MS } from "./authority-breakers.ts";
import { Fields } from "./fields.ts";
import type { Directed, Listener } from "./listener.ts";
import { directOrigin } from "./listener.ts";
import { directProxy } from "./proxy-target.ts";
import { joinSockets } from "./upgrade.ts";

const NO_ROUTE = -1;
const AUTHORITY = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/;
const NO_UPSTREAM =
  "Only configured upstreams may be called through this sidecar: add one, or allow any host.";
const USE_CONNECT = "A proxy passes https on in a tunnel alone: send CONNECT.";
const OPAQUE =
  "A tunnel cannot be looked into: call this upstream by http, the sidecar speaks TLS to its targets.";

export interface ProxyOptions {
  readonly plan: Plan;
  readonly telemetry: Telemetry;
  /** Whether hosts that no upstream stands for may be called. */
  readonly allowsAnyHost: boolean;
}

/** Lets a listener's clients use it as an HTTP proxy. */
export function addProxy(listener: Listener, options: ProxyOptions): void {
  const proxy = new Proxy(listener, options);
  listener.direct = (message, response) => proxy.direct(message, response);
  listener.server.on("connect", (message: IncomingMessage, socket: Duplex, head: Buffer) =>
    proxy.tunnel(message, socket, head),
  );
}

class Proxy {
  readonly #listener: Listener;
  readonly #options: ProxyOptions;
  readonly #breakers = new AuthorityBreakers();

  constructor(listener: Listener, options: ProxyOptions) {
    this.#listener = listener;
    this.#options = options;
  }

  direct(message: IncomingMessage, response: ServerResponse): Directed | null {
    const { url = "" } = message;
    if (url.startsWith("/") || url === "*") return directOrigin(message);
    const to = directProxy(url, this.#options.plan.upstreams);
    if (to.kind === "upstream") return to;
    if (to.kind === "malformed") refuse(response, "bad_request", {});
    else if (!this.#options.allowsAnyHost) refuse(response, "route_not_found", { detail: NO_UPSTREAM });
    else this.#forward(message, response, to.url);
    return null;
  }

  /** A request to a host that nothing is configured for. */
  #forward(message: IncomingMessage, response: ServerResponse, url: URL): void {
    const { plan } = this.#options;
    const fields = Fields.ofRaw(message.rawHeaders);
    const via = fields.get("via");
    if (url.protocol !== "http:") return refuse(response, "bad_request", { detail: USE_CONNECT });
    if (via !== null && viaNames(via, plan.name, MAX_SIDECAR_VISITS)) {
      return refuse(response, "loop_detected", {});
    }
    const admission = this.#breakers.admit(url.host, Date.now());
    if (admission.kind === "open") return refuseOpen(response, admission.retryAfterMs);
    removeHopByHop(fields, false);
    fields.set("via", appendVia(via, plan.name));
    fields.set("host", url.host);
    const target = message.url?.replace(/^http:\/\/[^/?]+/i, "") ?? "/";
    const outgoing = requestHttp({
      host: url.hostname.replaceAll(/^\[|\]$/g, ""),
      port: url.port === "" ? 80 : Number(url.port),
      path: target.startsWith("/") ? target : `/${target}`,
      method: message.method,
      headers: fields.toRaw(),
      setHost: false,
    });
    const finish = once(admission.finish);
    const startedAt = Date.now();
    response.once("finish", () =>
      this.#report(message.method ?? "", url.host, response.statusCode, startedAt),
    );
    outgoing.on("socket", (socket) => {
      if (!socket.connecting) return finish(Outcome.ok);
      socket.setTimeout(CONNECT_TIMEOUT_MS, () => {
        if (socket.connecting) socket.destroy(new Error("no connection in time"));
      });
      socket.once("connect", () => {
        socket.setTimeout(0);
        finish(Outcome.ok);
      });
    });
    outgoing.on("response", (answer) => {
      const answered = Fields.ofRaw(answer.rawHeaders);
      removeHopByHop(answered, false);
      response.writeHead(answer.statusCode ?? 502, answered.toRaw());
      answer.on("error", () => response.destroy());
      answer.pipe(response);
    });
    outgoing.on("error", () => {
      finish(response.destroyed ? Outcome.ignored : Outcome.failLocal);
      if (response.headersSent) response.destroy();
      else refuse(response, "upstream_unreachable", {});
    });
    response.on("close", () => outgoing.destroy());
    message.pipe(outgoing);
  }

  tunnel(message: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on("error", () => {});
    const end = this.#listener.begin();
    socket.once("close", end);
    const authority = AUTHORITY.exec(message.url ?? "");
    if (authority === null) return refuseTunnel(socket, "bad_request", {});
    const [, bracketed, port] = authority;
    const host = bracketed.replaceAll(/^\[|\]$/g, "");
    if (host.toLowerCase().endsWith(UPSTREAM_SUFFIX)) {
      return refuseTunnel(socket, "bad_request", { detail: OPAQUE });
    }
    if (!this.#options.allowsAnyHost && !this.#isTarget(bracketed, port)) {
      return refuseTunnel(socket, "route_not_found", { detail: NO_UPSTREAM });
    }
    const admission = this.#breakers.admit(`${bracketed.toLowerCase()}:${port}`, Date.now());
    if (admission.kind === "open") {
      return refuseTunnel(socket, "circuit_open", retryMembers(admission.retryAfterMs));
    }
    const finish = once(admission.finish);
    const startedAt = Date.now();
    let status = PROBLEMS.upstream_unreachable.status;
    socket.once("close", () => this.#report("CONNECT", authority[0], status, startedAt));
    const outgoing = connect({ host, port: Number(port) });
    outgoing.setTimeout(CONNECT_TIMEOUT_MS, () => outgoing.destroy(new Error("no connection in time")));
    const refused = (): void => {
      finish(socket.destroyed ? Outcome.ignored : Outcome.failLocal);
      refuseTunnel(socket, "upstream_unreachable", {});
    };
    const hungUp = (): void => void outgoing.destroy();
    outgoing.once("error", refused);
    socket.once("close", hungUp);
    outgoing.once("connect", () => {
      finish(Outcome.ok);
      status = 200;
      outgoing.setTimeout(0);
      outgoing.off("error", refused);
      socket.off("close", hungUp);
      socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      if (head.length > 0) outgoing.write(head);
      joinSockets(socket, outgoing);
    });
  }

  /** Counts and writes down what went past the pipeline, by its authority alone. */
  #report(method: string, authority: string, status: number, startedAt: number): void {
    const { telemetry } = this.#options;
    const now = Date.now();
    telemetry.answered(method, NO_ROUTE, status, null, now - startedAt);
    if (!telemetry.accessLog.wants(now)) return;
    const nothing = { query: "", route: null, upstream: null, consumer: null, code: null, failure: null };
    const record = {
      requestId: crypto.randomUUID(),
      traceId: "",
      method,
      path: authority,
      status,
      ...nothing,
    };
    telemetry.logRequest({ ...record, class: "P1", tries: 1, durationMs: now - startedAt }, now);
  }

  #isTarget(host: string, port: string): boolean {
    const defaults: Record<string, string> = { "http:": "80", "https:": "443" };
    return this.#options.plan.upstreams.some(({ targets }) =>
      targets.some(({ baseUrl }) => {
        const url = new URL(baseUrl);
        const targetPort = url.port === "" ? defaults[url.protocol] : url.port;
        return url.hostname === host.toLowerCase() && targetPort === port;
      }),
    );
  }
}

type Members = Record<string, string | number>;

function problem(code: ProblemCode, members: Members): { fields: Record<string, string>; body: string } {
  const requestId = crypto.randomUUID();
  const { retryAfter } = members;
  return {
    body: problemBody(code, requestId, members),
    fields: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      "x-request-id": requestId,
      ...(retryAfter === undefined ? {} : { "retry-after": String(retryAfter) }),
    },
  };
}

function retryMembers(retryAfterMs: number): Members {
  return { retryAfter: retryAfterSeconds(Math.max(1, retryAfterMs)) };
}

function refuse(response: ServerResponse, code: ProblemCode, members: Members): void {
  const { fields, body } = problem(code, members);
  response.writeHead(PROBLEMS[code].status, fields).end(body);
}

function refuseOpen(response: ServerResponse, retryAfterMs: number): void {
  refuse(response, "circuit_open", retryMembers(retryAfterMs));
}

/** Answers a CONNECT that leads nowhere, and ends its connection. `more`: fields besides the problem's. */
export function refuseTunnel(
  socket: Duplex,
  code: ProblemCode,
  members: Members,
  more: Record<string, string> = {},
): void {
  const { fields, body } = problem(code, members);
  const { status, title } = PROBLEMS[code];
  const about = { "content-length": Buffer.byteLength(body), connection: "close" };
  const lines = Object.entries({ ...fields, ...more, ...about });
  const written = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  socket.end(`HTTP/1.1 ${status} ${title}\r\n${written}\r\n${body}`);
}

function once(finish: (outcome: Outcome) => void): (outcome: Outcome) => void {
  let isDone = false;
  return (outcome) => {
    if (isDone) return;
    isDone = true;
    finish(outcome);
  };
}
