// The tables of an outbox in Postgres, as statements that a team puts into its own migrations.
//
//   order "key"   A trigger counts each key's events in the writer's own transaction: the counter's row is
//                 locked until that commits, so events of a key become visible in the order of their
//                 numbers, without gaps. (A sequence or a timestamp would not do: those of a slower
//                 transaction appear later.)
//                 Leases stand in a table that writers never touch.
//   order "none"  A plain table.
//
// A transaction that writes for several keys should do so in one order of keys, or Postgres may have to end
// a deadlock; the writer then tries again.

import type { KeyTable, OutboxTable, PlainTable } from "./columns.ts";

/** The statements, each with a comment, ready for `psql`. */
export function tableDefinition(table: OutboxTable): string {
  return table.order === "key" ? keyDefinition(table) : plainDefinition(table);
}

function keyDefinition({ table, seqTable, leaseTable, columns }: KeyTable): string {
  const { id, key, seq, type, payload, createdAt, publishedAt, attempts, lastError, deadAt } = columns;
  const name = table.split(".").at(-1)?.replaceAll('"', "") ?? "";
  const number = table.replace(/"([^"]+)"$/, '"$1_number"');
  return `-- Events that wait to be published. Write one in the transaction that it tells of:
--   INSERT INTO ${table} (${key}, ${type}, ${payload}) VALUES ('order-17', 'order.paid', '{"cents": 1200}');
CREATE TABLE ${table} (
  ${id} uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  ${key} text NOT NULL CHECK (${key} <> ''),
  ${seq} bigint NOT NULL,
  ${type} text NOT NULL,
  ${payload} jsonb NOT NULL,
  ${createdAt} timestamptz NOT NULL DEFAULT now(),
  ${publishedAt} timestamptz,
  ${attempts} integer NOT NULL DEFAULT 0,
  ${lastError} text,
  -- Given up: it is not published, and the events behind it are.
  ${deadAt} timestamptz
);
CREATE UNIQUE INDEX "${name}_waiting" ON ${table} (${key}, ${seq})
  WHERE ${publishedAt} IS NULL AND ${deadAt} IS NULL;

-- The number of each key's next event. Its row is locked until the writer commits.
CREATE TABLE ${seqTable} (key text PRIMARY KEY, next bigint NOT NULL);

CREATE FUNCTION ${number}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO ${seqTable} AS counter (key, next) VALUES (NEW.${key}, 2)
    ON CONFLICT (key) DO UPDATE SET next = counter.next + 1
    RETURNING next - 1 INTO NEW.${seq};
  RETURN NEW;
END $$;
CREATE TRIGGER "${name}_number" BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION ${number}();

-- Which relay publishes which key at the moment. Writers never touch it.
CREATE TABLE ${leaseTable} (
  key text PRIMARY KEY, owner text NOT NULL, until timestamptz NOT NULL, fence bigint NOT NULL);
`;
}

function plainDefinition({ table, columns }: PlainTable): string {
  const { id, type, payload, status, publishedAt } = columns;
  const name = table.split(".").at(-1)?.replaceAll('"', "") ?? "";
  const optional = [
    ...(columns.key === undefined ? [] : [`  ${columns.key} text,\n`]),
    ...(columns.createdAt === undefined
      ? []
      : [`  ${columns.createdAt} timestamptz NOT NULL DEFAULT now(),\n`]),
  ].join("");
  return `-- Events that wait to be published. Write one in the transaction that it tells of:
--   INSERT INTO ${table} (${type}, ${payload}) VALUES ('order.paid', '{"cents": 1200}');
CREATE TABLE ${table} (
  ${id} uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  ${type} text NOT NULL,
  ${payload} jsonb NOT NULL,
${optional}  ${status} text NOT NULL DEFAULT 'PENDING' CHECK (${status} IN ('PENDING', 'PUBLISHED')),
  ${publishedAt} timestamptz
);
CREATE INDEX "${name}_pending" ON ${table} (${id}) WHERE ${status} = 'PENDING';
`;
}
