// Bindings that the configuration names as targets but the Worker does not have.

import { formatIssue } from "./error-lines.ts";
import type { Plan } from "./plan.ts";

/** One line for each target whose binding is not in `available`, the names that wrangler.toml declares. */
export function missingBindings(plan: Plan, available: ReadonlySet<string>): readonly string[] {
  return plan.upstreams.flatMap((upstream) =>
    upstream.targets.flatMap(({ binding }, index) => {
      if (binding === null || available.has(binding)) return [];
      const path = ["upstreams", upstream.name, "targets", index, "binding"];
      return formatIssue(null, { path, rule: "is no binding with a fetch in wrangler.toml", value: binding });
    }),
  );
}
