// Limits of consistency `exact`: one ledger per limit and key counts every request, wherever it comes in. It
// is asked last, when nothing else can refuse the request any more but its upstream.
//
// The same `idempotency-key` on the same method and path is counted once: a client that tries a payment
// again uses its quota once. Without one every request has an id that nobody else can know.

import type { LimitPlan } from "../config/plan.ts";
import type { WorkerHub } from "../region/worker-hub.ts";
import { hashKey } from "./api-keys.ts";
import type { Exchange } from "./exchange.ts";
import type { LimitTake } from "./limit-takes.ts";
import { UNAVAILABLE_RETRY_MS, noteLimit, refuseByLimit } from "./limit-takes.ts";
import { Verdict } from "./verdict.ts";

/** Consumes the limit's cost from its ledger. A shadow limit does not wait for the answer. */
export async function takeLedgerUnits(
  x: Exchange,
  plan: LimitPlan,
  hub: WorkerHub,
  take: LimitTake,
): Promise<Verdict> {
  const id = rowIdOf(x);
  const request = { id, amount: plan.cost, rate: plan.windowLimit, windowMs: plan.windowMs };
  const passesUncounted = plan.shadow || plan.onUnavailable === "allow";
  const asked = hub.consume(plan.name, take.key, request, passesUncounted ? "keep" : "give-back");
  if (plan.shadow) {
    x.shell.waitUntil(asked.then((reply) => noteLimit(x, plan, reply?.kind !== "refused", 0, 0)));
    return Verdict.admit;
  }
  const reply = await asked;
  if (reply?.kind === "taken") {
    take.waiting = false;
    take.rowId = reply.replayed ? null : id;
    take.remaining = reply.remaining;
    take.resetMs = reply.resetMs;
    noteLimit(x, plan, true, reply.remaining, 0);
    return Verdict.admit;
  }
  if (reply?.kind === "refused") {
    noteLimit(x, plan, false, reply.remaining, reply.waitMs);
    return refuseByLimit(x, plan, reply.waitMs);
  }
  noteLimit(x, plan, passesUncounted, 0, UNAVAILABLE_RETRY_MS);
  return passesUncounted ? Verdict.admit : refuseByLimit(x, plan, UNAVAILABLE_RETRY_MS);
}

function rowIdOf(x: Exchange): string {
  const { idempotencyKey } = x.inbound;
  if (idempotencyKey === null) return crypto.randomUUID();
  return hashKey(`${x.request.method} ${x.path} ${idempotencyKey}`);
}
