// `tidegate setup`: creates what wrangler.toml names in the account that wrangler is logged in to: queues,
// with those for dead letters, and buckets. What exists stays as it is, so it can be run again at any time.
import { parseOptions } from "./arguments.ts";
import { missingBindings } from "../src/config/bindings.ts";
import type { Plan } from "../src/config/plan.ts";
import { declaredBindings } from "./bindings.ts";
import { print, report, reportAll } from "./output.ts";
import { prepareConfig } from "./prepare.ts";
import { DEFAULT_CONFIG_FILE } from "./project.ts";
import { declaredResources, type Resource } from "./setup-resources.ts";
import { firstError, runWrangler } from "./setup-wrangler.ts";

const SPECS = {
  // Only says what is there.
  "dry-run": { type: "boolean", default: false },
} as const;

const NO_CREDENTIALS = `wrangler has no credentials for a Cloudflare account. Either log in on this machine:
  npx wrangler login
or, where nobody can (CI), set CLOUDFLARE_API_TOKEN to a token that may edit Workers Scripts, Queues and
R2 Storage, and CLOUDFLARE_ACCOUNT_ID. Then run npx tidegate setup again. Or create these by hand:`;

type State = "exists" | "created" | "missing" | "failed";

/** Exit code: 0 once everything is there. */
export async function setup(args: string[]): Promise<number> {
  const parsed = parseOptions("setup", args, SPECS);
  if (!parsed.ok) {
    report(parsed.error);
    return 2;
  }
  const plan = await configuredPlan();
  if (plan !== null) reportAll(await missing(plan));
  const resources = await declaredResources(new Set(plan?.relays.map(({ hyperdrive }) => hyperdrive)));
  if (resources.length === 0) {
    print("wrangler.toml names no queue and no bucket: there is nothing to create");
    return 0;
  }
  const known = await runWrangler(["whoami", "--json"]);
  if (known.kind === "absent") {
    report(`wrangler cannot be run: ${known.reason}; run npm ci first`);
    return 1;
  }
  if (known.code !== 0) {
    report(NO_CREDENTIALS);
    for (const { create } of resources) report(`  npx wrangler ${create.join(" ")}`);
    return 1;
  }
  const states: State[] = [];
  for (const resource of resources) states.push(await ensure(resource, parsed.values["dry-run"]));
  return summarise(resources, states);
}

/** The configuration that would be deployed; null: it has errors, which `check` tells. */
async function configuredPlan(): Promise<Plan | null> {
  const prepared = await prepareConfig(DEFAULT_CONFIG_FILE, "local");
  return prepared.ok ? prepared.plan : null;
}

/** Bindings that the configuration needs and wrangler.toml lacks. */
async function missing(plan: Plan): Promise<string[]> {
  const lines = missingBindings(plan, await declaredBindings());
  const declared = (await declaredBindings()).hyperdrives;
  const databases = new Set(plan.relays.map(({ hyperdrive }) => hyperdrive));
  const commands = [...databases].flatMap((binding) =>
    declared?.has(binding) === true
      ? []
      : [
          `  npx wrangler hyperdrive create ${binding.toLowerCase()} --caching-disabled --connection-string postgres://...`,
        ],
  );
  return [...lines, ...commands];
}

async function ensure(resource: Resource, isDryRun: boolean): Promise<State> {
  const { name, kind, find, isFound, create } = resource;
  const found = await runWrangler(find);
  if (found.kind === "ran" && found.code === 0 && isFound(found.output)) return tell("exists", kind, name);
  if (isDryRun) return tell("missing", kind, name);
  const created = await runWrangler(create);
  if (created.kind === "ran" && created.code === 0) return tell("created", kind, name);
  const reason = created.kind === "ran" ? firstError(created.output) : created.reason;
  // Somebody else's at the same time, or one that could not be looked up.
  if (/already (?:exists|taken|own)/i.test(reason)) return tell("exists", kind, name);
  return tell("failed", kind, name, `: ${reason}`);
}

function tell(state: State, kind: string, name: string, more = ""): State {
  print(`${state.padEnd(8)} ${kind} ${name}${more}`);
  return state;
}

function summarise(resources: readonly Resource[], states: readonly State[]): number {
  const left = resources.filter((_, index) => states[index] === "missing" || states[index] === "failed");
  if (left.length === 0) {
    print("everything that wrangler.toml names is there; next: npx wrangler deploy");
    return 0;
  }
  report(`${left.length} of ${resources.length} are missing; what creates them:`);
  for (const { create } of left) report(`  npx wrangler ${create.join(" ")}`);
  return 1;
}
