// Whatever ends the command, the runtime, its port and its temporary data go with it.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, it } from "vitest";
import { portIsOpen, processIsAlive, readyUrl, runProcess, until, workerdOf } from "./rig/index.ts";
import type { RunningCommand } from "./rig/index.ts";

const GONE_WITHIN_MS = 2000;
const POLL_MS = 25;
const folder = mkdtempSync(join(tmpdir(), "tidegate-lifetime-test-"));
const configFile = join(folder, "config.json");
const config = {
  upstreams: { app: { targets: ["http://127.0.0.1:9"] } },
  routes: [{ path: "/*", upstream: "app" }],
};
writeFileSync(configFile, JSON.stringify(config));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const OPTIONS = ["--config", configFile, "--port", "0", "--no-demo"];

interface Started {
  readonly command: RunningCommand;
  readonly port: number;
  readonly workerd: number;
  readonly temporary: string;
}

async function startUnder(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Started> {
  const temporary = mkdtempSync(join(folder, "tmp-"));
  const command = runProcess(program, args, { ...env, TMPDIR: temporary });
  const port = Number(new URL(await readyUrl(command)).port);
  return { command, port, workerd: workerdOf(command.child.pid ?? 0), temporary };
}

/** What is still there of a gateway that was ended; waits for it to go. */
async function remains(started: Started): Promise<readonly string[]> {
  const giveUpAt = Date.now() + GONE_WITHIN_MS;
  let left = await remainsNow(started);
  while (left.length > 0 && Date.now() < giveUpAt) {
    await pause(POLL_MS);
    left = await remainsNow(started);
  }
  return left;
}

async function remainsNow({ port, workerd, temporary }: Started): Promise<readonly string[]> {
  const left = readdirSync(temporary).filter((name) => /^(?:tidegate|miniflare)-/.test(name));
  if (processIsAlive(workerd)) left.push(`workerd ${workerd}`);
  if (await portIsOpen(port)) left.push(`port ${port}`);
  return left;
}

const START = ["cli/tidegate.mjs", "start", ...OPTIONS];

it.for(["SIGTERM", "SIGINT", "SIGHUP"] as const)(
  "%s ends everything and exits 0",
  async (signal, { expect }) => {
    const started = await startUnder(process.execPath, START);
    started.command.child.kill(signal);
    expect((await started.command.ended).code).toBe(0);
    expect(await remains(started)).toEqual([]);
  },
);

it("SIGKILL of the command leaves nothing behind", async ({ expect }) => {
  const started = await startUnder(process.execPath, START);
  started.command.child.kill("SIGKILL");
  expect(await remains(started)).toEqual([]);
});

it.for(["SIGTERM", "SIGINT", "SIGKILL"] as const)(
  "%s to npm leaves nothing behind",
  async (signal, { expect }) => {
    const started = await startUnder("npm", ["start", "--silent", "--", ...OPTIONS]);
    started.command.child.kill(signal);
    expect(await remains(started)).toEqual([]);
  },
);

it("outlives the shell that put it into the background", async ({ expect }) => {
  const args = START.map((arg) => `"${arg}"`).join(" ");
  const script = `"${process.execPath}" ${args} & echo "pid $!" >&2; wait`;
  // As in a terminal: not started by npm.
  const env = { npm_lifecycle_event: "", npm_command: "" };
  const started = await startUnder("sh", ["-c", script], env);
  started.command.child.kill("SIGKILL");
  // Longer than the command looks after its parent.
  await pause(1000);
  expect(await portIsOpen(started.port)).toBe(true);
  process.kill(Number(/^pid (\d+)$/m.exec(started.command.stderr())?.[1]), "SIGTERM");
  expect(await remains(started)).toEqual([]);
});

it("comes back when the runtime crashes, and is still ended whole", async ({ expect }) => {
  const started = await startUnder(process.execPath, START);
  const { pid } = started.command.child;
  process.kill(started.workerd, "SIGKILL");
  await until("another runtime serves", 10_000, async () => {
    return !processIsAlive(started.workerd) && (await portIsOpen(started.port));
  });
  const workerd = workerdOf(pid ?? 0);
  started.command.child.kill("SIGKILL");
  expect(await remains({ ...started, workerd })).toEqual([]);
});
