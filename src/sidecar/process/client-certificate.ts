// The peer's identity in Envoy's form, `x-forwarded-client-cert`:
//
//   Hash=<SHA-256 of the certificate>;Subject="<RFC 2253>";URI=<name>;DNS=<name>
//
// (Envoy's documentation, "HTTP header manipulation"). Whatever a certificate says stays within its own
// value: what ends a value or an element is quoted and escaped.

import type { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";

const NEEDS_QUOTES = /[,;="\\\s]/;
const BEYOND_ASCII = /[^\u0020-\u007e]/gu;

const known = new WeakMap<TLSSocket, string | null>();

/** The identity that a connection's peer has proved; null: it has shown no certificate that counts. */
export function identityOf(socket: TLSSocket): string | null {
  const before = known.get(socket);
  if (before !== undefined) return before;
  const identity = socket.authorized ? describe(socket) : null;
  known.set(socket, identity);
  return identity;
}

function describe(socket: TLSSocket): string | null {
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined ? null : formatIdentity(certificate);
}

type Names = Pick<X509Certificate, "fingerprint256" | "subject" | "subjectAltName">;

export function formatIdentity(certificate: Names): string {
  const { fingerprint256, subject, subjectAltName } = certificate;
  const parts = [
    `Hash=${fingerprint256.replaceAll(":", "").toLowerCase()}`,
    `Subject=${quote(formatSubject(subject))}`,
  ];
  for (const { kind, name } of parseAltNames(subjectAltName ?? "")) {
    const isTold = kind === "URI" || kind === "DNS";
    if (isTold) parts.push(`${kind}=${NEEDS_QUOTES.test(name) ? quote(name) : name}`);
  }
  return parts.join(";");
}

/** Node gives one attribute a line, escaped by RFC 2253, in the certificate's order, which RFC 2253 turns. */
function formatSubject(lines: string): string {
  return lines
    .split("\n")
    .filter((line) => line !== "")
    .toReversed()
    .map((line) => line.replaceAll(BEYOND_ASCII, escapeBytes))
    .join(",");
}

function escapeBytes(character: string): string {
  return [...Buffer.from(character)]
    .map((byte) => `\\${byte.toString(16).padStart(2, "0").toUpperCase()}`)
    .join("");
}

/** A quote that is escaped already, as in a subject, stays so. */
function quote(value: string): string {
  return `"${value.replaceAll(/\\.|"/g, (found) => (found === '"' ? '\\"' : found))}"`;
}

interface AltName {
  readonly kind: string;
  readonly name: string;
}

/** `URI:spiffe://a/b, DNS:"a, b"`: names with anything unusual are JSON texts. */
export function parseAltNames(text: string): AltName[] {
  const names: AltName[] = [];
  for (const [, kind, quoted, plain] of text.matchAll(
    /([A-Za-z ]+):(?:("(?:[^"\\]|\\.)*")|([^,]*))(?:, |$)/g,
  )) {
    const name = quoted === undefined ? plain : parseQuoted(quoted);
    names.push({ kind, name: name.replaceAll(BEYOND_ASCII, (character) => encodeURIComponent(character)) });
  }
  return names;
}

function parseQuoted(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch {
    return text;
  }
}
