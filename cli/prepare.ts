// From a configuration file to a configuration that may be served: loaded, validated, its bindings known.
import { adviseConfig } from "../src/config/advise.ts";
import {
  adviseBindings,
  missingBindings,
  missingNamedBindings,
  namedBindings,
  type DeclaredBindings,
} from "../src/config/bindings.ts";
import { packPlan, type CompiledConfig } from "../src/config/compiled-config.ts";
import type { Plan } from "../src/config/plan.ts";
import { validateConfig } from "../src/config/validate.ts";
import { declaredBindings } from "./bindings.ts";
import { loadConfigFile } from "./config-file.ts";

export type PreparedConfig =
  | {
      readonly ok: true;
      readonly config: unknown;
      readonly plan: Plan;
      readonly advice: readonly string[];
      readonly inputs: readonly string[];
    }
  | { readonly ok: false; readonly errors: readonly string[]; readonly inputs: readonly string[] };

/**
 * Loads and checks a file. `inputs` are the files that it was made from, on failure as far as known.
 * `databases`: "local" where addresses stand for Hyperdrive bindings, which wrangler.toml need not name then.
 */
export async function prepareConfig(
  file: string,
  databases: "bound" | "local" = "bound",
): Promise<PreparedConfig> {
  const loaded = await loadConfigFile(file);
  if (!loaded.ok) return loaded;
  const { config, inputs } = loaded;
  const validated = validateConfig(config);
  if (!validated.ok) return { ok: false, errors: await allErrors(config, validated.errors), inputs };
  const { plan } = validated;
  const declared = usesBindings(plan) ? await declaredBindings() : null;
  const errors = declared === null ? [] : missingBindings(plan, withDatabases(declared, plan, databases));
  if (errors.length > 0) return { ok: false, errors, inputs };
  const advice = [...adviseConfig(plan), ...(declared === null ? [] : adviseBindings(plan, declared))];
  return { ok: true, config, plan, advice, inputs };
}

/** What is wrong with a configuration, and with the bindings that it names nevertheless. */
async function allErrors(config: unknown, errors: readonly string[]): Promise<readonly string[]> {
  if (namedBindings(config).length === 0) return errors;
  return [...errors, ...missingNamedBindings(config, await declaredBindings())];
}

/** What the Worker gets of a configuration that was prepared, whatever addresses were put in since. */
export function compileForWorker(config: unknown): CompiledConfig {
  const validated = validateConfig(config);
  if (!validated.ok) throw new Error(validated.errors.join("\n"));
  return packPlan(validated.plan);
}

/** Reading wrangler.toml takes longer than everything else here together. */
function usesBindings(plan: Plan): boolean {
  return (
    plan.queues.length > 0 ||
    plan.sagas.length > 0 ||
    plan.subscriptions.length > 0 ||
    plan.relays.length > 0 ||
    plan.upstreams.some(({ targets }) => targets.some(({ binding }) => binding !== null))
  );
}

function withDatabases(
  declared: DeclaredBindings,
  { relays }: Plan,
  databases: "bound" | "local",
): DeclaredBindings {
  if (databases === "bound") return declared;
  return { ...declared, hyperdrives: new Set(relays.map(({ hyperdrive }) => hyperdrive)) };
}
