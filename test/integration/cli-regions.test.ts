// `tidegate start --regions`: ready lines, ports, reload, and that nothing stays behind.
import { readdirSync, writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, it } from "vitest";
import {
  portIsOpen,
  processIsAlive,
  readyLine,
  runProcess,
  startUpstream,
  until,
  workerdOf,
  type RunningCommand,
  type RunningUpstream,
} from "./rig/index.ts";

const folder = mkdtempSync(join(tmpdir(), "tidegate-regions-test-"));
const temporary = mkdtempSync(join(folder, "tmp-"));
const configFile = join(folder, "config.json");
const READY = /^ready weur (\S+)\nready enam (\S+)\nready apac (\S+)\n$/;

let upstream: RunningUpstream;
let command: RunningCommand;
let urls: readonly string[] = [];
let taken: Server;
let port = 0;

beforeAll(async () => {
  upstream = await startUpstream();
  writeConfig("/old/*");
  port = await threeFreePorts();
  taken = createServer();
  await new Promise<void>((resolve) => taken.listen(port + 1, "127.0.0.1", resolve));
  const options = [
    "--config",
    configFile,
    "--no-demo",
    "--port",
    String(port),
    "--regions",
    "weur,enam,apac",
  ];
  command = runProcess(process.execPath, ["cli/tidegate.mjs", "start", ...options], { TMPDIR: temporary });
  urls = (await readyLine(command, READY)).slice(1);
});

afterAll(async () => {
  command?.child.kill("SIGKILL");
  taken?.close();
  await upstream?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function writeConfig(path: string): void {
  const config = {
    upstreams: { app: { targets: [upstream.url] } },
    routes: [{ path, upstream: "app", response: { set: { "x-route": path } } }],
  };
  writeFileSync(configFile, JSON.stringify(config));
}

async function threeFreePorts(): Promise<number> {
  for (let first = 20_000 + (process.pid % 10_000); ; first += 10) {
    const open = await Promise.all([0, 1, 2, 3].map((offset) => portIsOpen(first + offset)));
    if (!open.includes(true)) return first;
  }
}

async function statuses(path: string): Promise<readonly number[]> {
  return Promise.all(urls.map(async (url) => (await fetch(url + path)).status));
}

it("prints one ready line for each region, in the order given, and nothing else", ({ expect }) => {
  expect(command.stdout()).toMatch(READY);
  expect(new Set(urls).size).toBe(3);
});

it("takes the port that was asked for, and the next free ones", ({ expect }) => {
  expect(urls.map((url) => Number(new URL(url).port))).toEqual([port, port + 2, port + 3]);
});

it("serves every region from the same configuration", async ({ expect }) => {
  expect(await statuses("/old/x")).toEqual([200, 200, 200]);
  expect(await statuses("/new/x")).toEqual([404, 404, 404]);
});

it("reloads every region", async ({ expect }) => {
  writeConfig("/new/*");
  await until("the new route is everywhere", 5_000, async () => {
    return (await statuses("/new/x")).every((status) => status === 200);
  });
  expect(await statuses("/old/x")).toEqual([404, 404, 404]);
  writeFileSync(configFile, "{");
  await until("the error is reported", 5_000, () => command.stderr().includes("not reloaded"));
  expect(await statuses("/new/x")).toEqual([200, 200, 200]);
});

it("brings every region back when the runtime crashes, with the configuration of last", async ({
  expect,
}) => {
  const crashed = workerdOf(command.child.pid ?? 0);
  process.kill(crashed, "SIGKILL");
  await until("all regions serve again", 15_000, async () => {
    if (processIsAlive(crashed)) return false;
    const seen = await statuses("/new/x").catch(() => []);
    return seen.length === 3 && seen.every((status) => status === 200);
  });
  expect(await statuses("/old/x")).toEqual([404, 404, 404]);
});

it("leaves nothing behind after Ctrl-C", async ({ expect }) => {
  const runtime = workerdOf(command.child.pid ?? 0);
  command.child.kill("SIGINT");
  expect((await command.ended).code).toBe(0);
  await until("everything is gone", 2_000, async () => {
    const open = await Promise.all(urls.map((url) => portIsOpen(Number(new URL(url).port))));
    return !processIsAlive(runtime) && !open.includes(true);
  });
  await pause(100);
  expect(readdirSync(temporary).filter((name) => /^(?:tidegate|miniflare)-/.test(name))).toEqual([]);
});
