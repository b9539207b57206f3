// One pass of a relay over an outbox with order per key:
//
//   claim     up to 16 keys that have something to publish and nobody's lease, with a new fence each
//   read      the first rows of each
//   publish   all of them as one batch, each key's rows in their order; not under leases that may be over
//   mark      only under the fences that were claimed; then the keys are free again
//
// Any number of relays may do so at once. A relay that stalls loses its keys to others when its lease is
// over: what it says afterwards is refused, so at worst rows are published twice, under the same ids. A row
// that cannot be published stops its key alone (`block`), or is given up (`skip`).

import type { CloudEvent } from "../events/cloud-event.ts";
import type { KeyTable } from "./columns.ts";
import { numberOf, textOf, type Connection, type PassReport, type RefusedRow } from "./connection.ts";
import { waitAfter } from "./cursor.ts";
import { publishBatch, type BatchResult, type EventPublisher } from "./publisher.ts";
import { rowEvent, type OutboxRow } from "./row-event.ts";
import { keyStatements, type KeyStatements } from "./statements.ts";

/** Keys of one pass. */
export const MAX_KEYS = 16;
/** Rows of one pass: what one batch may hold. */
export const MAX_ROWS = 100;
/** Rows of one key in one pass. */
export const MAX_ROWS_OF_KEY = 25;
/** For how long a key is left alone when its first row can never be published. */
export const POISON_PAUSE_MS = 5 * 60_000;
/** Part of a lease in which a publication may begin. */
const USABLE_LEASE = 0.5;

export interface KeyRelay {
  readonly table: KeyTable;
  /** Unlike any other relay's. */
  readonly owner: string;
  readonly source: string;
  readonly leaseMs: number;
  readonly onPoison: "block" | "skip";
  /** Whether the table has a column for rows that are given up. */
  readonly canBury: boolean;
}

export interface PassPorts {
  readonly connection: Connection;
  readonly publisher: EventPublisher;
  readonly now: () => number;
  readonly random: () => number;
}

interface Lease {
  readonly key: string;
  readonly fence: string;
}

type KeyRow = OutboxRow & { readonly key: string; readonly seq: string; readonly attempts: number };

/** Where the next pass looks first, so that every key has its turn. */
export interface KeyTurn {
  readonly after: string;
}

export const FIRST_TURN: KeyTurn = { after: "" };

/** Makes one pass. It rejects only when the database does. */
export async function passKeys(
  relay: KeyRelay,
  turn: KeyTurn,
  ports: PassPorts,
): Promise<{ readonly report: PassReport; readonly turn: KeyTurn }> {
  const statements = keyStatements(relay.table, relay.canBury);
  const claimedAt = ports.now();
  const { leases, behind } = await claim(relay, statements, turn, ports.connection);
  const rowsOfKey = Math.min(MAX_ROWS_OF_KEY, Math.floor(MAX_ROWS / Math.max(1, leases.length)));
  const rows = leases.length === 0 ? [] : await read(statements, leases, rowsOfKey, ports.connection);
  const tries = leases.map((lease) => keyTry(relay, lease, rows));
  const isUsable = ports.now() - claimedAt < relay.leaseMs * USABLE_LEASE;
  const events = isUsable ? tries.flatMap((each) => each.events) : [];
  const result = await publishBatch(ports.publisher, events, "stop");
  const report = await settle(relay, statements, tries, isUsable ? result : null, ports);
  const isFull =
    leases.length === MAX_KEYS || tries.some((each) => each.rows.length === rowsOfKey) || report.dead > 0;
  // Behind the last key it begins with the first one again.
  const after = leases.length === MAX_KEYS ? (leases.at(-1)?.key ?? "") : (behind ?? "");
  const isWrapped = turn.after !== "" && leases.length === 0;
  return { report: { ...report, isFull: isFull || isWrapped || behind !== null }, turn: { after } };
}

/** What is tried of one key: its first rows, up to one that is no event. */
interface KeyTry {
  readonly lease: Lease;
  readonly rows: readonly KeyRow[];
  readonly events: readonly CloudEvent[];
  /** Why the row behind these events is none; null: there is no such row. */
  readonly poison: string | null;
}

function keyTry({ source }: KeyRelay, lease: Lease, all: readonly KeyRow[]): KeyTry {
  const rows = all.filter(({ key }) => key === lease.key);
  const events: CloudEvent[] = [];
  for (const row of rows) {
    const made = rowEvent(row, source);
    if (made.kind === "poison") return { lease, rows, events, poison: made.error };
    events.push(made.event);
  }
  return { lease, rows, events, poison: null };
}

/** Marks what was published, pauses keys that could not go on, frees the others. Null: nothing was tried. */
async function settle(
  relay: KeyRelay,
  statements: KeyStatements,
  tries: readonly KeyTry[],
  result: BatchResult | null,
  { connection, random }: PassPorts,
): Promise<Omit<PassReport, "isFull">> {
  const failures = new Set<string>();
  const never: RefusedRow[] = [];
  const stops: { lease: Lease; row: KeyRow; error: string; pauseMs: number | null }[] = [];
  const done: KeyRow[] = [];
  let offset = 0;
  for (const { lease, rows, events, poison } of result === null ? [] : tries) {
    const count = Math.min(Math.max((result?.published ?? 0) - offset, 0), events.length);
    const refused = result?.refused.find(({ index }) => index === offset + count)?.error ?? null;
    const failure = count < events.length ? (result?.failure ?? null) : null;
    const wrong = count < events.length ? refused : poison;
    offset += events.length;
    done.push(...rows.slice(0, count));
    const row = rows[count];
    if (row === undefined || (failure === null && wrong === null)) continue;
    const error = failure?.error ?? wrong ?? "";
    failures.add(error);
    if (failure === null) never.push({ id: row.id, error });
    const wait = failure === null ? null : waitAfter(row.attempts + 1, failure.retryAfterMs, random());
    const poisonPause = relay.onPoison === "block" || !relay.canBury ? POISON_PAUSE_MS : null;
    stops.push({ lease, row, error, pauseMs: wait ?? poisonPause });
  }
  const marked = await mark(relay, statements, tries, done, connection);
  let dead = 0;
  for (const { lease, row, error, pauseMs } of stops) {
    const where = [relay.owner, lease.key, lease.fence, row.seq, error];
    if (pauseMs === null) dead += (await connection.query(statements.bury, where)).rows.length;
    else await connection.query(statements.fail, [...where, pauseMs]);
  }
  // A key that was paused is nobody's by now, so it is not freed with the others.
  await release(relay, statements, tries, connection);
  return { published: marked, dead, stale: done.length - marked, failures: [...failures], refused: never };
}

// --- statements

async function claim(
  relay: KeyRelay,
  { claim: text }: KeyStatements,
  { after }: KeyTurn,
  connection: Connection,
): Promise<{ readonly leases: Lease[]; readonly behind: string | null }> {
  const { rows } = await connection.query(text, [after, MAX_KEYS, relay.owner, relay.leaseMs]);
  let behind: string | null = null;
  const leases = rows.flatMap((row) => {
    const [key, fence] = [textOf(row, "key"), textOf(row, "fence")];
    if (fence === null) behind = key;
    return key === null || fence === null ? [] : [{ key, fence }];
  });
  return { leases, behind };
}

async function read(
  { read: text }: KeyStatements,
  leases: readonly Lease[],
  rowsOfKey: number,
  connection: Connection,
): Promise<KeyRow[]> {
  const { rows } = await connection.query(text, [leases.map(({ key }) => key), rowsOfKey]);
  return rows.map((row) => ({
    id: textOf(row, "id") ?? "",
    key: textOf(row, "key") ?? "",
    seq: textOf(row, "seq") ?? "",
    type: textOf(row, "type"),
    payload: textOf(row, "payload"),
    bytes: numberOf(row, "bytes"),
    createdAt: textOf(row, "createdAt"),
    attempts: numberOf(row, "attempts"),
  }));
}

async function mark(
  { owner }: KeyRelay,
  { mark: text }: KeyStatements,
  tries: readonly KeyTry[],
  done: readonly KeyRow[],
  connection: Connection,
): Promise<number> {
  if (done.length === 0) return 0;
  const held = [owner, tries.map(({ lease }) => lease.key), tries.map(({ lease }) => lease.fence)] as const;
  const rows = [done.map(({ key }) => key), done.map(({ seq }) => seq)] as const;
  return (await connection.query(text, [...held, ...rows])).rows.length;
}

async function release(
  { owner }: KeyRelay,
  { release: text }: KeyStatements,
  tries: readonly KeyTry[],
  connection: Connection,
): Promise<void> {
  if (tries.length === 0) return;
  await connection.query(text, [
    owner,
    tries.map(({ lease }) => lease.key),
    tries.map(({ lease }) => lease.fence),
  ]);
}
