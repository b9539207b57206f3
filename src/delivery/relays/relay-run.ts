// One run of a relay: it connects, makes pass after pass as long as there is something to do, counts what
// waits, and leaves. Between two runs there is no connection: Hyperdrive keeps those to the database.

import type { Plan, RelayPlan } from "../../config/plan.ts";
import type { RelayLag } from "../core/relay-tally.ts";
import type { Outboxes } from "../outboxes.ts";
import { publishTogether } from "../publish.ts";
import type { Submitted } from "../accept-batches.ts";
import type { CloudEvent } from "../events/cloud-event.ts";
import { numberOf } from "../relay/connection.ts";
import { LEASE_MS } from "../relay/cursor.ts";
import { BUSY_PAUSE_MS } from "../relay/pacing.ts";
import type { EventPublisher, PublishOutcome } from "../relay/publisher.ts";
import { canBuryStatement, keyStatements, plainStatements } from "../relay/statements.ts";
import { relayStep, type PostgresRelay, type RelayProgress, type RelayStep } from "../relay/step.ts";
import { PostgresConnection, type ByteSocket } from "./postgres-connection.ts";

/** Then a run ends, and the alarm goes on with the next one. */
export const MAX_RUN_MS = 20_000;

/** The binding of a database, as far as it is used here. */
export interface HyperdriveBinding {
  readonly user: string;
  readonly password: string;
  readonly database: string;
  connect(): ByteSocket;
}

export interface RunPorts {
  readonly hyperdrive: HyperdriveBinding;
  readonly outboxes: Outboxes;
  readonly plan: Plan;
  /** Unlike any other relay's, and the same after a restart. */
  readonly owner: string;
  /** Whether this object has just started: what it had before, it cannot finish. */
  readonly isFirst: boolean;
  /** Hears of each step. */
  readonly onStep: (step: RelayStep) => void;
  readonly onLag: (lag: RelayLag) => void;
}

export interface RunEnd {
  readonly progress: RelayProgress;
  /** Null: the run went well. */
  readonly error: string | null;
}

/** Never rejects. */
export async function runRelay(relay: RelayPlan, before: RelayProgress, ports: RunPorts): Promise<RunEnd> {
  let progress = before;
  let connection: PostgresConnection | null = null;
  try {
    connection = new PostgresConnection(ports.hyperdrive.connect());
    await connection.open(ports.hyperdrive);
    const canBury = await mayBury(relay, connection);
    if (ports.isFirst && relay.table.order === "key") {
      await connection.query(keyStatements(relay.table, canBury).forget, [ports.owner]);
    }
    const passing = { connection, publisher: publisherOf(ports), now: Date.now, random: Math.random };
    for (const endsAt = Date.now() + MAX_RUN_MS; ;) {
      const step = await relayStep(relayOf(relay, ports.owner, canBury), progress, passing);
      ({ progress } = step);
      ports.onStep(step);
      if (step.kind === "database-failed") return { progress, error: null };
      if (progress.pauseMs > BUSY_PAUSE_MS || Date.now() + progress.pauseMs >= endsAt) break;
      await pause(progress.pauseMs);
    }
    ports.onLag(await measureLag(relay, canBury, connection));
    return { progress, error: null };
  } catch (error) {
    return { progress, error: error instanceof Error ? error.message : String(error) };
  } finally {
    await connection?.close();
  }
}

/** The source of a relay's events. */
function relaySource(name: string): string {
  return `/relays/${name}`;
}

function relayOf({ name, table, onPoison }: RelayPlan, owner: string, canBury: boolean): PostgresRelay {
  const source = relaySource(name);
  if (table.order === "none") return { order: "none", relay: { table, source } };
  return { order: "key", relay: { table, source, owner, leaseMs: LEASE_MS, onPoison, canBury } };
}

/** A team may have made its table without a place for rows that are given up: then nothing is. */
async function mayBury({ table }: RelayPlan, connection: PostgresConnection): Promise<boolean> {
  if (table.order === "none") return false;
  const [row] = (await connection.query(canBuryStatement(table), [])).rows;
  return numberOf(row, "canBury") > 0;
}

async function measureLag(
  { table }: RelayPlan,
  canBury: boolean,
  connection: PostgresConnection,
): Promise<RelayLag> {
  const { lag } = table.order === "key" ? keyStatements(table, canBury) : plainStatements(table);
  const [row] = (await connection.query(lag, [])).rows;
  return { rows: numberOf(row, "lag"), oldestAgeMs: numberOf(row, "oldestAgeMs"), measuredAt: Date.now() };
}

function publisherOf({ outboxes, plan }: RunPorts): EventPublisher {
  return {
    async publish(events: readonly CloudEvent[]) {
      const submitted = await publishTogether(outboxes, plan, events, { traceparent: null, requestId: null });
      return outcomeOf(submitted);
    },
  };
}

/** What is stored already counts as published: the event was published before its row could be marked. */
function outcomeOf(submitted: readonly Submitted[]): PublishOutcome {
  for (const each of submitted) {
    switch (each.kind) {
      case "accepted":
      case "replayed":
      case "in-flight":
        continue;
      case "backlog-full":
        return {
          kind: "failed",
          error: "the outbox of the events is over its watermark",
          retryAfterMs: each.retryAfterMs,
        };
      case "unanswered":
        return { kind: "failed", error: "the outbox of the events did not answer", retryAfterMs: null };
      default:
        return { kind: "refused", error: `the outbox of the events takes it for ${each.kind}` };
    }
  }
  return { kind: "published" };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
