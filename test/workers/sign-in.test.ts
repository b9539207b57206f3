// How a relay signs in, in the runtime whose cryptography it uses. SCRAM is tried with a real server in
// test/integration/postgres/gateway.test.ts.

import { describe, expect, it } from "vitest";
import { MAX_ITERATIONS, SignIn } from "../../src/delivery/relays/sign-in.ts";

const encoder = new TextEncoder();
const CREDENTIALS = { user: "postgres", password: "secret", database: "shop" };
const nothing = new Uint8Array(0);

/** What stands behind the type and the length of a message. */
function bodyOf(message: Uint8Array | null): string {
  return new TextDecoder().decode(message?.subarray(5));
}

describe("signing in", () => {
  it("gives the password as it is, or hashed with the server's salt", async () => {
    const signIn = new SignIn(CREDENTIALS);
    expect(bodyOf(await signIn.answer(3, nothing))).toBe("secret\0");
    expect(bodyOf(await signIn.answer(5, new Uint8Array([1, 2, 3, 4])))).toBe(
      "md5bb41a296aab6baccb36ff243a562abff\0",
    );
  });

  it("begins SCRAM where the server offers it, and answers no server that plays false", async () => {
    const signIn = new SignIn(CREDENTIALS);
    const first = bodyOf(await signIn.answer(10, encoder.encode("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")));
    const nonce = /^SCRAM-SHA-256\0.{4}n,,n=,r=(.+)$/s.exec(first)?.[1] ?? "";
    expect(nonce).toHaveLength(24);
    const challenge = (text: string) => signIn.answer(11, encoder.encode(text));
    await expect(challenge("r=other,s=c2FsdA==,i=4096")).rejects.toThrow("nonce");
    await expect(challenge(`r=${nonce},s=c2FsdA==,i=4096`)).rejects.toThrow("nonce");
    await expect(challenge(`r=${nonce}x,s=c2FsdA==,i=${MAX_ITERATIONS + 1}`)).rejects.toThrow(
      "too much work",
    );
    expect(bodyOf(await challenge(`r=${nonce}x,s=c2FsdA==,i=4096`))).toMatch(
      /^c=biws,r=.+x,p=[A-Za-z0-9+/]{43}=$/,
    );
    // It has to know the password, too.
    await expect(signIn.answer(12, encoder.encode("v=AAAA"))).rejects.toThrow("does not know the password");
  });

  it("says which ways it does not know", async () => {
    const signIn = new SignIn(CREDENTIALS);
    await expect(signIn.answer(10, encoder.encode("OTHER\0\0"))).rejects.toThrow("SCRAM-SHA-256");
    await expect(signIn.answer(7, nothing)).rejects.toThrow("not spoken here (7)");
  });
});
