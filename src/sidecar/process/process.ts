// The sidecar as a process: one engine, seen from two sides. Requests that come in go to the service beside
// it; calls of that service go to upstreams. Nothing is remote: no object, no store, no control plane.

import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { answerOwnPath } from "../../admin/own-paths.ts";
import type { Plan } from "../../config/plan.ts";
import { textOf, type Bindings } from "../../edge/bindings.ts";
import type { Engine } from "../../edge/engine.ts";
import { createEngine } from "../../edge/engine.ts";
import { MAX_SIDECAR_VISITS, inboundOf, outboundOf } from "../../edge/outbound.ts";
import { Telemetry } from "../../telemetry/telemetry.ts";
import { createTracer } from "../../telemetry/tracer.ts";
import { createAdminServer } from "./admin-server.ts";
import { Connections, createCarrier } from "./carrier.ts";
import type { CertificateFiles, SecureServer } from "./certificates.ts";
import { createSecureServer } from "./certificates.ts";
import { identityOf } from "./client-certificate.ts";
import { LISTEN_ON_MS, drainListener, hasTraffic } from "./drain.ts";
import type { Address } from "./listener.ts";
import { Listener, SERVER_OPTIONS } from "./listener.ts";
import { LOCAL_REGION, startLocalHub } from "./local-hub.ts";
import { addProxy, refuseTunnel } from "./proxy.ts";

/** What a 405 names (RFC 9110 15.5.6) where every method but CONNECT is the service's own matter. */
const PASSED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

export interface ProcessOptions {
  readonly plan: Plan;
  /** Secrets by name, ADMIN_TOKEN and METRICS_TOKEN among them. */
  readonly secrets: Bindings;
  readonly inbound: { readonly address: Address; readonly certificates: CertificateFiles | null } | null;
  readonly outbound: { readonly address: Address; readonly allowsAnyHost: boolean } | null;
  readonly admin: Address | null;
  /** Base URL of the service behind the inbound side; null: there is no inbound side. */
  readonly app: string | null;
  /** Takes one line of the log. */
  readonly write: (line: string) => void;
  /** Calls back when a file has changed. */
  readonly watch: (files: readonly string[], changed: () => void) => void;
}

export interface RunningSidecar {
  /** Where it listens, as URLs. */
  readonly addresses: Readonly<Record<string, string>>;
  /** What is under way right now. */
  underWay(): number;
  /** Ends everything without cutting anything; resolves when all is over. */
  drain(): Promise<void>;
}

export type Started =
  | { readonly ok: true; readonly sidecar: RunningSidecar }
  | { readonly ok: false; readonly errors: readonly string[] };

/** Starts listening; it takes traffic when this resolves. */
export async function startSidecar(options: ProcessOptions): Promise<Started> {
  const { inbound, outbound, admin, plan } = options;
  const files = inbound?.certificates ?? null;
  const secure = files === null ? null : createSecureServer(files, SERVER_OPTIONS);
  if (secure !== null && "errors" in secure) return { ok: false, errors: secure.errors };
  const connections = new Connections();
  const hub = startLocalHub(plan.hash);
  const engine = createSidecarEngine(options, hub.hub, connections);
  let isDraining = false;
  const inboundListener = inbound === null ? null : inboundOn(options, engine, connections, secure);
  const outboundListener = outbound === null ? null : outboundOn(options, engine);
  const adminServer = admin === null ? null : createAdminServer(engine, () => isDraining);
  const addresses: Record<string, string> = {};
  try {
    if (inbound !== null && inboundListener !== null) {
      const scheme = secure === null ? "http" : "https";
      addresses["inbound"] = urlOf(scheme, await inboundListener.listen(inbound.address));
    }
    if (outbound !== null && outboundListener !== null) {
      addresses["outbound"] = urlOf("http", await outboundListener.listen(outbound.address));
    }
    if (admin !== null && adminServer !== null) {
      await new Promise<void>((resolve, reject) => {
        adminServer.once("error", reject);
        adminServer.listen({ host: admin.host, port: admin.port }, resolve);
      });
      addresses["admin"] = urlOf("http", adminServer.address());
    }
  } catch (error) {
    return { ok: false, errors: [listenError(error)] };
  }
  if (files !== null && secure !== null) followCertificates(options, files, secure);
  const listeners = [inboundListener, outboundListener].filter((listener) => listener !== null);
  const sidecar: RunningSidecar = {
    addresses,
    underWay: () => listeners.reduce((sum, listener) => sum + listener.underWay, 0),
    async drain() {
      isDraining = true;
      if (listeners.some(hasTraffic)) await pause(LISTEN_ON_MS);
      // What is answered on the inbound side may still have to call out.
      for (const listener of listeners) await drainListener(listener);
      await engine.telemetry.tracer?.exporter?.flush();
      hub.stop();
      adminServer?.close();
      await connections.close();
    },
  };
  return { ok: true, sidecar };
}

function createSidecarEngine(
  { plan, secrets, write }: ProcessOptions,
  hub: Engine["hub"],
  connections: Connections,
): Engine {
  const [seed] = crypto.getRandomValues(new Uint32Array(1));
  const session = crypto.randomUUID().slice(0, 8);
  // For calls; what comes in is handed on with who sent it.
  const carrier = createCarrier(connections, { tellsIdentity: false, keepsHostFor: null });
  const identity = { session, region: LOCAL_REGION, hub, outboxes: null, seed, carrier };
  const traced = { name: plan.name, session, region: LOCAL_REGION };
  const tracer = createTracer((name) => textOf(secrets, name), traced, write);
  return createEngine(plan, secrets, identity, new Telemetry(plan, write, tracer), null);
}

function inboundOn(
  { app }: ProcessOptions,
  engine: Engine,
  connections: Connections,
  secure: SecureServer | null,
): Listener {
  const carrier = createCarrier(connections, { tellsIdentity: true, keepsHostFor: app });
  const listener = new Listener({
    // The sidecar of whoever calls may have the same name.
    engine: { ...inboundOf(engine), carrier, visitsOfLoop: MAX_SIDECAR_VISITS },
    answerOwnPath: (x) => answerOwnPath(x, () => ["a sidecar takes no configuration"]),
    identityOf,
    isForNetwork: true,
    secure: secure?.server ?? null,
  });
  listener.server.on("connect", (_, socket: Duplex) =>
    refuseTunnel(socket, "method_not_allowed", {}, { allow: PASSED_METHODS }),
  );
  return listener;
}

function outboundOn({ plan, outbound }: ProcessOptions, engine: Engine): Listener {
  const listener = new Listener({
    engine: outboundOf(engine),
    answerOwnPath: (x) => answerOwnPath(x, () => ["a sidecar takes no configuration"]),
    identityOf: () => null,
    isForNetwork: false,
    secure: null,
  });
  addProxy(listener, { plan, telemetry: engine.telemetry, allowsAnyHost: outbound?.allowsAnyHost ?? false });
  return listener;
}

/** A new set of files counts from the next handshake on; one that cannot be used changes nothing. */
function followCertificates(
  { watch, write }: ProcessOptions,
  { cert, key, clientCa }: CertificateFiles,
  secure: SecureServer,
): void {
  watch([cert, key, ...(clientCa === null ? [] : [clientCa])], () => {
    const problem = secure.reload();
    const time = new Date().toISOString();
    const line =
      problem === null
        ? { time, level: "info", event: "certificates_replaced" }
        : { time, level: "error", event: "certificates_kept", problem };
    write(JSON.stringify(line));
  });
}

function urlOf(scheme: string, address: AddressInfo | string | null): string {
  if (address === null || typeof address === "string") throw new Error("no address");
  const { address: host, port } = address;
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function listenError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!("code" in error && "address" in error && "port" in error)) return error.message;
  const { code, address, port } = error;
  if (code === "EADDRINUSE") {
    return `port ${String(port)} on ${String(address)} is in use: end what listens there or give another`;
  }
  return `cannot listen on ${String(address)} port ${String(port)}: ${String(code)}`;
}
