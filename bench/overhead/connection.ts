// One keep-alive HTTP/1.1 connection, one request at a time. Understands what the measured Workers
// answer, bodies with a length and chunked ones, and nothing else.
import { connect, type Socket } from "node:net";

const END_OF_HEADERS = "\r\n\r\n";
const LAST_CHUNK = "0\r\n\r\n";

export class Connection {
  readonly #socket: Socket;
  #pending = "";
  #answered: ((status: string) => void) | null = null;
  #failed: ((error: Error) => void) | null = null;

  static open(port: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1", () => resolve(new Connection(socket)));
      socket.once("error", reject);
    });
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => this.#take(chunk.toString("latin1")));
    socket.on("close", () => this.#failed?.(new Error("the connection was closed")));
  }

  /** Sends a whole request; resolves with the status of its answer once all of it is there. */
  send(request: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#answered = resolve;
      this.#failed = reject;
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#failed = null;
    this.#socket.destroy();
  }

  #take(text: string): void {
    this.#pending = this.#pending === "" ? text : this.#pending + text;
    const end = this.#pending.indexOf(END_OF_HEADERS);
    if (end < 0) return;
    const length = contentLength(this.#pending, end);
    const complete =
      length === null
        ? this.#pending.endsWith(LAST_CHUNK)
        : this.#pending.length >= end + END_OF_HEADERS.length + length;
    if (!complete) return;
    const status = this.#pending.slice(9, 12);
    this.#pending = "";
    this.#answered?.(status);
  }
}

function contentLength(answer: string, end: number): number | null {
  const at = answer.search(/\r\ncontent-length:/i);
  return at < 0 || at > end ? null : Number.parseInt(answer.slice(at + "\r\ncontent-length:".length), 10);
}
