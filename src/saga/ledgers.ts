// The isolate's way to the ledgers of sagas: one object for each saga, each call with a deadline.

import type { Namespace } from "../region/object-calls.ts";
import { answerWithin, isNamespace } from "../region/object-calls.ts";
import { isLocationHint } from "../region/placement.ts";
import type { SagaLedgerStub } from "./core/protocol.ts";
import { ledgerNameOf } from "./core/protocol.ts";

/** Deadline of a call that does not wait for anything. */
export const LEDGER_TIMEOUT_MS = 10_000;

export type SagaLedgers = Namespace<SagaLedgerStub>;

/** The namespace among a Worker's bindings; null where there is none, as in a plain process. */
export function sagaLedgersOf(bindings: Readonly<Record<string, unknown>>): SagaLedgers | null {
  const { SAGA_LEDGER: namespace } = bindings;
  return isNamespace<SagaLedgerStub>(namespace) ? namespace : null;
}

/** A stub for each use: one that has failed stays broken. The region counts when the object is new. */
export function ledgerOf(ledgers: SagaLedgers, saga: string, region: string): SagaLedgerStub {
  const hint = isLocationHint(region) ? { locationHint: region } : {};
  return ledgers.get(ledgers.idFromName(ledgerNameOf(saga)), hint);
}

/** What the ledger answers; null when it does not in time. */
export function askLedger<Answer>(call: Promise<Answer>, extraMs = 0): Promise<Answer | null> {
  return answerWithin(LEDGER_TIMEOUT_MS + extraMs, call);
}
