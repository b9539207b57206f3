// The end of a sidecar: what is under way is answered, whoever comes later finds nobody.
import { spawn } from "node:child_process";
import { Agent, request } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { portIsOpen, startUpstream, until, type RunningUpstream } from "../rig/index.ts";
import { PROJECT_ROOT } from "../../../cli/project.ts";
import { SidecarProcess } from "../rig/sidecar.ts";

describe("SIGTERM", () => {
  let app: RunningUpstream;
  let sidecar: SidecarProcess;

  afterEach(async () => {
    await sidecar.stop();
    await app.stop();
  });

  async function start(serviceMs: (target: string) => number, ...args: string[]): Promise<void> {
    app = await startUpstream((message, response) => {
      message.resume();
      setTimeout(() => response.end("ok"), serviceMs(message.url ?? ""));
    });
    const listen = ["--inbound", "127.0.0.1:0", "--app", app.url, "--admin", "127.0.0.1:0"];
    sidecar = await new SidecarProcess([...listen, ...args]).ready();
  }

  it.each([
    ["that is kept", true],
    ["for each request", false],
  ])("cuts nothing under load over a connection %s, and ends with 0", async (_, keepAlive) => {
    await start(() => 10);
    const agent = keepAlive ? new Agent({ keepAlive }) : undefined;
    const port = sidecar.port("inbound");
    const outcomes: Record<string, number> = {};
    const callers = Array.from({ length: 16 }, async () => {
      for (let outcome = "200"; outcome !== "ECONNREFUSED";) {
        outcome = await ask(agent, port, "/x");
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      }
    });
    await until("some answers", 5_000, () => (outcomes["200"] ?? 0) > 200);
    sidecar.signal("SIGTERM");
    await Promise.all(callers);
    agent?.destroy();
    expect(Object.keys(outcomes).toSorted()).toEqual(["200", "ECONNREFUSED"]);
    expect(await sidecar.exited()).toBe(0);
    expect(sidecar.log.some(({ event }) => event === "drained")).toBe(true);
  });

  it("waits for a slow answer, and tells probes to look elsewhere meanwhile", async () => {
    await start((target) => (target === "/slow" ? 2_500 : 0));
    const slow = ask(undefined, sidecar.port("inbound"), "/slow");
    await until("the slow request", 5_000, () => app.requests.length === 1);
    sidecar.signal("SIGTERM");
    await sidecar.logged("draining");
    const health = await fetch(`${sidecar.url("admin")}/health`);
    expect(health.status).toBe(503);
    expect(await slow).toBe("200");
    expect(await sidecar.exited()).toBe(0);
  });

  it("ends within the grace time, and then says what it has cut", async () => {
    await start(() => 60_000, "--grace", "300ms");
    const cut = ask(undefined, sidecar.port("inbound"), "/never");
    await until("the request", 5_000, () => app.requests.length === 1);
    sidecar.signal("SIGTERM");
    expect(await cut).toBe("ECONNRESET");
    expect(await sidecar.exited()).toBe(1);
    expect(sidecar.log.find(({ event }) => event === "cut")).toMatchObject({ underWay: 1 });
  });

  it("ends at once with a second signal", async () => {
    await start(() => 60_000);
    void ask(undefined, sidecar.port("inbound"), "/never");
    await until("the request", 5_000, () => app.requests.length === 1);
    sidecar.signal("SIGTERM");
    await sidecar.logged("draining");
    sidecar.signal("SIGTERM");
    expect(await sidecar.exited()).toBe(1);
  });

  it("drains when the shell is gone that npx has put between", async () => {
    app = await startUpstream();
    const command = `"${process.execPath}" cli/tidegate.mjs sidecar --inbound 127.0.0.1:0 --app ${app.url} & wait`;
    const env = { ...process.env, npm_command: "exec" };
    const shell = spawn("/bin/sh", ["-c", command], {
      cwd: PROJECT_ROOT,
      env,
      stdio: ["ignore", "pipe", "ignore"],
    });
    let output = "";
    shell.stdout.on("data", (chunk) => (output += String(chunk)));
    await until("ready", 15_000, () => output.includes("\nready\n"));
    shell.kill("SIGKILL");
    await until("drained", 10_000, () => output.includes('"event":"drained"'));
    expect(output).toContain('"signal":"parent gone"');
  });

  it("ends soon without traffic, and no port stays behind", async () => {
    await start(() => 0);
    const port = sidecar.port("inbound");
    expect(await portIsOpen(port)).toBe(true);
    sidecar.signal("SIGINT");
    expect(await sidecar.exited()).toBe(0);
    expect(await portIsOpen(port)).toBe(false);
  });
});

/** The status, or the code of what went wrong. */
function ask(agent: Agent | undefined, port: number, path: string): Promise<string> {
  return new Promise((resolve) => {
    const sent = request({ host: "127.0.0.1", port, path, agent: agent ?? false }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(String(answer.statusCode)));
      answer.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
    sent.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    sent.end();
  });
}
