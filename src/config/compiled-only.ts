// Stands in for the validator in a Worker: wrangler.toml puts it in the place of `#validator`. The commands
// have validated the file and compiled it; schema, rules and their texts need not be uploaded.

import type { Validation } from "./validate.ts";

const NOT_COMPILED =
  "(the whole configuration): must be compiled, for this Worker is built without the validator; " +
  "take it from the import #config, or give the Worker its validator: remove #validator from [alias] in wrangler.toml";

/** Takes no configuration: one that is compiled is not brought here. */
export function validateConfig(_input: unknown): Validation {
  return { ok: false, errors: [NOT_COMPILED] };
}
