// How a relay shows the server who it is: SCRAM-SHA-256 (RFC 5802, RFC 7677), MD5, or the password as it is.
// Hyperdrive's own sockets never leave Cloudflare's network; in local development the server is beside us.

import {
  passwordMessage,
  saslInitialMessage,
  saslResponseMessage,
  type Credentials,
} from "../relay/postgres/messages.ts";

const CLEAR = 3;
const MD5 = 5;
const SASL = 10;
const SASL_CONTINUE = 11;
const SASL_FINAL = 12;
const MECHANISM = "SCRAM-SHA-256";
/** No channel binding: `n,,` in base64. */
const NO_BINDING = "biws";
/** A server that asks for more work than this is none of ours (Workers refuse more, too). */
export const MAX_ITERATIONS = 100_000;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Answers what the server asks; one for each connection. */
export class SignIn {
  readonly #credentials: Credentials;
  readonly #nonce: string;
  #expected: string | null = null;

  constructor(credentials: Credentials) {
    this.#credentials = credentials;
    this.#nonce = base64(crypto.getRandomValues(new Uint8Array(18)));
  }

  /** The answer; null: there is nothing to say. Throws what is to be told of a server that is refused. */
  async answer(code: number, data: Uint8Array): Promise<Uint8Array | null> {
    const { user, password } = this.#credentials;
    switch (code) {
      case CLEAR:
        return passwordMessage(password);
      case MD5:
        return passwordMessage(`md5${await md5(await md5(password + user), data.subarray(0, 4))}`);
      case SASL: {
        const offered = decoder.decode(data).split("\0");
        if (!offered.includes(MECHANISM)) throw new Error(`the server signs nobody in by ${MECHANISM}`);
        return saslInitialMessage(MECHANISM, `n,,n=,r=${this.#nonce}`);
      }
      case SASL_CONTINUE:
        return saslResponseMessage(await this.#prove(decoder.decode(data)));
      case SASL_FINAL:
        if (this.#expected !== decoder.decode(data)) throw new Error("the server does not know the password");
        return null;
      default:
        throw new Error(`the server signs in in a way that is not spoken here (${code})`);
    }
  }

  /** The user's name stands in the first message of the connection, so it is empty here. */
  async #prove(challenge: string): Promise<string> {
    const fields = new Map(challenge.split(",").map((field) => [field.slice(0, 1), field.slice(2)]));
    const [nonce = "", salt = "", iterations = "0"] = ["r", "s", "i"].map((name) => fields.get(name));
    const count = Number(iterations);
    const isAnswer = nonce.startsWith(this.#nonce) && nonce !== this.#nonce;
    if (!isAnswer) throw new Error("the server's nonce is wrong");
    if (!(count >= 1 && count <= MAX_ITERATIONS)) throw new Error("the server asks for too much work");
    const salted = await stretch(this.#credentials.password, fromBase64(salt), count);
    const clientKey = await hmac(salted, "Client Key");
    const stored = new Uint8Array(await crypto.subtle.digest("SHA-256", clientKey));
    const bare = `c=${NO_BINDING},r=${nonce}`;
    const signed = `n=,r=${this.#nonce},${challenge},${bare}`;
    const signature = await hmac(stored, signed);
    const proof = clientKey.map((byte, index) => byte ^ signature[index]);
    this.#expected = `v=${base64(await hmac(await hmac(salted, "Server Key"), signed))}`;
    return `${bare},p=${base64(proof)}`;
  }
}

async function stretch(password: string, salt: Uint8Array<ArrayBuffer>, iterations: number) {
  const key = await crypto.subtle.importKey("raw", encoder.encode(password), "PBKDF2", false, ["deriveBits"]);
  return new Uint8Array(
    await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt, iterations }, key, 256),
  );
}

async function hmac(keyBytes: Uint8Array<ArrayBuffer>, text: string): Promise<Uint8Array<ArrayBuffer>> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", keyBytes, algorithm, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(text)));
}

/** Hex. The runtime knows MD5 for the sake of protocols like this one. */
async function md5(text: string, salt: Uint8Array = new Uint8Array(0)): Promise<string> {
  const bytes = new Uint8Array([...encoder.encode(text), ...salt]);
  const digest = new Uint8Array(await crypto.subtle.digest("MD5", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}
