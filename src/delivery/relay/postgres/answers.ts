// The backend's half of Postgres' protocol: bytes become messages, whatever pieces they come in.

import { joined } from "./messages.ts";

/** No message that is read here is longer. A row's payload is cut off by its statement long before. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

export type Answer =
  /** 0: signed in; else what the server wants to see, with its data. */
  | { readonly kind: "authentication"; readonly code: number; readonly data: Uint8Array }
  | { readonly kind: "error"; readonly code: string; readonly text: string }
  | { readonly kind: "columns"; readonly names: readonly string[] }
  | { readonly kind: "row"; readonly values: readonly (string | null)[] }
  /** The server waits for the next statement. */
  | { readonly kind: "ready" }
  | { readonly kind: "other" };

const decoder = new TextDecoder();
const HEAD_BYTES = 5;

/** What has come and is no whole message yet. */
export class AnswerReader {
  #rest: Uint8Array = new Uint8Array(0);
  #parts: Uint8Array[] = [];
  #held = 0;

  /** The messages that are complete with these bytes. Throws on bytes that no server sends. */
  read(bytes: Uint8Array): Answer[] {
    this.#parts.push(bytes);
    this.#held += bytes.length;
    if (this.#held < this.#needed) return [];
    this.#rest = joined([this.#rest, ...this.#parts]);
    this.#parts = [];
    const answers: Answer[] = [];
    let at = 0;
    while (this.#rest.length - at >= HEAD_BYTES) {
      const length = int32At(this.#rest, at + 1);
      if (length < 4 || length > MAX_MESSAGE_BYTES) throw new Error("this is no Postgres server");
      if (this.#rest.length - at < length + 1) break;
      const body = this.#rest.subarray(at + HEAD_BYTES, at + 1 + length);
      answers.push(parseAnswer(String.fromCharCode(this.#rest[at]), body));
      at += length + 1;
    }
    this.#rest = this.#rest.slice(at);
    this.#held = this.#rest.length;
    return answers;
  }

  /** Large messages come in many pieces: they are put together once. */
  get #needed(): number {
    return this.#rest.length < HEAD_BYTES ? HEAD_BYTES : int32At(this.#rest, 1) + 1;
  }
}

function parseAnswer(type: string, body: Uint8Array): Answer {
  switch (type) {
    case "R":
      return { kind: "authentication", code: int32At(body, 0), data: body.slice(4) };
    case "E":
      return parseError(body);
    case "T":
      return { kind: "columns", names: parseColumns(body) };
    case "D":
      return { kind: "row", values: parseRow(body) };
    case "Z":
      return { kind: "ready" };
    default:
      return { kind: "other" };
  }
}

function parseError(body: Uint8Array): Answer {
  const fields = new Map(
    decoder
      .decode(body)
      .split("\0")
      .map((field) => [field.slice(0, 1), field.slice(1)]),
  );
  return { kind: "error", code: fields.get("C") ?? "", text: fields.get("M") ?? "the server gave no reason" };
}

/** Behind each name stand 18 bytes about its type. */
function parseColumns(body: Uint8Array): string[] {
  const names: string[] = [];
  let at = 2;
  for (let count = int16At(body, 0); count > 0; count--) {
    const end = body.indexOf(0, at);
    names.push(decoder.decode(body.subarray(at, end)));
    at = end + 1 + 18;
  }
  return names;
}

function parseRow(body: Uint8Array): (string | null)[] {
  const values: (string | null)[] = [];
  let at = 2;
  for (let count = int16At(body, 0); count > 0; count--) {
    const length = int32At(body, at);
    at += 4;
    values.push(length < 0 ? null : decoder.decode(body.subarray(at, at + length)));
    at += Math.max(0, length);
  }
  return values;
}

function int16At(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

function int32At(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}
