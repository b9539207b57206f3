// `tidegate start`: the gateway on this machine. One process: workerd, the demo upstreams, and the watch
// over the configuration file. Standard output gets one line, once requests are answered.
import { Console } from "node:console";
import { accessSync, constants, mkdirSync, statSync } from "node:fs";
import { relative } from "node:path";
import type { CompiledConfig } from "../src/config/compiled-config.ts";
import { databaseErrors, localDatabases } from "./databases.ts";
import { DemoServers } from "./demo/servers.ts";
import { waitUntilHealthy, wakeRegion } from "./gateway-client.ts";
import { bindLifetime } from "./lifetime.ts";
import { print, report, reportAll } from "./output.ts";
import { freePort, portProblem } from "./port.ts";
import { compileForWorker, prepareConfig, type PreparedConfig } from "./prepare.ts";
import { WRANGLER_TOML } from "./project.ts";
import { ConfigReload } from "./reload.ts";
import { LOCAL_ADMIN_TOKEN, missingSecretErrors, resolveSecrets } from "./secrets.ts";
import { parseStartOptions, type StartOptions } from "./start-options.ts";
import { demoLine, startText } from "./start-text.ts";
import { bundleWorker } from "./worker-bundle.ts";
import { readWorkerShape, startWorkerd, type RegionSocket } from "./workerd.ts";

/** Returns the exit code of a start that failed; null: the gateway runs. */
export async function start(args: string[]): Promise<number | null> {
  const parsed = parseStartOptions(args);
  if (!parsed.ok) {
    report(parsed.error);
    return 2;
  }
  const errors = await run(parsed.options);
  if (errors === null) return null;
  reportAll(errors);
  return 1;
}

type Ready = Extract<PreparedConfig, { ok: true }>;

async function run(options: StartOptions): Promise<readonly string[] | null> {
  const problem = options.port === 0 ? null : await portProblem(options.host, options.port);
  if (problem !== null) return [describePortProblem(options, problem)];
  const folder = bindLifetime();
  // Libraries print to the console; standard output is for the ready line alone.
  globalThis.console = new Console(process.stderr, process.stderr);
  const local = localDatabases(options.env, process.env);
  const [prepared, shape] = await Promise.all([
    prepareConfig(options.config, "local"),
    readWorkerShape(WRANGLER_TOML),
  ]);
  if (!prepared.ok) return prepared.errors;
  const { plan } = prepared;
  const databases = { ...shape.options.hyperdrives, ...local };
  const secrets = resolveSecrets(plan.secrets, {
    given: options.env,
    vars: shape.vars,
    environment: process.env,
  });
  const missing = [...missingSecretErrors(plan.secrets, secrets), ...databaseErrors(plan.relays, databases)];
  if (missing.length > 0) return missing;
  if (options.persist !== undefined && !canHoldData(options.persist)) {
    return [`--persist ${options.persist} is no folder that can be written to: give another`];
  }
  reportAll(prepared.advice, "warning: ");
  // Set but empty is how an environment says that there is none.
  const given = options.adminToken ?? secrets.ADMIN_TOKEN ?? "";
  const adminToken = given === "" ? LOCAL_ADMIN_TOKEN : given;
  const bindings: Record<string, string> = {
    ...secrets,
    ADMIN_TOKEN: adminToken,
    TIDEGATE_LOCAL: "1",
  };
  for (const name of Object.keys(local)) Reflect.deleteProperty(bindings, name);
  const bound = { ...shape, options: { ...shape.options, hyperdrives: databases } };
  return serve({
    options,
    prepared,
    shape: bound,
    folder,
    bindings,
    adminToken,
    databases,
  });
}

interface Serving {
  readonly options: StartOptions;
  readonly prepared: Ready;
  readonly shape: Awaited<ReturnType<typeof readWorkerShape>>;
  readonly folder: string;
  readonly bindings: Readonly<Record<string, string>>;
  readonly adminToken: string;
  /** Addresses by Hyperdrive binding. */
  readonly databases: Readonly<Record<string, unknown>>;
}

async function serve(serving: Serving) {
  const { options, prepared, shape, folder, bindings, adminToken, databases } = serving;
  const demo = options.demo ? new DemoServers(!options.ownConfig) : null;
  const attach = async (raw: unknown): Promise<CompiledConfig> =>
    compileForWorker(demo === null ? raw : await demo.attach(raw));
  const config = await attach(prepared.config);
  const bundle = bundleWorker(shape, config);
  if (!bundle.ok) return bundle.errors;
  const reload = new ConfigReload({
    file: options.config,
    adminToken,
    secrets: bindings,
    databases,
    attach,
    current: config,
    inputs: prepared.inputs,
  });
  const ports = await startWorkerd({
    code: bundle.code,
    shape,
    host: options.host,
    regions: await regionSockets(options),
    bindings,
    persist: options.persist ?? `${folder}/data`,
    onRestart: () => void reload.push(),
  }).catch(runtimeProblem);
  if (typeof ports === "string") return [ports];
  const urls = ports.map((port) => `http://${reachableHost(options.host)}:${port}`);
  for (const each of urls) {
    if (!(await waitUntilHealthy(each))) return [`the gateway did not answer ${each}/_gateway/health`];
  }
  // One after the other: each finds those before it.
  if (options.severalRegions) for (const each of urls) await wakeRegion(each, adminToken);
  const [url] = urls;
  reload.watch(urls);
  report(`admin token: ${adminToken}`);
  report(`configuration: ${readablePath(options.config)} (${prepared.plan.hash})`);
  for (const [name, address] of demo?.addresses() ?? []) report(demoLine(name, address));
  if (demo !== null && !options.ownConfig) report(startText({ url, adminToken, demo: demo.addresses() }));
  if (options.severalRegions) printRegions(options.regions, urls);
  else print(`ready ${url}`);
  return null;
}

function printRegions(regions: readonly string[], urls: readonly string[]): void {
  for (const [index, region] of regions.entries()) print(`ready ${region} ${urls[index]}`);
}

/** The first region gets the port that was asked for, the others the next free ones. */
async function regionSockets({ regions, host, port }: StartOptions): Promise<RegionSocket[]> {
  const sockets: RegionSocket[] = [];
  let next = port;
  for (const region of regions) {
    if (sockets.length > 0 && port !== 0) next = await freePort(host, next + 1);
    sockets.push({ region, port: next });
  }
  return sockets;
}

function describePortProblem({ host, port }: StartOptions, problem: string): string {
  if (problem === "EADDRINUSE") {
    return `port ${port} on ${host} is in use: end what listens there or give --port`;
  }
  return `cannot listen on ${host} port ${port}: ${problem}`;
}

/** Makes the folder where there is none. */
function canHoldData(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
    return statSync(folder).isDirectory();
  } catch {
    return false;
  }
}

function runtimeProblem(error: unknown): string {
  return `the runtime did not start: ${error instanceof Error ? error.message : String(error)}`;
}

function readablePath(path: string): string {
  const fromHere = relative(".", path);
  return fromHere.startsWith("..") ? path : fromHere;
}

function reachableHost(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "127.0.0.1";
  return host.includes(":") ? `[${host}]` : host;
}
