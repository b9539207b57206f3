// `npm run scenarios [-- --seeds 3] [--only S5,S6] [--write]`: measures the overload scenarios and prints one
// table. `--write` puts it into docs/overload.md and draws the pictures there. Fails only when a row that is
// known to be met no longer is.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ENTRIES, KNOWN_TO_BE_MET, numberOf } from "./all.ts";
import { drawPictures } from "./pictures.ts";
import type { Row } from "./row.ts";
import { rowOf } from "./row.ts";
import { summaryOf, tableOf, withTable } from "./table.ts";

const DOCUMENT = fileURLToPath(new URL("../../../docs/overload.md", import.meta.url));

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "3" },
    only: { type: "string" },
    write: { type: "boolean", default: false },
  },
});
const count = Number(values.seeds);
if (!Number.isInteger(count) || count < 1) throw new Error("--seeds takes a number of seeds, at least 1");
const seeds = Array.from({ length: count }, (_, index) => index + 1);
const names = values.only?.split(",");
const chosen = ENTRIES.filter((entry) => names?.some((name) => isNamed(entry.id, name)) ?? true);
if (chosen.length === 0) throw new Error(`no scenario is called ${values.only}`);
if (values.write && names !== undefined) throw new Error("--write takes all scenarios, without --only");

const rows: Row[] = [];
for (const entry of chosen) {
  const startedAt = performance.now();
  const row = rowOf(entry, { seeds, isShort: false });
  rows.push(row);
  console.error(`${row.id} ${row.verdict}, ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
}
const text = `Seeds ${seeds.join(", ")}. ${summaryOf(rows)}\n\n${tableOf(rows)}`;
console.log(text);
if (values.write) {
  writeFileSync(DOCUMENT, withTable(readFileSync(DOCUMENT, "utf8"), text));
  drawPictures(seeds);
}
const broken = rows.filter(({ id, verdict }) => KNOWN_TO_BE_MET.has(id) && verdict !== "met");
for (const { id, measured } of broken) console.error(`${id} was met before: ${measured}`);
process.exitCode = broken.length > 0 ? 1 : 0;

/** `S5` names all of its rows, `S5.2` one. */
function isNamed(id: string, name: string): boolean {
  return id === name || (!name.includes(".") && numberOf({ id }) === numberOf({ id: name }));
}
