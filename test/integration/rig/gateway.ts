// Starts the gateway as its users do: `tidegate start` as a process of its own, on a free port. Several run
// side by side. Call `stop` when done (`afterAll`); a test process that dies takes its gateways along.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const PROJECT_ROOT = resolve(import.meta.dirname, "../../..");
/** The command itself, for tests that need more than `runCommand`. */
export const COMMAND = join(PROJECT_ROOT, "cli/tidegate.mjs");
const START_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 20;

export interface GatewayOptions {
  /** Plain data, or the path of a configuration file. */
  readonly config: object | string;
  /** More options of `tidegate start`; `--no-demo` and a free port are given. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface RunningGateway {
  /** Origin without a trailing slash. */
  readonly url: string;
  readonly adminToken: string;
  readonly pid: number;
  /** The file that the gateway watches: written by the rig when the configuration was given as data. */
  readonly configFile: string;
  /** Everything printed on standard error so far: access log, warnings, errors. */
  readonly stderr: () => string;
  /** Ends it with SIGTERM; resolves with its exit code when it is gone. */
  readonly stop: () => Promise<number | null>;
}

export async function startGateway({ config, args = [], env = {} }: GatewayOptions): Promise<RunningGateway> {
  const folder = await mkdtemp(join(tmpdir(), "tidegate-test-"));
  const configFile = typeof config === "string" ? config : join(folder, "tidegate.config.json");
  if (typeof config !== "string") await writeFile(configFile, JSON.stringify(config));
  const adminToken = "test-admin-token";
  const fixed = ["--config", configFile, "--port", "0", "--no-demo", "--admin-token", adminToken];
  const command = runCommand(["start", ...fixed, ...args], env);
  const removeFolder = (): Promise<void> => rm(folder, { recursive: true, force: true });
  const url = await readyUrl(command).catch(async (error: unknown) => {
    await removeFolder();
    throw error;
  });
  const stop = async (): Promise<number | null> => {
    command.child.kill("SIGTERM");
    const { code } = await command.ended;
    await removeFolder();
    return code;
  };
  const { pid } = command.child;
  if (pid === undefined) throw new Error("the command has no process id");
  return { url, adminToken, pid, configFile, stderr: command.stderr, stop };
}

export interface RunningCommand {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;
  readonly stdout: () => string;
  readonly stderr: () => string;
}

/** Runs `tidegate <args>` without waiting for it. */
export function runCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): RunningCommand {
  return runProcess(process.execPath, [COMMAND, ...args], env);
}

/** Runs any program in the project's folder and collects what it prints. */
export function runProcess(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  { ownGroup = false }: { readonly ownGroup?: boolean } = {},
): RunningCommand {
  const child = spawn(program, args, {
    cwd: PROJECT_ROOT,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: ownGroup,
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = once(child, "close").then(() => ({ code: child.exitCode, stdout, stderr }));
  return { child, ended, stdout: () => stdout, stderr: () => stderr };
}

/** The address of the ready line; throws with what the command printed when it ends without one. */
export async function readyUrl(command: RunningCommand): Promise<string> {
  return (await readyLine(command, /^ready (\S+)$/m))[1];
}

/** Waits for a line of standard output; throws as `readyUrl` does. */
export async function readyLine(command: RunningCommand, line: RegExp): Promise<RegExpExecArray> {
  const { child, ended, stdout, stderr } = command;
  const giveUpAt = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < giveUpAt) {
    const match = line.exec(stdout());
    if (match !== null) return match;
    if (child.exitCode !== null || child.signalCode !== null) break;
    await Promise.race([ended, pause(READY_POLL_MS)]);
  }
  child.kill("SIGKILL");
  throw new Error(`the gateway did not become ready:\n${stderr()}`);
}
