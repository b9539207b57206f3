// What is measured side by side: each takes a job in, durably, and brings it to the same receiver by HTTP.

import { Logger, run as runGraphile, makeWorkerUtils } from "graphile-worker";
import { PgBoss } from "pg-boss";
import { setTimeout as pause } from "node:timers/promises";
import { startGateway } from "../../test/integration/rig/index.ts";
import { startPostgres, type TestDatabase } from "../../test/integration/postgres/database.ts";

export interface MeasuredQueue {
  readonly name: string;
  /** Resolves once the job is stored. */
  send(job: number): Promise<void>;
  /** Batches of its consumer so far, and the messages in them; null: it does not say. */
  readBatches?(): Promise<Batches | null>;
  stop(): Promise<void>;
}

export interface Batches {
  readonly batches: number;
  readonly batchMessages: number;
}

/** How many deliveries a peer has under way at most; the gateway's consumer has six for each batch. */
const DELIVERIES = 60;
const PG_BOSS_WORKERS = 10;
const LAST_CONNECTIONS_MS = 30_000;

export async function startTidegate(receiver: string): Promise<MeasuredQueue> {
  const gateway = await startGateway({
    config: {
      upstreams: { receiver: { targets: [receiver] } },
      queues: { jobs: { upstream: "receiver", highWatermark: 200_000, alertAt: 100_000 } },
      routes: [{ path: "/jobs", methods: ["POST"], queue: "jobs" }],
    },
  });
  return {
    name: "Tidegate",
    async send(job) {
      const response = await fetch(`${gateway.url}/jobs`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ job }),
      });
      await response.arrayBuffer();
      if (response.status !== 202) throw new Error(`the gateway answered ${response.status}`);
    },
    async readBatches() {
      const headers = { authorization: `Bearer ${gateway.adminToken}` };
      const state: unknown = await (await fetch(`${gateway.url}/_gateway/state`, { headers })).json();
      return batchesIn(state);
    },
    stop: () => gateway.stop().then(() => undefined),
  };
}

function batchesIn(state: unknown): Batches {
  const counts = ["queues", "jobs", "counts"].reduce<unknown>(
    (value, name) => (typeof value === "object" && value !== null ? Reflect.get(value, name) : null),
    state,
  );
  const { batches = 0, batchMessages = 0 }: Partial<Batches> = { ...Object(counts) };
  return { batches, batchMessages };
}

async function deliver(receiver: string, job: number): Promise<void> {
  const response = await fetch(receiver, { method: "POST", body: JSON.stringify({ job }) });
  await response.arrayBuffer();
}

/** A Postgres that writes to disk what it says is stored. */
async function durablePostgres(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const database = await startPostgres({ isDurable: true });
  const client = await database.connect();
  return {
    url: `postgres://postgres:postgres@127.0.0.1:${client.port}/postgres`,
    async stop() {
      // A pool's connection that Postgres ends, and not the pool, takes this process with it.
      const giveUpAt = Date.now() + LAST_CONNECTIONS_MS;
      while (Date.now() < giveUpAt && (await othersIn(client)) > 0) await pause(100);
      await database.stop();
    },
  };
}

async function othersIn(client: Awaited<ReturnType<TestDatabase["connect"]>>): Promise<number> {
  const { rows } = await client.query<{ others: number }>(
    `SELECT count(*)::int AS others FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
  );
  return rows[0]?.others ?? 0;
}

export async function startPgBoss(receiver: string): Promise<MeasuredQueue> {
  const postgres = await durablePostgres();
  const boss = new PgBoss({ connectionString: postgres.url, max: 20 });
  boss.on("error", () => undefined);
  await boss.start();
  await boss.createQueue("jobs");
  // Each takes a batch in half a second at best.
  for (let worker = 0; worker < PG_BOSS_WORKERS; worker++) {
    const options = { batchSize: DELIVERIES, pollingIntervalSeconds: 0.5 };
    await boss.work<{ job: number }>("jobs", options, async (jobs) => {
      await Promise.all(jobs.map(({ data }) => deliver(receiver, data.job)));
    });
  }
  return {
    name: "pg-boss 12.38.0",
    async send(job) {
      if ((await boss.send("jobs", { job })) === null) throw new Error("pg-boss did not take a job");
    },
    async stop() {
      // A worker that still polls when Postgres stops takes this process with it.
      await boss.offWork("jobs", { wait: true });
      await boss.stop({ graceful: true, timeout: 5_000 });
      await postgres.stop();
    },
  };
}

export async function startGraphile(receiver: string): Promise<MeasuredQueue> {
  const postgres = await durablePostgres();
  const utilities = await makeWorkerUtils({ connectionString: postgres.url, maxPoolSize: 20 });
  await utilities.migrate();
  const runner = await runGraphile({
    connectionString: postgres.url,
    concurrency: DELIVERIES,
    maxPoolSize: 20,
    noHandleSignals: true,
    logger: new Logger(() => () => undefined),
    taskList: { deliver: (payload) => deliver(receiver, jobIn(payload)) },
  });
  return {
    name: "graphile-worker 0.18.0",
    async send(job) {
      await utilities.addJob("deliver", { job });
    },
    async stop() {
      await runner.stop();
      await utilities.release();
      await postgres.stop();
    },
  };
}

/** The number that a body or payload carries. */
export function jobIn(payload: unknown): number {
  const job: unknown = typeof payload === "object" && payload !== null ? Reflect.get(payload, "job") : null;
  if (typeof job !== "number") throw new Error("it carries no job");
  return job;
}
