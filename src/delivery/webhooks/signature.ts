// Standard Webhooks signatures, version 1 (specification 1.0.0).
//
//   signed     <webhook-id> . <webhook-timestamp> . <body>          the very bytes that are sent
//   signature  v1,<base64 of HMAC-SHA256 with the secret's bytes>   one for each secret, separated by spaces
//
// While a secret is replaced, both sign: a receiver takes either. Each try signs anew, with its own time.

import { decodeBase64, encodeBase64 } from "../events/base64.ts";

/** Of one endpoint, while secrets are replaced. */
export const MAX_SECRETS = 10;
/** What the specification asks for; shorter ones work, `check` advises against them. */
export const MIN_SECRET_BYTES = 24;
export const SECRET_PREFIX = "whsec_";

/** The key in a secret, with or without its prefix; null for what is empty or no base64. */
export function secretBytes(secret: string): Uint8Array | null {
  const encoded = secret.startsWith(SECRET_PREFIX) ? secret.slice(SECRET_PREFIX.length) : secret;
  const bytes = decodeBase64(encoded.trim());
  return bytes === null || bytes.length === 0 ? null : bytes;
}

export interface Signed {
  readonly id: string;
  /** Seconds since the epoch. */
  readonly timestamp: number;
  readonly body: Uint8Array;
}

/** The value of `webhook-signature`; null when there is no secret, too many, or one that is unusable. */
export async function signWebhook(signed: Signed, secrets: readonly string[]): Promise<string | null> {
  if (secrets.length === 0 || secrets.length > MAX_SECRETS) return null;
  const content = signedContent(signed);
  const signatures: string[] = [];
  for (const secret of secrets) {
    const bytes = secretBytes(secret);
    if (bytes === null) return null;
    signatures.push(`v1,${encodeBase64(await hmacSha256(bytes, content))}`);
  }
  return signatures.join(" ");
}

function signedContent({ id, timestamp, body }: Signed): Uint8Array {
  const head = new TextEncoder().encode(`${id}.${timestamp}.`);
  const content = new Uint8Array(head.length + body.length);
  content.set(head);
  content.set(body, head.length);
  return content;
}

async function hmacSha256(secret: Uint8Array, content: Uint8Array): Promise<Uint8Array> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", secret, algorithm, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, content));
}

const PLAIN_ID = /^[A-Za-z0-9_-]{1,128}$/;

/**
 * The `webhook-id` of an event: the same for every try. Its own id where that can stand in what is signed
 * (no dot); else a name made of its source and its id.
 */
export async function webhookId(source: string, id: string): Promise<string> {
  if (PLAIN_ID.test(id)) return id;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`${source}\n${id}`));
  const name = encodeBase64(new Uint8Array(digest).subarray(0, 24));
  return `evt_${name.replaceAll("+", "-").replaceAll("/", "_")}`;
}
