// What a relay does again and again: one pass, and how long it waits for the next. Whoever runs it (an
// object's alarm, a loop) keeps `RelayProgress` between two steps; a relay that starts anew begins with
// `NEW_PROGRESS`.

import type { PassReport } from "./connection.ts";
import { FIRST_TURN, passKeys, type KeyRelay, type KeyTurn, type PassPorts } from "./key-pass.ts";
import { nextPauseMs } from "./pacing.ts";
import { passPlain, type PlainRelay, type PoisonRows } from "./plain-pass.ts";

export type PostgresRelay =
  | { readonly order: "key"; readonly relay: KeyRelay }
  | { readonly order: "none"; readonly relay: PlainRelay };

export interface RelayProgress {
  readonly turn: KeyTurn;
  readonly poison: PoisonRows;
  /** Ms until the next step. */
  readonly pauseMs: number;
}

export const NEW_PROGRESS: RelayProgress = { turn: FIRST_TURN, poison: new Map(), pauseMs: 0 };

export type RelayStep =
  | { readonly kind: "passed"; readonly progress: RelayProgress; readonly report: PassReport }
  /** The database refused or did not answer; the connection may be of no use any more. */
  | { readonly kind: "database-failed"; readonly progress: RelayProgress; readonly error: string };

/** Makes one step. It never rejects. */
export async function relayStep(
  { order, relay }: PostgresRelay,
  progress: RelayProgress,
  ports: PassPorts,
): Promise<RelayStep> {
  try {
    const passed =
      order === "key"
        ? { ...progress, ...(await passKeys(relay, progress.turn, ports)) }
        : { ...progress, ...(await passPlain(relay, progress.poison, ports)) };
    const { report, turn, poison } = passed;
    const found = report.published + report.dead + report.stale;
    return { kind: "passed", report, progress: { turn, poison, pauseMs: pause(progress, found, report) } };
  } catch (error) {
    const pauseMs = nextPauseMs(progress.pauseMs, 0, false);
    return { kind: "database-failed", progress: { ...progress, pauseMs }, error: String(error) };
  }
}

function pause({ pauseMs }: RelayProgress, found: number, { isFull, failures }: PassReport): number {
  return nextPauseMs(pauseMs, found, isFull && failures.length === 0);
}
