// The text bindings that the Worker gets: secrets of the configuration and the gateway's own settings.

import { TRACE_VARIABLES } from "../src/telemetry/trace-settings.ts";

/** Good enough on one's own machine, and printed; a deployed gateway has none until one is set. */
export const LOCAL_ADMIN_TOKEN = "local-admin";

/** Names that are taken from the environment although no configuration refers to them. */
const OWN_SECRETS = ["ADMIN_TOKEN", "METRICS_TOKEN", ...TRACE_VARIABLES];

export interface SecretSources {
  /** From `--env`. */
  readonly given: Readonly<Record<string, string>>;
  /** From wrangler.toml's `[vars]` and `.dev.vars`. */
  readonly vars: Readonly<Record<string, string>>;
  readonly environment: Readonly<NodeJS.ProcessEnv>;
}

/** Parses `NAME=VALUE`; null when it is not of that form. */
export function parseAssignment(text: string): readonly [name: string, value: string] | null {
  const match = /^([A-Za-z_]\w*)=([\s\S]*)$/.exec(text);
  return match === null ? null : [match[1], match[2]];
}

/** Values by name: everything given, and what the configuration asks for from the environment. */
export function resolveSecrets(names: readonly string[], sources: SecretSources): Record<string, string> {
  const resolved: Record<string, string> = {};
  for (const name of [...OWN_SECRETS, ...names]) {
    const value = sources.environment[name];
    if (value !== undefined) resolved[name] = value;
  }
  return { ...resolved, ...sources.vars, ...sources.given };
}

/** One line for each secret that nobody gave. `files`: what else is read for them. */
export function missingSecretErrors(
  names: readonly string[],
  available: Readonly<Record<string, string>>,
  files: ", in .dev.vars" | "" = ", in .dev.vars",
): string[] {
  return names
    .filter((name) => !Object.hasOwn(available, name))
    .map((name) => `env:${name} has no value: give it with --env ${name}=...${files} or in the environment`);
}
