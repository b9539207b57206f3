// Every scenario, in the order of the table.

import { CHANGING } from "./changing.ts";
import { OUTAGES } from "./outages.ts";
import { OVERHEAD } from "./overhead.ts";
import { PARTIAL } from "./partial.ts";
import type { Entry } from "./row.ts";
import { STEADY } from "./steady.ts";
import { TENANTS } from "./tenants.ts";

export const ENTRIES: readonly Entry[] = [
  ...STEADY,
  ...CHANGING,
  ...OUTAGES,
  ...PARTIAL,
  ...TENANTS,
  OVERHEAD,
].toSorted((one, other) => numberOf(one) - numberOf(other));

/** Rows that are met with room to spare: the runner fails when one of them is not. */
export const KNOWN_TO_BE_MET: ReadonlySet<string> = new Set(
  (
    "S1.1 S1.4 S1.5 S1.6 S1.10 S2.3 S3.1 S3.2 S4.1 S4.2 S4.3 S4.4 S5.5 S5.50 S5.1000 S5.5a S5.50a S5.1000a S6.1 S6.2 " +
    "S6.3 S6.4 S8.1 S8.2 S8.3 S9.1 S9.2 S10.1 S10.2 S10.3 S10.4 S10.5 S12.1 S12.3 S12.4 S12.5 S12.6 S14.2 S14.4"
  ).split(" "),
);

/** The scenario that an entry is a part of: `S5.2` is of 5. */
export function numberOf({ id }: Pick<Entry, "id">): number {
  return Number.parseInt(id.slice(1), 10);
}
