// Postgres' protocol, byte by byte: what is said, and what is understood however it is cut up.

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  AnswerReader,
  MAX_MESSAGE_BYTES,
  type Answer,
} from "../../../../src/delivery/relay/postgres/answers.ts";
import {
  joined,
  parameterText,
  startupMessage,
  statementMessages,
} from "../../../../src/delivery/relay/postgres/messages.ts";

const encoder = new TextEncoder();

function int32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value);
  return bytes;
}

function message(type: string, ...parts: readonly (Uint8Array | string)[]): Uint8Array {
  const body = joined(parts.map((part) => (typeof part === "string" ? encoder.encode(part) : part)));
  return joined([encoder.encode(type), int32(body.length + 4), body]);
}

function row(values: readonly (string | null)[]): Uint8Array {
  const columns = values.flatMap((value) => {
    if (value === null) return [int32(-1)];
    const bytes = encoder.encode(value);
    return [int32(bytes.length), bytes];
  });
  return message("D", new Uint8Array([0, values.length]), ...columns);
}

const ABOUT_TYPE = new Uint8Array(18);

describe("what is said", () => {
  it("begins with the protocol's version and who it is", () => {
    const bytes = startupMessage({ user: "u", password: "p", database: "d" });
    const text = "user\0u\0database\0d\0client_encoding\0UTF8\0application_name\0tidegate\0\0";
    expect(bytes).toEqual(joined([int32(8 + text.length), int32(196_608), encoder.encode(text)]));
  });

  it("is a statement with its parameters as texts", () => {
    const bytes = statementMessages("SELECT $1", ["é"]);
    const bind = joined([
      encoder.encode("\0\0"),
      new Uint8Array([0, 0, 0, 1]),
      int32(2),
      encoder.encode("é"),
      new Uint8Array(2),
    ]);
    expect(bytes).toEqual(
      joined([
        message("P", "\0SELECT $1\0", new Uint8Array(2)),
        message("B", bind),
        message("D", "P\0"),
        message("E", "\0", int32(0)),
        message("S"),
      ]),
    );
  });

  it("spells lists so that nothing in them is taken for their grammar", () => {
    expect(parameterText(["a", 'b"c', "d\\e", "", "NULL", "{,}"])).toBe(
      String.raw`{"a","b\"c","d\\e","","NULL","{,}"}`,
    );
    expect(parameterText([])).toBe("{}");
    expect(parameterText(17)).toBe("17");
  });
});

function send(length: number) {
  return () => new AnswerReader().read(joined([encoder.encode("D"), int32(length)]));
}

describe("what is understood", () => {
  const stream = joined([
    message("R", int32(0)),
    message("S", "TimeZone\0UTC\0"),
    message("T", new Uint8Array([0, 2]), "id\0", ABOUT_TYPE, "größe\0", ABOUT_TYPE),
    row(["1", null]),
    row(["", "ü"]),
    message("E", "SERROR\0C42P01\0Mno table\0\0"),
    message("Z", "I"),
  ]);
  const answers: Answer[] = [
    { kind: "authentication", code: 0, data: new Uint8Array(0) },
    { kind: "other" },
    { kind: "columns", names: ["id", "größe"] },
    { kind: "row", values: ["1", null] },
    { kind: "row", values: ["", "ü"] },
    { kind: "error", code: "42P01", text: "no table" },
    { kind: "ready" },
  ];

  it("is the same however the bytes are cut up", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: stream.length }), { maxLength: 40 }), (cuts) => {
        const reader = new AnswerReader();
        const edges = [0, ...cuts.toSorted((a, b) => a - b), stream.length];
        const read = edges.slice(1).flatMap((edge, index) => reader.read(stream.slice(edges[index], edge)));
        expect(read).toEqual(answers);
      }),
    );
  });

  it("is nothing that no server sends", () => {
    expect(send(3)).toThrow("no Postgres server");
    expect(send(MAX_MESSAGE_BYTES)).not.toThrow();
    expect(send(MAX_MESSAGE_BYTES + 1)).toThrow("no Postgres server");
  });
});
