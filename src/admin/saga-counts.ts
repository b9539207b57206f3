// Counts of sagas by state, summed over their ledgers.

import type { Engine } from "../edge/engine.ts";
import type { SagaCounts } from "../saga/core/protocol.ts";
import type { SagaPhase } from "../saga/core/state.ts";
import { PHASES } from "../saga/core/state.ts";
import { askLedger, ledgerOf } from "../saga/ledgers.ts";
import type { PrometheusText } from "../telemetry/prometheus.ts";

export type CountsBySaga = readonly { readonly saga: string; readonly counts: SagaCounts }[];

/** What every ledger of the configuration says; those that do not answer are left out. */
export async function countSagas(engine: Engine): Promise<CountsBySaga> {
  const { sagaLedgers } = engine;
  if (sagaLedgers === null) return [];
  const all = engine.plan.sagas.map(async ({ name: saga }) => {
    const counts = await askLedger(ledgerOf(sagaLedgers, saga, engine.region).counts());
    return counts === null ? [] : [{ saga, counts }];
  });
  return (await Promise.all(all)).flat();
}

/** By state, over all sagas; empty where there are none. */
export function sumSagas(all: CountsBySaga): Partial<Record<SagaPhase, number>> {
  if (all.length === 0) return {};
  return Object.fromEntries(
    PHASES.map((phase) => [phase, all.reduce((sum, { counts }) => sum + counts.byState[phase], 0)]),
  );
}

export function renderSagas(text: PrometheusText, all: CountsBySaga): void {
  if (all.length === 0) return;
  text.metric("tidegate_sagas", "gauge", "Sagas that the ledger keeps, by state.");
  for (const { saga, counts } of all) {
    for (const state of PHASES) text.sample("tidegate_sagas", { saga, state }, counts.byState[state]);
  }
  text.metric("tidegate_sagas_parked_total", "counter", "Times that a saga came to need a person.");
  for (const { saga, counts } of all) {
    text.sample("tidegate_sagas_parked_total", { saga }, counts.parkedTotal);
  }
  text.metric("tidegate_sagas_rescued_total", "counter", "Times that the watchdog had to move a saga.");
  for (const { saga, counts } of all) {
    text.sample("tidegate_sagas_rescued_total", { saga }, counts.rescuedTotal);
  }
}
