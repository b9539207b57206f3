// A connection to Postgres over a socket, for a relay: one statement at a time, each with a deadline. It is
// a few kilobytes, where a driver from the registry would be ten times that and need Node's modules.
//
// A statement that is refused leaves the connection usable; anything else that goes wrong ends it.

import type { Connection, Parameter } from "../relay/connection.ts";
import { AnswerReader, type Answer } from "../relay/postgres/answers.ts";
import {
  startupMessage,
  statementMessages,
  terminateMessage,
  type Credentials,
} from "../relay/postgres/messages.ts";
import { SignIn } from "./sign-in.ts";

/** The part of a TCP socket that is used here. */
export interface ByteSocket {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  close(): Promise<void>;
}

/** Until the server is ready for the first statement. */
export const OPEN_TIMEOUT_MS = 10_000;
/** Hyperdrive ends a statement after 60 s; a relay's are short. */
export const STATEMENT_TIMEOUT_MS = 20_000;

interface StatementResult {
  readonly rows: readonly unknown[];
}

export class PostgresConnection implements Connection {
  readonly #socket: ByteSocket;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #answers = new AnswerReader();
  #waiting: Answer[] = [];
  #broken: Error | null = null;

  constructor(socket: ByteSocket) {
    this.#socket = socket;
    this.#reader = socket.readable.getReader();
    this.#writer = socket.writable.getWriter();
  }

  /** Signs in. Rejects when the server refuses or does not answer in time; then the socket is closed. */
  async open(credentials: Credentials): Promise<void> {
    await this.#within(OPEN_TIMEOUT_MS, () => this.#signIn(credentials));
  }

  async query(text: string, parameters: readonly Parameter[]): Promise<StatementResult> {
    if (this.#broken !== null) throw this.#broken;
    return this.#within(STATEMENT_TIMEOUT_MS, () => this.#run(text, parameters));
  }

  /** Says good bye; never rejects. */
  async close(): Promise<void> {
    if (this.#broken === null) await this.#writer.write(terminateMessage()).catch(() => null);
    this.#end(new Error("the connection is closed"));
  }

  async #signIn(credentials: Credentials): Promise<void> {
    const signIn = new SignIn(credentials);
    await this.#writer.write(startupMessage(credentials));
    for (;;) {
      const answer = await this.#next();
      if (answer.kind === "ready") return;
      if (answer.kind === "error") throw new Error(describe(answer));
      if (answer.kind !== "authentication" || answer.code === 0) continue;
      const reply = await signIn.answer(answer.code, answer.data);
      if (reply !== null) await this.#writer.write(reply);
    }
  }

  async #run(text: string, parameters: readonly Parameter[]): Promise<StatementResult> {
    await this.#writer.write(statementMessages(text, parameters));
    const rows: object[] = [];
    let columns: readonly string[] = [];
    let refusal: Error | null = null;
    for (;;) {
      const answer = await this.#next();
      if (answer.kind === "columns") columns = answer.names;
      if (answer.kind === "row") {
        rows.push(Object.fromEntries(columns.map((name, index) => [name, answer.values[index]])));
      }
      // The server says that it is ready behind an error too.
      if (answer.kind === "error") refusal ??= new StatementRefused(describe(answer));
      if (answer.kind !== "ready") continue;
      if (refusal !== null) throw refusal;
      return { rows };
    }
  }

  async #next(): Promise<Answer> {
    for (;;) {
      const answer = this.#waiting.shift();
      if (answer !== undefined) return answer;
      const { value, done } = await this.#reader.read();
      if (done) throw new Error("the server has closed the connection");
      this.#waiting = this.#answers.read(value);
    }
  }

  async #within<Result>(ms: number, work: () => Promise<Result>): Promise<Result> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error(`the server did not answer within ${ms} ms`)), ms);
    try {
      return await Promise.race([work(), late]);
    } catch (error) {
      if (!(error instanceof StatementRefused)) this.#end(error);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #end(error: unknown): void {
    if (this.#broken !== null) return;
    this.#broken = error instanceof Error ? error : new Error(String(error));
    void closeQuietly(this.#socket);
  }
}

async function closeQuietly(socket: ByteSocket): Promise<void> {
  try {
    await socket.close();
  } catch {
    // It is closed already.
  }
}

class StatementRefused extends Error {}

function describe({ code, text }: Extract<Answer, { kind: "error" }>): string {
  return code === "" ? text : `${text} (${code})`;
}
