// `tidegate sidecar`: the gateway's policies as a process beside any service. Standard output gets the log,
// one JSON object a line, and the line `ready` once it takes traffic.
import { Console } from "node:console";
import { adviseConfig } from "../src/config/advise.ts";
import { validateConfig } from "../src/config/validate.ts";
import { startSidecar, type RunningSidecar } from "../src/sidecar/process/process.ts";
import { sidecarConfig, sidecarErrors } from "../src/sidecar/sidecar-config.ts";
import { loadConfigFile } from "./config-file.ts";
import { FileWatch } from "./file-watch.ts";
import { followParent, hasParentToFollow } from "./lifetime.ts";
import { log, outputWritten, print, report, reportAll } from "./output.ts";
import { missingSecretErrors, resolveSecrets } from "./secrets.ts";
import { parseSidecarOptions, type SidecarOptions } from "./sidecar-options.ts";

/** Returns the exit code of a start that failed; null: the sidecar runs. */
export async function sidecar(args: string[]): Promise<number | null> {
  const parsed = parseSidecarOptions(args);
  if (!parsed.ok) {
    report(parsed.error);
    return 2;
  }
  // Libraries print to the console; standard output is for the log alone.
  globalThis.console = new Console(process.stderr, process.stderr);
  const errors = await run(parsed.options);
  if (errors === null) return null;
  reportAll(errors);
  return 1;
}

async function run(options: SidecarOptions): Promise<readonly string[] | null> {
  const { config, app, inbound, outbound, certificates } = options;
  const loaded = config === null ? { ok: true as const, config: {} } : await loadConfigFile(config);
  if (!loaded.ok) return loaded.errors;
  const validated = validateConfig(sidecarConfig(loaded.config, app));
  if (!validated.ok) return validated.errors;
  const { plan } = validated;
  const secrets = resolveSecrets(plan.secrets, { given: options.env, vars: {}, environment: process.env });
  const wrong = [...sidecarErrors(plan), ...missingSecretErrors(plan.secrets, secrets, "")];
  if (wrong.length > 0) return wrong;
  const areClientsKnown = certificates !== null && certificates.clientCa !== null;
  const surroundings = { areUpstreamsCalled: outbound !== null, areClientsKnown };
  if (config !== null) reportAll(adviseConfig(plan, surroundings), "warning: ");
  const started = await startSidecar({
    plan,
    secrets,
    app,
    inbound: inbound === null ? null : { address: inbound, certificates },
    outbound: outbound === null ? null : { address: outbound, allowsAnyHost: options.anyHost },
    admin: options.admin,
    write: log,
    watch: (files, changed) => new FileWatch(files).start(changed),
  });
  if (!started.ok) return started.errors;
  endOnSignals(started.sidecar, options.graceMs);
  logEvent("info", "listening", { ...started.sidecar.addresses, config: plan.hash });
  print("ready");
  return null;
}

/** The first signal drains, the second ends at once. npm and npx pass none on: their end counts as one. */
function endOnSignals(running: RunningSidecar, graceMs: number): void {
  let isDraining = false;
  const end = (signal: NodeJS.Signals | "parent gone"): void => {
    if (isDraining) process.exit(1);
    isDraining = true;
    logEvent("info", "draining", { signal, underWay: running.underWay(), graceMs });
    setTimeout(() => void finish("cut", running.underWay()), graceMs);
    void running.drain().then(() => finish("drained", 0));
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, end);
  if (hasParentToFollow()) followParent(() => end("parent gone"));
}

async function finish(event: "drained" | "cut", underWay: number): Promise<void> {
  logEvent(event === "cut" ? "warn" : "info", event, { underWay });
  await outputWritten();
  process.exit(event === "cut" ? 1 : 0);
}

function logEvent(level: string, event: string, fields: Record<string, unknown>): void {
  log(JSON.stringify({ time: new Date().toISOString(), level, event, ...fields }));
}
