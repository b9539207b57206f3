// Which columns of a user's outbox table say what. The configuration names those that are called otherwise;
// names are checked and quoted, because they become part of statements.
//
//   order "key"   id, key, seq, type, payload, created_at, published_at, attempts, last_error, dead_at
//   order "none"  id, event_type, payload, status ('PENDING' | 'PUBLISHED'), published_at

export const MAX_IDENTIFIER_CHARS = 63;

const KEY_COLUMNS = {
  id: "id",
  key: "key",
  seq: "seq",
  type: "type",
  payload: "payload",
  createdAt: "created_at",
  publishedAt: "published_at",
  attempts: "attempts",
  lastError: "last_error",
  deadAt: "dead_at",
} as const;

const PLAIN_COLUMNS = {
  id: "id",
  type: "event_type",
  payload: "payload",
  status: "status",
  publishedAt: "published_at",
} as const;

export type KeyColumn = keyof typeof KEY_COLUMNS;
export type PlainColumn = keyof typeof PLAIN_COLUMNS;
/** Columns that a plain table may have as well; without a name they are not read. */
export type OptionalColumn = "key" | "createdAt";

/** A table and its columns, quoted. */
export interface KeyTable {
  readonly order: "key";
  readonly table: string;
  /** Counters and leases of keys stand beside it: `<table>_seq`, `<table>_lease`. */
  readonly seqTable: string;
  readonly leaseTable: string;
  readonly columns: Readonly<Record<KeyColumn, string>>;
}

export interface PlainTable {
  readonly order: "none";
  readonly table: string;
  readonly columns: Readonly<Record<PlainColumn, string> & Partial<Record<OptionalColumn, string>>>;
}

export type OutboxTable = KeyTable | PlainTable;

export type TableCheck =
  | { readonly kind: "table"; readonly table: OutboxTable }
  /** `at` is the field below the relay: `table`, `columns.key`. */
  | { readonly kind: "invalid"; readonly at: string; readonly rule: string };

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_$]*$/;
const IDENTIFIER_RULE = "must be a plain identifier of at most 63 characters";
/** What the longest name beside the table has more than the table. */
const SUFFIX_CHARS = "_waiting".length;

/** The table of a relay: `name` may have a schema (`shop.outbox`), `columns` renames. */
export function outboxTable(
  order: "key" | "none",
  name: string,
  columns: Readonly<Record<string, string>>,
): TableCheck {
  const parts = name.split(".");
  const isName = parts.length <= 2 && parts.every(isIdentifier);
  if (!isName || name.length > MAX_IDENTIFIER_CHARS * 2 + 1 || tooLongBeside(parts)) {
    return { kind: "invalid", at: "table", rule: `${IDENTIFIER_RULE}, with a schema or without` };
  }
  const known: Readonly<Record<string, string>> = order === "key" ? KEY_COLUMNS : PLAIN_COLUMNS;
  const optional = order === "none" ? ["key", "createdAt"] : [];
  for (const [column, written] of Object.entries(columns)) {
    const at = `columns.${column}`;
    if (!Object.hasOwn(known, column) && !optional.includes(column)) {
      const names = [...Object.keys(known), ...optional].join(", ");
      return { kind: "invalid", at, rule: `must be one of ${names}` };
    }
    if (!isIdentifier(written)) return { kind: "invalid", at, rule: IDENTIFIER_RULE };
    const other = Object.entries({ ...known, ...columns }).find(
      ([mapped, taken]) => mapped !== column && taken === written,
    );
    if (other !== undefined) return { kind: "invalid", at, rule: `is the column of ${other[0]} already` };
  }
  const beside = (suffix: string): string =>
    [...parts.slice(0, -1), parts[parts.length - 1] + suffix].map(quote).join(".");
  const table = beside("");
  if (order === "none") {
    return { kind: "table", table: { order, table, columns: quoteAll({ ...PLAIN_COLUMNS, ...columns }) } };
  }
  return {
    kind: "table",
    table: {
      order,
      table,
      seqTable: beside("_seq"),
      leaseTable: beside("_lease"),
      columns: quoteAll({ ...KEY_COLUMNS, ...columns }),
    },
  };
}

function tooLongBeside(parts: readonly string[]): boolean {
  return parts[parts.length - 1].length + SUFFIX_CHARS > MAX_IDENTIFIER_CHARS;
}

function isIdentifier(text: string): boolean {
  return text.length <= MAX_IDENTIFIER_CHARS && IDENTIFIER.test(text);
}

/** Plain identifiers need no escapes; quotes keep their case, and reserved words usable. */
function quote(identifier: string): string {
  return `"${identifier}"`;
}

function quoteAll<Names extends Readonly<Record<string, string>>>(names: Names): Names {
  const quoted: Record<string, string> = {};
  for (const [name, identifier] of Object.entries(names)) quoted[name] = quote(identifier);
  return { ...names, ...quoted };
}
