// A server in front of the pipeline: node:http or node:https, one engine behind it. It counts what is under
// way, so that a drain knows when nothing is.

import { Server as HttpServer, ServerResponse } from "node:http";
import type { IncomingMessage, ServerOptions } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { Engine } from "../../edge/engine.ts";
import { MAX_HEADER_BYTES } from "../../edge/inbound-headers.ts";
import { runPipeline } from "../../edge/pipeline.ts";
import type { Caller, Shell } from "../../edge/shell.ts";
import { Verdict } from "../../edge/verdict.ts";
import { startSaga } from "../../saga/start.ts";
import { writeAnswer } from "./answer-writer.ts";
import { isAnswered } from "./answered.ts";
import { Fields } from "./fields.ts";
import { Incoming, asRequest } from "./incoming.ts";
import { joinSockets } from "./upgrade.ts";

/** A connection without a request is kept so long; longer than clients commonly keep theirs. */
const KEEP_ALIVE_MS = 65_000;
/** From the connection on, a request's header fields must be there by then. */
const HEADERS_TIMEOUT_MS = 60_000;
/** The pipeline refuses too much with a problem. It counts names and values; the parser counts all. */
const PARSER_HEADER_BYTES = 4 * MAX_HEADER_BYTES;

/** What both kinds of servers are made with. */
export const SERVER_OPTIONS: ServerOptions = {
  keepAliveTimeout: KEEP_ALIVE_MS,
  headersTimeout: HEADERS_TIMEOUT_MS,
  // An upload may take as long as its route's deadline allows.
  requestTimeout: 0,
  maxHeaderSize: PARSER_HEADER_BYTES,
  noDelay: true,
  // Who asks for another protocol, or sends a body along, is answered as if it had not asked.
  shouldUpgradeCallback: asksForWebSocket,
};

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface ListenerOptions {
  readonly engine: Engine;
  readonly answerOwnPath: Shell["answerOwnPath"];
  /** What the peer has proved to be, as `x-forwarded-client-cert` shows it; null: nothing. */
  readonly identityOf: (socket: TLSSocket) => string | null;
  /** Whether clients are others: then their addresses are told on. The service beside us has none to tell. */
  readonly isForNetwork: boolean;
  /** A server for TLS, with what its certificates say. */
  readonly secure: HttpsServer | null;
}

/** What becomes of a request before the pipeline sees it: `target` is path and query. */
export interface Directed {
  readonly target: string;
  /** In place of the request's own `host`. */
  readonly host: string | null;
}

/** No path at all: the pipeline refuses it. */
const NO_TARGET = "";

/** A request of origin form; one of absolute form means the same (RFC 9112 3.2.2). */
export function directOrigin({ url = "" }: IncomingMessage): Directed {
  if (url.startsWith("/")) return { target: url, host: null };
  const absolute = /^https?:\/\/([^/?]*)(.*)$/i.exec(url);
  if (absolute === null) return { target: NO_TARGET, host: null };
  const [, host, target] = absolute;
  return { target: target.startsWith("/") ? target : `/${target}`, host };
}

export class Listener {
  readonly server: HttpServer | HttpsServer;
  readonly #options: ListenerOptions;
  #underWay = 0;
  #lastRequestAt = 0;
  #isDraining = false;
  /** null: answers leave as they come. */
  #held: Promise<void> | null = null;
  /** Where a request of this form goes; null: the listener has answered it. */
  direct: (message: IncomingMessage, response: ServerResponse) => Directed | null = directOrigin;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.server = options.secure ?? new HttpServer(SERVER_OPTIONS);
    const { server } = this;
    // Their size is bounded. Of more than a number, the parser would leave out some without a word.
    server.maxHeadersCount = 0;
    server.on("request", (message, response) => this.#serve(message, response));
    server.on("upgrade", (message, socket, head) => this.#upgrade(message, socket, head));
  }

  get underWay(): number {
    return this.#underWay;
  }

  get lastRequestAt(): number {
    return this.#lastRequestAt;
  }

  async listen({ host, port }: Address): Promise<AddressInfo> {
    await new Promise<void>((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen({ host, port }, resolve);
    });
    const address = this.server.address();
    if (address === null || typeof address === "string") throw new Error("no address");
    return address;
  }

  /** Something that is no request of the pipeline begins; call what it returns when it ends. */
  begin(): () => void {
    this.#underWay++;
    this.#lastRequestAt = Date.now();
    return () => void this.#underWay--;
  }

  /** From now on every answer is the last one of its connection. */
  drain(): void {
    this.#isDraining = true;
  }

  /** No answer begins before then. */
  holdAnswers(until: Promise<void>): void {
    this.#held = until;
  }

  #serve(message: IncomingMessage, response: ServerResponse): void {
    const end = this.begin();
    response.once("close", end);
    const directed = this.direct(message, response);
    if (directed === null) return;
    const incoming = this.#read(message, directed);
    incoming.headers.delete("upgrade");
    incoming.follow(response);
    const answer = this.#run(message, incoming);
    if (answer instanceof Promise) {
      void answer.then((settled) => this.#write(message, response, settled));
    } else void this.#write(message, response, answer);
  }

  async #write(message: IncomingMessage, response: ServerResponse, answer: Response): Promise<void> {
    if (this.#held !== null) await this.#held;
    return writeAnswer(message, response, answer, this.#isDraining).catch(() => void response.destroy());
  }

  #upgrade(message: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Versions of Node that do not ask beforehand hand over every request that names a protocol.
    if (!asksForWebSocket(message)) {
      socket.destroy();
      return;
    }
    const end = this.begin();
    socket.once("close", end);
    socket.on("error", () => {});
    const response = new ServerResponse(message);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a server has such sockets
    response.assignSocket(socket as Socket);
    response.shouldKeepAlive = false;
    response.once("finish", () => socket.end());
    const directed = this.direct(message, response);
    if (directed === null) return;
    const incoming = this.#read(message, directed);
    incoming.follow(response);
    void Promise.resolve(this.#run(message, incoming)).then((answer) => {
      if (!isAnswered(answer) || answer.tunnel === null) {
        void this.#write(message, response, answer);
        return;
      }
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as above
      response.detachSocket(socket as Socket);
      writeUpgrade(socket, answer.headers);
      if (answer.tunnel.head.length > 0) socket.write(answer.tunnel.head);
      if (head.length > 0) answer.tunnel.socket.write(head);
      joinSockets(socket, answer.tunnel.socket);
    });
  }

  #read(message: IncomingMessage, { target, host }: Directed): Incoming {
    const fields = Fields.ofRaw(message.rawHeaders);
    if (host !== null) fields.set("host", host);
    const { secure, identityOf } = this.#options;
    if (secure === null) return new Incoming(message, target, fields, false, null);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a server for TLS has such sockets
    return new Incoming(message, target, fields, true, identityOf(message.socket as TLSSocket));
  }

  #run(message: IncomingMessage, incoming: Incoming): Response | Promise<Response> {
    const caller: Caller = {
      address: this.#options.isForNetwork ? plainAddress(message.socket.remoteAddress) : null,
      // HTTP/1.0 can do without one; the URL here is made up and names none.
      host: incoming.headers.has("host") ? null : "",
      leastClass: 0,
      // Who has proved who it is may say that its requests matter less; so may the service beside us.
      mayNameClass: incoming.identity !== null || !this.#options.isForNetwork,
    };
    return runPipeline(this.#options.engine, asRequest(incoming), {
      caller,
      acceptJob: acceptNoJob,
      startSaga,
      publishRequest: acceptNoJob,
      answerOwnPath: this.#options.answerOwnPath,
      waitUntil: (work) => void work.catch(() => {}),
    });
  }
}

function asksForWebSocket({ method, headers }: IncomingMessage): boolean {
  const hasBody = headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
  return method === "GET" && headers.upgrade?.toLowerCase() === "websocket" && !hasBody;
}

function writeUpgrade(socket: Duplex, fields: Fields): void {
  fields.set("connection", "upgrade");
  const lines = [...fields].map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}\r\n`);
}

/** There are no queues and no events: a configuration with them was refused. */
export function acceptNoJob(): Promise<Verdict> {
  return Promise.resolve(Verdict.notAccepted);
}

/** An IPv4 address as such, also where the socket is one for both families. */
function plainAddress(address = ""): string {
  return address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
}
