// One pass of a relay over a plain outbox table, without an order. The rows are locked while they are
// published, in one transaction, and others skip them (FOR UPDATE SKIP LOCKED): so no two relays publish a
// row at the same time. If the relay or its connection dies, the locks end with the transaction and the
// rows are PENDING as before.
//
// The table has no place for what went wrong. A row that can never be published stays PENDING, is reported,
// and is left out by this relay from then on.

import type { PlainTable } from "./columns.ts";
import { numberOf, textOf, type PassReport } from "./connection.ts";
import type { PassPorts } from "./key-pass.ts";
import { publishBatch } from "./publisher.ts";
import { rowEvent, type OutboxRow } from "./row-event.ts";
import { plainStatements } from "./statements.ts";

/** Rows of one pass. */
export const MAX_PLAIN_ROWS = 100;
/** Rows that a relay leaves out; of more it forgets the oldest ones, and looks at them again. */
export const MAX_POISON_ROWS = 1_000;

export interface PlainRelay {
  readonly table: PlainTable;
  readonly source: string;
}

/** Ids of rows that are left out, and why. */
export type PoisonRows = ReadonlyMap<string, string>;

/** Makes one pass. It rejects only when the database does; then nothing is marked. */
export async function passPlain(
  relay: PlainRelay,
  poison: PoisonRows,
  { connection, publisher }: PassPorts,
): Promise<{ readonly report: PassReport; readonly poison: PoisonRows }> {
  const statements = plainStatements(relay.table);
  await connection.query(statements.begin, []);
  try {
    const { rows } = await connection.query(statements.read, [[...poison.keys()], MAX_PLAIN_ROWS]);
    const read = rows.map((row) => {
      const plain = readRow(row);
      return { id: plain.id, made: rowEvent(plain, relay.source) };
    });
    const events = read.flatMap(({ made }) => (made.kind === "event" ? [made.event] : []));
    const result = await publishBatch(publisher, events, "skip");
    const refused = new Map(result.refused.map(({ index, error }) => [events[index].id, error]));
    for (const { id, made } of read) if (made.kind === "poison") refused.set(id, made.error);
    const done = events.slice(0, result.published).flatMap(({ id }) => (refused.has(id) ? [] : [id]));
    const marked = done.length === 0 ? 0 : (await connection.query(statements.mark, [done])).rows.length;
    await connection.query(statements.commit, []);
    const report = {
      published: marked,
      dead: refused.size,
      stale: 0,
      isFull: rows.length === MAX_PLAIN_ROWS && result.failure === null,
      failures: [...refused.values(), ...(result.failure === null ? [] : [result.failure.error])],
      refused: [...refused].map(([id, error]) => ({ id, error })),
    };
    return { report, poison: new Map([...poison, ...refused].slice(-MAX_POISON_ROWS)) };
  } catch (error) {
    // What the database said first is what matters.
    await connection.query(statements.rollback, []).catch(() => null);
    throw error;
  }
}

function readRow(row: unknown): OutboxRow {
  return {
    id: textOf(row, "id") ?? "",
    type: textOf(row, "type"),
    payload: textOf(row, "payload"),
    bytes: numberOf(row, "bytes"),
    key: textOf(row, "key"),
    seq: null,
    createdAt: textOf(row, "createdAt"),
  };
}
