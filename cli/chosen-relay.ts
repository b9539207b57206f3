// What stands in the place of `#relay` in an upload: a Worker without relays needs nothing that speaks to
// Postgres.
import { join, relative } from "node:path";
import type { Plan } from "../src/config/plan.ts";
import { PROJECT_ROOT } from "./project.ts";

/** The module's text; it is to lie in `folder`. */
export function relayCode({ relays }: Pick<Plan, "relays">, folder: string): string {
  const file = relays.length > 0 ? "relay-object.ts" : "relay-absent.ts";
  const path = relative(folder, join(PROJECT_ROOT, "src/delivery/relays", file)).replaceAll("\\", "/");
  return `export { createRelayObject } from ${JSON.stringify(path)};\n`;
}
