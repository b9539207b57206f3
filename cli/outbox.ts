// `tidegate outbox sql`: prints the tables of a Postgres outbox, for a team's own migrations.
import { outboxTable } from "../src/delivery/relay/columns.ts";
import { tableDefinition } from "../src/delivery/relay/table-definition.ts";
import { parseOptions } from "./arguments.ts";
import { print, report } from "./output.ts";

const SPECS = {
  order: { type: "string", default: "key" },
  table: { type: "string", default: "outbox" },
  // column=name, as often as needed: what a table's columns are called otherwise.
  column: { type: "string", multiple: true, default: [] as string[] },
} as const;

export async function outbox([action, ...args]: string[]): Promise<number> {
  if (action !== "sql") {
    report("usage: tidegate outbox sql [--order key|none] [--table outbox] [--column type=kind]...");
    return 2;
  }
  const parsed = parseOptions("outbox sql", args, SPECS);
  if (!parsed.ok) {
    report(parsed.error);
    return 2;
  }
  const { order, table, column } = parsed.values;
  if (order !== "key" && order !== "none") {
    report(`--order must be key or none, got ${JSON.stringify(order)}`);
    return 2;
  }
  const columns = Object.fromEntries(column.map((each) => splitOnce(each)));
  const checked = outboxTable(order, table, columns);
  if (checked.kind === "invalid") {
    report(`--${checked.at.replace("columns.", "column ")} ${checked.rule}`);
    return 2;
  }
  print(tableDefinition(checked.table).trimEnd());
  return 0;
}

function splitOnce(text: string): [string, string] {
  const at = text.indexOf("=");
  return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
