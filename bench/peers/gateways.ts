// The gateways that are compared through real HTTP. Each is started for one run, in front of one server, and
// ended by its process id.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { GatewayConfig } from "../../src/config/gateway-config.ts";
import { portIsOpen, runProcess, startRegions, until } from "../../test/integration/rig/index.ts";
import { SERVER } from "./server.ts";

/** How long a client waits. HAProxy's queue is set by it; Tidegate has its defaults. */
export const PATIENCE_MS = 2000;
/** In HAProxy's queue: what leaves it by then is answered in time, with room to spare. */
const QUEUE_MS = 1000;
const START_TIMEOUT_MS = 5000;
const REGIONS = ["weur", "enam", "apac"];

export interface Gateway {
  readonly urls: readonly string[];
  readonly stop: () => Promise<unknown>;
}

export interface GatewayKind {
  readonly name: string;
  readonly start: (upstreamPort: number) => Promise<Gateway>;
}

export const GATEWAYS: readonly GatewayKind[] = [
  { name: "tidegate, three regions", start: (port) => startTidegate(port, {}) },
  {
    name: "tidegate, three regions, told",
    start: (port) => startTidegate(port, { concurrency: { max: SERVER.places / REGIONS.length } }),
  },
  {
    name: "HAProxy, priority classes",
    start: (port) => startPeer("haproxy.cfg", (file) => ["haproxy", "-db", "-q", "-f", file], port),
  },
  {
    name: "nginx, limit_conn",
    start: (port) => startPeer("nginx.conf", (file) => ["nginx", "-c", file], port),
  },
];

type Upstream = Omit<GatewayConfig["upstreams"][string], "targets">;

async function startTidegate(upstreamPort: number, upstream: Upstream): Promise<Gateway> {
  const config: GatewayConfig = {
    upstreams: { shop: { targets: [`http://127.0.0.1:${upstreamPort}`], ...upstream } },
    routes: (["P0", "P1", "P2"] as const).map((priority, index) => ({
      path: `/p${index}/*`,
      upstream: "shop",
      priority,
    })),
  };
  const { url, stop } = await startRegions({ config, regions: REGIONS });
  return { urls: REGIONS.map(url), stop };
}

async function startPeer(
  template: string,
  command: (file: string) => readonly string[],
  upstreamPort: number,
): Promise<Gateway> {
  const folder = await mkdtemp(join(tmpdir(), "tidegate-bench-"));
  const port = await freePort();
  const file = join(folder, template);
  const text = await readFile(join(import.meta.dirname, template), "utf8");
  const values = {
    PORT: port,
    UPSTREAM_PORT: upstreamPort,
    PLACES: SERVER.places,
    QUEUE_MS,
    FOLDER: folder,
  };
  await writeFile(file, fillIn(text, values));
  const [program, ...args] = command(file);
  const { child, ended, stderr } = runProcess(program, args);
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await until(`${program} listens`, START_TIMEOUT_MS, () => child.exitCode !== null || portIsOpen(port));
    if (child.exitCode !== null) throw new Error(`${program} ended too early:\n${stderr()}`);
  } catch (error) {
    await stop();
    throw error;
  }
  return { urls: [`http://127.0.0.1:${port}`], stop };
}

/** Replaces every `${NAME}`; a name without a value is a mistake in the template. */
export function fillIn(template: string, values: Readonly<Record<string, string | number>>): string {
  return template.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => {
    if (!Object.hasOwn(values, name)) throw new Error(`there is no value for ${name}`);
    return String(values[name]);
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("there is no free port");
  return address.port;
}
