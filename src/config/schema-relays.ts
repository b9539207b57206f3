// Schema of `relays`: which tables become events.

import * as z from "zod/mini";
import { outboxTable, type OutboxTable } from "../delivery/relay/columns.ts";
import { BINDING_PATTERN, exactObject, field, integer, oneOf, text } from "./fields.ts";

const bindingName = field("must be the name of a binding", (value) =>
  typeof value === "string" && BINDING_PATTERN.test(value) ? value : null,
);

/** A relay as it is used: its table checked and quoted. */
export interface RelayParsed {
  readonly hyperdrive: string;
  readonly table: OutboxTable;
  readonly onPoison: "block" | "skip";
  /** Rows that wait, from which an alert is raised. */
  readonly alertAt: number;
}

const relayFields = exactObject({
  hyperdrive: bindingName,
  table: z.prefault(text("must be the name of a table"), "outbox"),
  order: z.prefault(oneOf(["key", "none"]), "key"),
  columns: z.prefault(
    z.record(z.string(), text("must be the name of a column"), { error: "must be an object of columns" }),
    {},
  ),
  onPoison: z.prefault(oneOf(["block", "skip"]), "block"),
  alertAt: z.prefault(integer(1), 10_000),
});

export const relaySchema = z.pipe(
  relayFields,
  z.transform((fields: z.output<typeof relayFields>, context): RelayParsed => {
    const { hyperdrive, onPoison, alertAt } = fields;
    const checked = outboxTable(fields.order, fields.table, fields.columns);
    if (checked.kind === "table") return { hyperdrive, table: checked.table, onPoison, alertAt };
    const path = checked.at.split(".");
    const input = path.length === 1 ? fields.table : fields.columns[path[1]];
    context.issues.push({ code: "custom", message: checked.rule, input, path });
    return z.NEVER;
  }),
);
