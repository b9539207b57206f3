// Starts several regions as their users do: `tidegate start --regions weur,enam,apac`, one process group on
// free ports and a data folder of its own, so that it can be killed whole and started again on the same data.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { COMMAND, readyLine, runProcess, type RunningCommand } from "./gateway.ts";

const ADMIN_TOKEN = "test-admin-token";

export interface RegionsOptions {
  /** Plain data. */
  readonly config: object;
  readonly regions: readonly string[];
  /** More options of `tidegate start`; `--no-demo`, a free port and a data folder are given. */
  readonly args?: readonly string[];
}

export interface RunningRegions {
  readonly regions: readonly string[];
  readonly adminToken: string;
  /** Origin of a region's gateway without a trailing slash; another one after a restart. */
  readonly url: (region: string) => string;
  readonly pid: () => number;
  readonly configFile: string;
  /** Everything printed on standard error since the last start. */
  readonly stderr: () => string;
  /** SIGKILL of the whole process group; resolves when it is gone. */
  readonly kill: () => Promise<void>;
  /** Starts it again on the same data. */
  readonly restart: () => Promise<void>;
  /** Ends it with SIGTERM and removes its data. */
  readonly stop: () => Promise<number | null>;
}

export async function startRegions({ config, regions, args = [] }: RegionsOptions): Promise<RunningRegions> {
  const folder = await mkdtemp(join(tmpdir(), "tidegate-test-"));
  const configFile = join(folder, "tidegate.config.json");
  await writeFile(configFile, JSON.stringify(config));
  const fixed = ["--config", configFile, "--port", "0", "--no-demo", "--admin-token", ADMIN_TOKEN];
  const where = ["--regions", regions.join(","), "--persist", join(folder, "data")];
  const launch = (): Promise<Launched> => launchRegions(regions, [...fixed, ...where, ...args]);
  const removeFolder = (): Promise<void> => rm(folder, { recursive: true, force: true });
  let launched = await launch().catch(async (error: unknown) => {
    await removeFolder();
    throw error;
  });
  const end = async (signal: "SIGKILL" | "SIGTERM"): Promise<number | null> => {
    const { child, ended } = launched.command;
    // A group that is gone already has nothing to be ended.
    if (child.exitCode === null && child.signalCode === null) process.kill(-launched.pid, signal);
    return (await ended).code;
  };
  return {
    regions,
    adminToken: ADMIN_TOKEN,
    url: (region) => launched.urls.get(region) ?? "",
    pid: () => launched.pid,
    configFile,
    stderr: () => launched.command.stderr(),
    kill: async () => void (await end("SIGKILL")),
    restart: async () => {
      launched = await launch();
    },
    stop: async () => {
      const code = await end("SIGTERM");
      await removeFolder();
      return code;
    },
  };
}

interface Launched {
  readonly command: RunningCommand;
  readonly pid: number;
  readonly urls: ReadonlyMap<string, string>;
}

async function launchRegions(regions: readonly string[], args: readonly string[]): Promise<Launched> {
  const command = runProcess(process.execPath, [COMMAND, "start", ...args], {}, { ownGroup: true });
  const { pid } = command.child;
  if (pid === undefined) throw new Error("the command has no process id");
  const urls = new Map<string, string>();
  for (const region of regions) {
    const [, url] = await readyLine(command, new RegExp(`^ready ${region} (\\S+)$`, "m"));
    urls.set(region, url);
  }
  return { command, pid, urls };
}
