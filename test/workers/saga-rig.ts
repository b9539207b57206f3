// What the tests of a saga's ledger share: a ledger of its own for each test, a definition whose only step
// reaches nobody, and a workflow that can be made to fail.

import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { SagaLedger } from "../../durable-objects/saga-ledger.ts";
import type { ExecutorWorkflow } from "../../durable-objects/saga-ledger/executors.ts";
import type { SagaDefinition } from "../../src/saga/core/definition.ts";
import type { SagaOrigin, StartRequest } from "../../src/saga/core/protocol.ts";

export const definition: SagaDefinition = {
  name: "test",
  version: "v1",
  key: "{body.id}",
  timeoutMs: 3_600_000,
  groups: [
    [
      {
        id: "only",
        kind: "compensatable",
        // No such upstream: executors come back again and again, and nothing is sent.
        call: { upstream: "nowhere", method: "POST", path: "/x", headers: [] },
        retry: { attempts: 3, delayMs: 10, maxDelayMs: 10 },
        timeoutMs: 1000,
        outcome: null,
        compensation: { kind: "none", why: "test" },
      },
    ],
  ],
};

export function request(
  key: string,
  changes: Partial<SagaDefinition> = {},
  trafficClass: SagaOrigin["trafficClass"] = 1,
): StartRequest {
  const input = { body: { id: key }, params: {}, query: {}, headers: {} };
  const origin = { trafficClass, consumer: null, tenant: null, region: "weur", requestId: "r" };
  return { definition: { ...definition, ...changes }, key, input, origin, owner: null };
}

export type Ledger = ReturnType<typeof env.SAGA_LEDGER.getByName>;

export function sql(ledger: Ledger, query: string, ...bindings: SqlStorageValue[]) {
  return runInDurableObject(ledger, (_, { storage }) => storage.sql.exec(query, ...bindings).toArray());
}

/** Makes an instance one that has not moved for so long. */
export async function age(ledger: Ledger, key: string, ms = 3_600_000): Promise<void> {
  await runInDurableObject(ledger, (_, { storage }) => {
    const [{ state }] = storage.sql
      .exec<{ state: string }>("SELECT state FROM sagas WHERE key = ?", key)
      .toArray();
    const older = state.replaceAll(
      /"(updatedAt|leaseUntil|nextAt)":(\d+)/g,
      (_all, name, at) => `"${name}":${Number(at) - ms}`,
    );
    storage.sql.exec("UPDATE sagas SET state = ?, due_at = 1 WHERE key = ?", older, key);
  });
}

/** The workflow of this one life of a ledger; `abort` kills it. */
export async function bindWorkflow(
  ledger: Ledger,
  make: (real: ExecutorWorkflow, abort: () => void) => ExecutorWorkflow,
): Promise<void> {
  await runInDurableObject(ledger, (instance: SagaLedger, state) => {
    const own: unknown = Reflect.get(instance, "env");
    const workflow = make(env.SAGA, () => state.abort("killed by the test"));
    Reflect.set(instance, "env", { ...Object(own), SAGA: workflow });
  });
}
