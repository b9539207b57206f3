// The options of `tidegate start`.
import { resolve } from "node:path";
import { parseOptions, parseWhole } from "./arguments.ts";
import { DEFAULT_CONFIG_FILE } from "./project.ts";
import { parseAssignment } from "./secrets.ts";

export interface StartOptions {
  readonly config: string;
  /** The file was named on the command line. */
  readonly ownConfig: boolean;
  readonly host: string;
  readonly port: number;
  /** One isolate for each, in this order. */
  readonly regions: readonly string[];
  /** The regions were named as a list: each gets a ready line of its own. */
  readonly severalRegions: boolean;
  readonly demo: boolean;
  readonly adminToken: string | undefined;
  readonly persist: string | undefined;
  readonly env: Readonly<Record<string, string>>;
}

export type ParsedStart =
  | { readonly ok: true; readonly options: StartOptions }
  | { readonly ok: false; readonly error: string };

/** Region names end up in storage names and header values. */
const REGION_NAME = /^[a-z][a-z0-9-]{0,31}$/;

const REGIONS_RULE = "--regions must be names like weur,enam,apac";
const MAX_REGIONS = 16;

const SPECS = {
  config: { type: "string" },
  host: { type: "string", default: "127.0.0.1" },
  port: { type: "string", default: "8787" },
  region: { type: "string", default: "weur" },
  regions: { type: "string" },
  "no-demo": { type: "boolean", default: false },
  "admin-token": { type: "string" },
  persist: { type: "string" },
  env: { type: "string", multiple: true, default: [] },
} as const;

export function parseStartOptions(args: string[]): ParsedStart {
  const parsed = parseOptions("start", args, { ...SPECS, env: { ...SPECS.env, default: [] as string[] } });
  if (!parsed.ok) return parsed;
  const { values } = parsed;
  const port = parseWhole("port", values.port, 0, 65_535);
  if (typeof port === "string") return fail(port);
  const regions = values.regions === undefined ? [values.region] : values.regions.split(",");
  const option = values.regions === undefined ? "--region must be a name like weur" : REGIONS_RULE;
  const wrong = regions.find((region) => !REGION_NAME.test(region));
  if (wrong !== undefined) return fail(`${option}, got "${wrong}"`);
  if (new Set(regions).size < regions.length || regions.length > MAX_REGIONS) {
    return fail(`${REGIONS_RULE}, each once and at most ${MAX_REGIONS}, got "${regions.join(",")}"`);
  }
  if (values.host === "") return fail("--host must not be empty");
  if (values["admin-token"] === "") return fail("--admin-token must not be empty");
  const env: Record<string, string> = {};
  for (const text of values.env) {
    const assignment = parseAssignment(text);
    if (assignment === null) return fail(`--env must be NAME=VALUE, got ${JSON.stringify(text)}`);
    env[assignment[0]] = assignment[1];
  }
  const options = {
    config: values.config === undefined ? DEFAULT_CONFIG_FILE : resolve(values.config),
    ownConfig: values.config !== undefined,
    host: values.host,
    port,
    regions,
    severalRegions: values.regions !== undefined,
    demo: !values["no-demo"],
    adminToken: values["admin-token"],
    persist: values.persist === undefined ? undefined : resolve(values.persist),
    env,
  };
  return { ok: true, options };
}

function fail(reason: string): ParsedStart {
  return { ok: false, error: `tidegate start: ${reason}` };
}
