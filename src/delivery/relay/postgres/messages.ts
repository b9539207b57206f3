// The frontend's half of Postgres' protocol 3.0, as much as a relay says: sign in, one statement at a time
// (parse, bind, describe, execute, sync), good bye. Every value is text; what type a parameter has the
// statement says.
// https://www.postgresql.org/docs/current/protocol-message-formats.html

import type { Parameter } from "../connection.ts";

const PROTOCOL = 196_608;
const encoder = new TextEncoder();

export interface Credentials {
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

export function startupMessage({ user, database }: Credentials): Uint8Array {
  const settings = { user, database, client_encoding: "UTF8", application_name: "tidegate" };
  const pairs = Object.entries(settings).flatMap(([name, value]) => [cString(name), cString(value)]);
  return framed(null, [int32(PROTOCOL), ...pairs, new Uint8Array(1)]);
}

/** A password, clear or hashed as the server has asked. */
export function passwordMessage(password: string): Uint8Array {
  return framed("p", [cString(password)]);
}

/** The first word of SCRAM. */
export function saslInitialMessage(mechanism: string, response: string): Uint8Array {
  const bytes = encoder.encode(response);
  return framed("p", [cString(mechanism), int32(bytes.length), bytes]);
}

export function saslResponseMessage(response: string): Uint8Array {
  return framed("p", [encoder.encode(response)]);
}

/** One statement with its parameters. */
export function statementMessages(text: string, parameters: readonly Parameter[]): Uint8Array {
  const values = parameters.map((parameter) => encoder.encode(parameterText(parameter)));
  const portal = new Uint8Array(1);
  return joined([
    framed("P", [cString(""), cString(text), int16(0)]),
    framed("B", [
      cString(""),
      cString(""),
      int16(0),
      int16(values.length),
      ...values.flatMap((value) => [int32(value.length), value]),
      int16(0),
    ]),
    framed("D", [encoder.encode("P"), portal]),
    framed("E", [portal, int32(0)]),
    framed("S", []),
  ]);
}

export function terminateMessage(): Uint8Array {
  return framed("X", []);
}

/** A parameter as the text that Postgres reads; lists as literals of arrays: `{"a","b"}`. */
export function parameterText(parameter: Parameter): string {
  if (typeof parameter === "string") return parameter;
  if (typeof parameter === "number") return String(parameter);
  return `{${parameter.map((each) => `"${each.replaceAll(/["\\]/g, String.raw`\$&`)}"`).join(",")}}`;
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function framed(type: string | null, parts: readonly Uint8Array[]): Uint8Array {
  const body = joined(parts);
  return joined([...(type === null ? [] : [encoder.encode(type)]), int32(body.length + 4), body]);
}

/** What an attribute or a statement holds ends at its first NUL. */
function cString(text: string): Uint8Array {
  return encoder.encode(`${text}\0`);
}

function int16(value: number): Uint8Array {
  return new Uint8Array([value >> 8, value]);
}

function int32(value: number): Uint8Array {
  return new Uint8Array([value >> 24, value >> 16, value >> 8, value]);
}
