// Ways of an event through the gateway, from whoever says it to whoever hears it.

import { Pool } from "pg";
import { Agent, request, type Dispatcher } from "undici";
import { outboxTable } from "../../src/delivery/relay/columns.ts";
import { tableDefinition } from "../../src/delivery/relay/table-definition.ts";
import { startGateway, type RunningGateway } from "../../test/integration/rig/index.ts";
import { startPostgres } from "../../test/integration/postgres/database.ts";
import { PRODUCERS } from "../delivery/measure.ts";
import type { MeasuredQueue } from "../delivery/queues.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PULLED = 100;

interface Setting {
  readonly deliver: object;
  readonly relays?: object;
  readonly args?: readonly string[];
}

function start({ deliver, relays = {}, args = [] }: Setting): Promise<RunningGateway> {
  return startGateway({
    config: {
      upstreams: {},
      routes: [{ path: "/jobs", methods: ["POST"], event: "job.made" }],
      subscriptions: { jobs: { events: ["job.*"], deliver, highWatermark: 200_000, alertAt: 100_000 } },
      relays,
    },
    args: ["--env", `HOOK=${SECRET}`, ...args],
  });
}

const webhookTo = (webhook: string): object => ({ webhook, secrets: ["env:HOOK"] });

function publisher({ url }: RunningGateway, dispatcher: Dispatcher): MeasuredQueue["send"] {
  return async (job) => {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ job });
    const response = await request(`${url}/jobs`, { method: "POST", headers, body, dispatcher });
    await response.body.dump();
    if (response.statusCode !== 202) throw new Error(`the gateway answered ${response.statusCode}`);
  };
}

/** A request becomes an event, which is sent as a signed webhook. */
export async function startWebhook(receiver: string): Promise<MeasuredQueue> {
  const gateway = await start({ deliver: webhookTo(receiver) });
  const dispatcher = new Agent();
  return {
    name: "request to webhook",
    send: publisher(gateway, dispatcher),
    stop: async () => {
      await dispatcher.close();
      await gateway.stop();
    },
  };
}

/** One consumer pulls, tells the receiver, acknowledges, and pulls again. */
export async function startPull(receiver: string): Promise<MeasuredQueue> {
  const gateway = await start({ deliver: { pull: true } });
  const dispatcher = new Agent();
  const stopped = new AbortController();
  const admin = async (path: string, body: object): Promise<unknown> => {
    const headers = { authorization: `Bearer ${gateway.adminToken}`, "content-type": "application/json" };
    const url = `${gateway.url}/_gateway/subscriptions/jobs/${path}`;
    const response = await request(url, { method: "POST", headers, body: JSON.stringify(body), dispatcher });
    return response.body.json();
  };
  const consume = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      const pulled = Object(await admin("pull", { max: PULLED }));
      const events: { leaseId: string; event: { data: unknown } }[] = pulled.events;
      const tell = ({ event }: { event: { data: unknown } }) =>
        request(receiver, { method: "POST", body: JSON.stringify(event.data), dispatcher }).then(({ body }) =>
          body.dump(),
        );
      await Promise.all(events.map(tell));
      if (events.length > 0) await admin("ack", { leaseIds: events.map(({ leaseId }) => leaseId) });
    }
  };
  const consuming = consume();
  return {
    name: "request to pull",
    send: publisher(gateway, dispatcher),
    stop: async () => {
      stopped.abort();
      await consuming;
      await dispatcher.close();
      await gateway.stop();
    },
  };
}

/** A row of a Postgres that writes to disk becomes an event, and a webhook. */
export async function startRelay(receiver: string): Promise<MeasuredQueue> {
  const database = await startPostgres({ isDurable: true });
  const pool = new Pool({ connectionString: database.url, max: PRODUCERS });
  const checked = outboxTable("key", "outbox", {});
  if (checked.kind !== "table") throw new Error(checked.rule);
  await pool.query(tableDefinition(checked.table));
  const gateway = await start({
    deliver: webhookTo(receiver),
    relays: { shop: { hyperdrive: "DB" } },
    args: ["--env", `DB=${database.url}`],
  });
  return {
    name: "row to webhook",
    async send(job) {
      const text = "INSERT INTO outbox (key, type, payload) VALUES ($1, 'job.made', $2)";
      await pool.query(text, [`k${job % 64}`, { job }]);
    },
    stop: async () => {
      await gateway.stop();
      await pool.end();
      await database.stop();
    },
  };
}
