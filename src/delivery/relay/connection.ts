// What a relay needs of a database: one connection that answers statements one after the other. `pg` has
// it, and so has whatever speaks to Hyperdrive.

/** Parameters are texts, numbers and arrays of texts. */
export type Parameter = string | number | readonly string[];

export interface Connection {
  /** Rejects when the database refuses or does not answer. */
  query(text: string, parameters: readonly Parameter[]): Promise<{ readonly rows: readonly unknown[] }>;
}

/** A column of a row as a text; null where it is none. */
export function textOf(row: unknown, column: string): string | null {
  const value: unknown = typeof row === "object" && row !== null ? Reflect.get(row, column) : null;
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "bigint" ? String(value) : null;
}

/** A column of a row as a number; 0 where it is none. */
export function numberOf(row: unknown, column: string): number {
  const value = Number(textOf(row, column) ?? 0);
  return Number.isFinite(value) ? value : 0;
}

/** What a pass has done, for the pause to the next one and for the log. */
export interface PassReport {
  readonly published: number;
  /** Rows that are given up. */
  readonly dead: number;
  /** Rows that were published under a lease that was over: somebody else marks them. */
  readonly stale: number;
  /** Whether there is certainly more. */
  readonly isFull: boolean;
  readonly failures: readonly string[];
  /** Rows that can never be published, as long as they stay as they are. */
  readonly refused: readonly RefusedRow[];
}

export interface RefusedRow {
  readonly id: string;
  readonly error: string;
}
