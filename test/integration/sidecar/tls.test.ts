// TLS and mutual TLS of a sidecar's inbound side, with real certificates: who gets in, what the service is
// told of them, and what changes while it runs.
import { copyFileSync, writeFileSync } from "node:fs";
import { Agent, request, type RequestOptions } from "node:https";
import { join } from "node:path";
import { connect } from "node:tls";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Authority, HAS_OPENSSL, readPair, type Issued } from "../rig/certificates.ts";
import { startUpstream, until, type RunningUpstream } from "../rig/index.ts";
import { SidecarProcess } from "../rig/sidecar.ts";

const PLAIN_REQUEST = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
const LOOK_MS = 400;
/** The alert, or the end of the connection where that is seen first. */
const TURNED_AWAY = /certificate required|unknown ca|expired|ECONNRESET|socket hang up|alert/i;

// There is nothing to make certificates with.
describe.skipIf(!HAS_OPENSSL)("the inbound side with mutual TLS", () => {
  let authority: Authority;
  let other: Authority;
  let app: RunningUpstream;
  let sidecar: SidecarProcess;
  let client: Issued;
  let files: Issued & { readonly clientCa: string };

  beforeAll(async () => {
    authority = new Authority("the authority");
    other = new Authority("another authority");
    app = await startUpstream();
    client = authority.issue({
      subject: "/C=DE/O=Acme/CN=client",
      altNames: "URI:spiffe://acme/client,DNS:client.acme",
    });
    const server = authority.issue({ subject: "/CN=sidecar", altNames: "IP:127.0.0.1" });
    files = {
      cert: join(authority.folder, "served.pem"),
      key: join(authority.folder, "served.key"),
      clientCa: join(authority.folder, "clients.pem"),
    };
    copyFileSync(server.cert, files.cert);
    copyFileSync(server.key, files.key);
    copyFileSync(authority.cert, files.clientCa);
    const tls = ["--tls-cert", files.cert, "--tls-key", files.key, "--client-ca", files.clientCa];
    const args = ["--inbound", "127.0.0.1:0", "--app", app.url, ...tls];
    const routes = [
      { path: "/pay", upstream: "app", priority: "P0" },
      { path: "/*", upstream: "app" },
    ];
    sidecar = await new SidecarProcess(args, { routes }).ready();
  });

  afterAll(async () => {
    await sidecar.stop();
    await app.stop();
    authority.remove();
    other.remove();
  });

  function call(options: RequestOptions): Promise<number> {
    const fixed = { host: "127.0.0.1", port: sidecar.port("inbound"), ca: readFileSync(authority.cert) };
    return new Promise((resolve, reject) => {
      const sent = request({ agent: false, ...fixed, ...options }, (answer) => {
        answer.resume();
        answer.on("end", () => resolve(answer.statusCode ?? 0));
      });
      sent.on("error", reject);
      sent.end();
    });
  }

  const identitySeen = (): unknown => app.requests.at(-1)?.headers["x-forwarded-client-cert"];

  it("gives no advice on P0: nobody can take it without a certificate", () => {
    expect(sidecar.errors).toEqual([]);
  });

  it("lets a client of the authority in and tells the service who it is", async () => {
    expect(await call({ ...readPair(client), path: "/hello" })).toBe(200);
    const hash = new X509Certificate(readFileSync(client.cert)).fingerprint256
      .replaceAll(":", "")
      .toLowerCase();
    expect(identitySeen()).toBe(
      `Hash=${hash};Subject="CN=client,O=Acme,C=DE";URI=spiffe://acme/client;DNS=client.acme`,
    );
    expect(app.requests.at(-1)?.headers).toMatchObject({
      "x-forwarded-proto": "https",
      "x-forwarded-for": "127.0.0.1",
      via: "1.1 tidegate-sidecar",
    });
  });

  it("turns away clients without a certificate, of another authority, of a time that is over", async () => {
    const before = app.requests.length;
    await expect(call({})).rejects.toThrow(TURNED_AWAY);
    const stranger = other.issue({ subject: "/CN=client" });
    await expect(call(readPair(stranger))).rejects.toThrow(TURNED_AWAY);
    const late = authority.issue({ subject: "/CN=client", expired: true });
    await expect(call(readPair(late))).rejects.toThrow(TURNED_AWAY);
    expect(app.requests.length).toBe(before);
  });

  it("removes an identity that a client writes, also one that it names in Connection", async () => {
    const forged = 'Subject="CN=admin"';
    const headers = { "x-forwarded-client-cert": forged, "X-Forwarded-Client-Cert": forged };
    expect(await call({ ...readPair(client), headers })).toBe(200);
    expect(identitySeen()).toMatch(/^Hash=[0-9a-f]{64};Subject="CN=client,O=Acme,C=DE"/);
    const named = { "x-forwarded-client-cert": forged, connection: "close, x-forwarded-client-cert" };
    expect(await call({ ...readPair(client), headers: named })).toBe(200);
    expect(identitySeen()).toMatch(/^Hash=[0-9a-f]{64};Subject="CN=client,O=Acme,C=DE"/);
  });

  it("keeps what a subject says within its quotes", async () => {
    const crafty = authority.issue({ subject: '/O=a";Subject="CN=admin/CN=x,y;URI=spiffe:\\/\\/admin' });
    expect(await call(readPair(crafty))).toBe(200);
    const seen = String(identitySeen());
    const quoted = seen.replaceAll(/\\./g, "").match(/"[^"]*"/g) ?? [];
    expect(quoted).toHaveLength(1);
    expect(seen.replaceAll(/\\./g, "").replaceAll(/"[^"]*"/g, '""')).toMatch(
      /^Hash=[0-9a-f]{64};Subject=""$/,
    );
  });

  it("knows a client that resumes its session", async () => {
    const session = await beginSession();
    app.requests.length = 0;
    expect(await resumeSession(session)).toBe("resumed");
    expect(identitySeen()).toContain('Subject="CN=client,O=Acme,C=DE"');
  });

  it("lets a client with a certificate say that its request matters less, never more", async () => {
    await call({ ...readPair(client), headers: { "x-tidegate-class": "P3" } });
    expect(app.requests.at(-1)?.headers["x-tidegate-class"]).toBe("P3");
    await call({ ...readPair(client), headers: { "x-tidegate-class": "P0" } });
    expect(app.requests.at(-1)?.headers["x-tidegate-class"]).toBe("P1");
  });

  it("takes new certificates for new connections without losing a request", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 4, ...readPair(client) });
    const statuses: number[] = [];
    const load = { isOver: false };
    const callers = Array.from({ length: 8 }, async (_, index) => {
      while (!load.isOver) {
        statuses.push(await call(index < 4 ? { agent, path: "/kept" } : { ...readPair(client) }));
      }
    });
    const served = new Set<string>();
    for (let turn = 0; turn < 3; turn++) {
      const next = authority.issue({ subject: `/CN=sidecar-${turn}`, altNames: "IP:127.0.0.1" });
      copyFileSync(next.key, files.key);
      await pause(LOOK_MS);
      copyFileSync(next.cert, files.cert);
      await until(`certificate ${turn}`, 5_000, async () => (await servedName()) === `CN=sidecar-${turn}`);
      served.add(await servedName());
    }
    load.isOver = true;
    await Promise.all(callers);
    agent.destroy();
    expect([...served]).toEqual(["CN=sidecar-0", "CN=sidecar-1", "CN=sidecar-2"]);
    expect(statuses.length).toBeGreaterThan(50);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
  });

  it("keeps the old certificate while a file is broken, and says so", async () => {
    const before = await servedName();
    const kept = (): number => sidecar.log.filter(({ event }) => event === "certificates_kept").length;
    const told = kept();
    writeFileSync(files.cert, "no certificate");
    await until("a line about it", 5_000, () => kept() > told);
    expect(sidecar.log.at(-1)).toMatchObject({
      level: "error",
      problem: expect.stringContaining(files.cert),
    });
    expect(await servedName()).toBe(before);
    expect(await call(readPair(client))).toBe(200);
  });

  it("forgets an authority that is replaced, also for sessions that began under it", async () => {
    const session = await beginSession();
    const next = authority.issue({ subject: "/CN=sidecar-last", altNames: "IP:127.0.0.1" });
    copyFileSync(next.key, files.key);
    copyFileSync(next.cert, files.cert);
    copyFileSync(other.cert, files.clientCa);
    await until("the new authority", 5_000, () =>
      call(readPair(client)).then(
        () => false,
        () => true,
      ),
    );
    expect(await resumeSession(session)).toBe("refused");
    const welcome = other.issue({ subject: "/CN=newcomer" });
    expect(await call(readPair(welcome))).toBe(200);
    expect(identitySeen()).toContain('Subject="CN=newcomer"');
  });

  function tlsOptions() {
    const ca = readFileSync(authority.cert);
    return { host: "127.0.0.1", port: sidecar.port("inbound"), ca, ...readPair(client) };
  }

  function beginSession(): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const socket = connect(tlsOptions());
      socket.once("session", resolve);
      socket.on("error", reject);
      socket.write(PLAIN_REQUEST);
    });
  }

  function resumeSession(session: Buffer): Promise<"resumed" | "begun" | "refused"> {
    return new Promise((resolve) => {
      const socket = connect({ ...tlsOptions(), session, rejectUnauthorized: false });
      socket.on("error", () => resolve("refused"));
      socket.on("close", () => resolve("refused"));
      socket.on("data", () => resolve(socket.isSessionReused() ? "resumed" : "begun"));
      socket.write(PLAIN_REQUEST);
    });
  }

  function servedName(): Promise<string> {
    return new Promise((resolve, reject) => {
      const options = { host: "127.0.0.1", port: sidecar.port("inbound"), rejectUnauthorized: false };
      const socket = connect({ ...options, ...readPair(client) }, () => {
        resolve(socket.getPeerX509Certificate()?.subject ?? "");
        socket.destroy();
      });
      socket.on("error", reject);
    });
  }
});
