// TLS of the inbound side: certificate, key and the authorities of clients, from files that are looked at
// again while it runs. What is new counts from the next handshake on; connections stay as they are. A set
// that is broken, or half written, changes nothing.

import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { Server, ServerOptions } from "node:https";
import { createSecureContext } from "node:tls";

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
  /** Authorities that clients must show a certificate of; null: they need none. */
  readonly clientCa: string | null;
}

export interface SecureServer {
  readonly server: Server;
  /** Reads the files again; null: they are in force, or what is wrong with them. */
  reload(): string | null;
}

type Loaded =
  | { readonly ok: true; readonly context: { cert: Buffer; key: Buffer; ca?: Buffer } }
  | { readonly ok: false; readonly errors: readonly string[] };

/** A server for the files as they are now; else one line for each that is wrong. */
export function createSecureServer(
  files: CertificateFiles,
  options: ServerOptions,
): SecureServer | { readonly errors: readonly string[] } {
  const loaded = load(files);
  if (!loaded.ok) return { errors: loaded.errors };
  const requiresClient = files.clientCa !== null;
  const server = createServer({
    ...options,
    ...loaded.context,
    ALPNProtocols: ["http/1.1"],
    requestCert: requiresClient,
    rejectUnauthorized: requiresClient,
  });
  return {
    server,
    reload() {
      const again = load(files);
      if (!again.ok) return again.errors.join("; ");
      server.setSecureContext(again.context);
      return null;
    },
  };
}

function load({ cert, key, clientCa }: CertificateFiles): Loaded {
  const errors: string[] = [];
  const read = (option: string, file: string): Buffer => {
    try {
      return readFileSync(file);
    } catch (error) {
      errors.push(`--${option} ${file}: ${messageOf(error)}`);
      return Buffer.alloc(0);
    }
  };
  const pair = { cert: read("tls-cert", cert), key: read("tls-key", key) };
  const context = clientCa === null ? pair : { ...pair, ca: read("client-ca", clientCa) };
  if (errors.length > 0) return { ok: false, errors };
  try {
    createSecureContext(pair);
  } catch (error) {
    return { ok: false, errors: [`--tls-cert ${cert} and --tls-key ${key}: ${messageOf(error)}`] };
  }
  try {
    createSecureContext(context);
  } catch (error) {
    return { ok: false, errors: [`--client-ca ${clientCa}: ${messageOf(error)}`] };
  }
  if (context !== pair && !/-----BEGIN CERTIFICATE-----/.test(String("ca" in context ? context.ca : ""))) {
    return { ok: false, errors: [`--client-ca ${clientCa}: holds no certificate in PEM form`] };
  }
  return { ok: true, context };
}

function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n")[0];
}
