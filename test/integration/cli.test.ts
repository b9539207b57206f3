// The commands as processes: what they print, how they fail, and that nothing outlives them.
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { COMPILED_CONFIG_FILE, PROJECT_ROOT } from "../../cli/project.ts";
import { unpackPlan } from "../../src/config/compiled-config.ts";
import {
  COMMAND,
  readyUrl,
  runCommand,
  runProcess,
  startGateway,
  startUpstream,
  until,
  type RunningCommand,
  type RunningGateway,
  type RunningUpstream,
} from "./rig/index.ts";

const folder = mkdtempSync(join(tmpdir(), "tidegate-cli-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fileWith(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function configFor(target: string, more: object = {}): object {
  return { upstreams: { app: { targets: [target] } }, routes: [{ path: "/*", upstream: "app" }], ...more };
}

/** The project's own files in a folder of their own, with what is installed or without. */
function cloneWith(name: string, { isInstalled }: { readonly isInstalled: boolean }): string {
  const clone = join(folder, name);
  for (const part of ["cli", "src", "durable-objects", "package.json", "wrangler.toml"]) {
    cpSync(join(PROJECT_ROOT, part), join(clone, part), { recursive: true });
  }
  if (isInstalled) {
    symlinkSync(realpathSync(join(PROJECT_ROOT, "node_modules")), join(clone, "node_modules"));
  }
  return join(clone, "cli/tidegate.mjs");
}

function compileRoute(name: string, upstream: string): RunningCommand["ended"] {
  const config = configFor("http://127.0.0.1:9", { routes: [{ path: "/*", upstream }] });
  return runCommand(["check", "--compile", "--config", fileWith(name, JSON.stringify(config))]).ended;
}

describe("command line", () => {
  it("says what exists for an unknown command", async ({ expect }) => {
    const { code, stdout, stderr } = await runCommand(["strat"]).ended;
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toBe(
      'tidegate: unknown command "strat"; there are start, sidecar, check, setup, load, outbox, verify and help\n',
    );
  });

  it("says what exists for an unknown option", async ({ expect }) => {
    const { code, stderr } = await runCommand(["start", "--prot", "1"]).ended;
    expect(code).toBe(2);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toContain("--prot");
    expect(stderr).toContain("--port");
  });

  it.for([
    [["start", "--port", "70000"], "--port"],
    [["start", "--env", "noequals"], "NAME=VALUE"],
    [["start", "--host", ""], "--host"],
    [["start", "--regions", "weur,West"], '"West"'],
    [["start", "--regions", "weur,,enam"], '""'],
    [["start", "--regions", ""], '""'],
    [["start", "--regions", "weur,enam,weur"], "each once"],
    [["start", "--regions", Array.from({ length: 17 }, (_, index) => `r${index}`).join(",")], "at most 16"],
    [["start", "--region", "weur,enam"], "--region must"],
    [["load", "--mix", "nope"], "--mix"],
    [["load", "--url", "localhost:1"], "--url"],
    [["load", "--arrivals", "bursty"], "--arrivals"],
  ] as const)("refuses %j in one line", async ([args, named], { expect }) => {
    const { code, stderr } = await runCommand(args).ended;
    expect(code).toBe(2);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toContain(named);
  });

  it("says how npm is told that an option is not its own", async ({ expect }) => {
    // What is left of `npm start --port 9000`.
    const { code, stderr } = await runCommand(["start", "9000"], { npm_lifecycle_event: "start" }).ended;
    expect(code).toBe(2);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toContain("npm start -- --port 9000");
    const direct = await runCommand(["start", "9000"], { npm_lifecycle_event: "" }).ended;
    expect(direct.stderr).not.toContain("npm");
  });

  it("lists the commands in its help", async ({ expect }) => {
    const { code, stdout } = await runCommand(["help"]).ended;
    expect(code).toBe(0);
    for (const name of ["start", "check", "load", "verify"]) expect(stdout).toContain(`tidegate ${name}`);
  });
});

describe("a clone", () => {
  it.for([["start"], ["check"]])("without npm ci says so in one line: %s", async ([command], { expect }) => {
    const clone = cloneWith(`bare-${command}`, { isInstalled: false });
    for (const [mode, advised] of [
      ["", "npm ci first"],
      ["production", "npm ci --include=dev first"],
    ]) {
      const ran = await runProcess(process.execPath, [clone, command], { NODE_ENV: mode }).ended;
      expect(ran.code).toBe(1);
      expect(ran.stderr.trim().split("\n")).toHaveLength(1);
      expect(ran.stderr).toContain(advised);
    }
  });

  it("without its configuration file says which one, and runs with another", async ({ expect }) => {
    const clone = cloneWith("no-config", { isInstalled: true });
    const { code, stderr } = await runProcess(process.execPath, [clone, "start", "--port", "0"]).ended;
    expect(code).toBe(1);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toContain("tidegate.config.ts: no such file");
    expect(stderr).toContain("--config");
    const other = fileWith("other.json", JSON.stringify(configFor("http://127.0.0.1:9")));
    const args = [clone, "check", "--config", other];
    expect((await runProcess(process.execPath, args).ended).code).toBe(0);
  });

  it.for([
    ["[[broken", /wrangler\.toml:\d+:\d+: .*TOML/],
    ["send_metrics = 5", /^wrangler\.toml: .*"send_metrics"/],
    [null, /wrangler\.toml/],
  ] as const)("with a wrangler.toml that cannot be read says where: %s", async ([text, line], { expect }) => {
    const clone = cloneWith(`toml-${text?.length ?? 0}`, { isInstalled: true });
    const toml = join(clone, "../../wrangler.toml");
    // Before the first table: it stands for the whole file.
    if (text === null) rmSync(toml);
    else writeFileSync(toml, `${text}\n${readFileSync(toml, "utf8")}`);
    const file = fileWith("any.json", JSON.stringify(configFor("http://127.0.0.1:9")));
    const args = [clone, "start", "--port", "0", "--config", file];
    const { code, stdout, stderr } = await runProcess(process.execPath, args).ended;
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toMatch(line);
  });
});

describe("configuration files", () => {
  it.for([
    ["missing.ts", null, "no such file; --config"],
    ["syntax.ts", "export default {", "syntax.ts:1:"],
    ["no-default.ts", "export const config = {};", "write export default defineGateway"],
    ["throws.mjs", "throw new Error('on purpose');", "on purpose"],
    ["broken.json", "{", "broken.json"],
    ["notes.txt", "{}", ".json"],
    [
      "function.ts",
      "export default { routes: [{ path: () => '/' }] };",
      "routes[0].path: must be plain data, got a function",
    ],
    [
      "date.ts",
      "export default { upstreams: { a: { at: new Date() } } };",
      "upstreams.a.at: must be plain data, got a Date object",
    ],
  ] as const)("%s is one clear line and exit 1", async ([name, text, expected], { expect }) => {
    const file = text === null ? join(folder, name) : fileWith(name, text);
    const { code, stdout, stderr } = await runCommand(["check", "--config", file]).ended;
    expect(code).toBe(1);
    expect(stdout).toBe("");
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toContain(expected);
  });

  it("loads TypeScript with imports and defineGateway", async ({ expect }) => {
    fileWith("upstreams.ts", 'export const targets: string[] = ["http://127.0.0.1:9"];');
    const file = fileWith(
      "typed.ts",
      `import { defineGateway } from "tidegate";
       import { targets } from "./upstreams.ts";
       export default defineGateway({ upstreams: { a: { targets } }, routes: [{ path: "/*", upstream: "a" }] });`,
    );
    const { code, stdout, stderr } = await runCommand(["check", "--config", file]).ended;
    expect(stderr).not.toContain("must");
    expect(stdout).toMatch(/^ok [0-9a-f]{16}\n$/);
    expect(code).toBe(0);
  });

  it("prints every error with its path", async ({ expect }) => {
    const file = fileWith(
      "wrong.json",
      JSON.stringify({
        upstreams: { a: { targets: ["ftp://x"], breaker: { failureRate: 7 } } },
        routes: [{ path: "/*", upstream: "nobody" }],
      }),
    );
    for (const command of ["check", "start"]) {
      const args = command === "start" ? ["--port", "0"] : [];
      const { code, stdout, stderr } = await runCommand([command, "--config", file, ...args]).ended;
      expect(code).toBe(1);
      expect(stdout).toBe("");
      const lines = stderr.trim().split("\n");
      for (const path of [
        "upstreams.a.targets[0]",
        "upstreams.a.breaker.failureRate",
        "routes[0].upstream",
      ]) {
        expect(lines.filter((line) => line.startsWith(path))).toHaveLength(1);
      }
    }
  });

  it("leaves a compiled configuration for wrangler, and none when the file is wrong", async ({ expect }) => {
    const { code, stdout } = await compileRoute("compiled.json", "app");
    expect(code).toBe(0);
    const written: unknown = JSON.parse(readFileSync(COMPILED_CONFIG_FILE, "utf8"));
    expect(stdout).toBe(`ok ${unpackPlan(written)?.hash}\n`);
    expect((await compileRoute("uncompiled.json", "nobody")).code).toBe(1);
    expect(existsSync(COMPILED_CONFIG_FILE)).toBe(false);
  });

  it("names a missing binding beside everything else that is wrong", async ({ expect }) => {
    const upstreams = { app: { targets: [{ binding: "NOWHERE" }], timeot: 1 } };
    const file = fileWith("binding-and-more.json", JSON.stringify(configFor("", { upstreams })));
    const { code, stderr } = await runCommand(["check", "--config", file]).ended;
    expect(code).toBe(1);
    expect(stderr.trim().split("\n")).toEqual([
      "upstreams.app.timeot: unknown key, did you mean timeout?",
      'upstreams.app.targets[0].binding: is no binding with a fetch in wrangler.toml (got "NOWHERE")',
    ]);
  });

  it("refuses a target whose binding wrangler.toml does not name", async ({ expect }) => {
    const config = {
      upstreams: { a: { targets: [{ binding: "NOBODY" }] } },
      routes: [{ path: "/*", upstream: "a" }],
    };
    const { code, stderr } = await runCommand([
      "check",
      "--config",
      fileWith("binding.json", JSON.stringify(config)),
    ]).ended;
    expect(code).toBe(1);
    expect(stderr).toContain("NOBODY");
  });
});

describe("start", () => {
  let upstream: RunningUpstream;
  let gateway: RunningGateway;

  beforeAll(async () => {
    upstream = await startUpstream();
    gateway = await startGateway({ config: configFor(upstream.url), args: ["--region", "apac"] });
  });
  afterAll(async () => {
    await gateway.stop();
    await upstream.stop();
  });

  it("forwards, and believes the client address that it is told", async ({ expect }) => {
    upstream.requests.length = 0;
    const response = await fetch(`${gateway.url}/hello`, { headers: { "cf-connecting-ip": "198.18.0.7" } });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("ok");
    expect(upstream.requests[0].target).toBe("/hello");
    expect(upstream.requests[0].headers["x-forwarded-for"]).toContain("198.18.0.7");
  });

  it("writes the access log to standard error as it is, one JSON object per line", async ({ expect }) => {
    await (await fetch(`${gateway.url}/logged`)).text();
    const logged = (): string[] =>
      gateway
        .stderr()
        .split("\n")
        .filter((line) => line.includes("/logged"));
    await until("the access log line", 5000, () => logged().length > 0);
    expect(JSON.parse(logged()[0])).toBeTypeOf("object");
  });

  it("runs beside another gateway", async ({ expect }) => {
    const other = await startGateway({ config: configFor(upstream.url) });
    expect(other.url).not.toBe(gateway.url);
    expect((await fetch(`${other.url}/x`)).status).toBe(200);
    expect(await other.stop()).toBe(0);
    expect((await fetch(`${gateway.url}/x`)).status).toBe(200);
  });

  it("says in one line that its port is in use", async ({ expect }) => {
    const { port } = new URL(gateway.url);
    const args = ["start", "--port", port, "--config", gateway.configFile];
    const { code, stdout, stderr } = await runCommand(args).ended;
    expect(code).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toBe(`port ${port} on 127.0.0.1 is in use: end what listens there or give --port\n`);
  });

  it("says in one line that its data cannot be kept there", async ({ expect }) => {
    const file = fileWith("no-folder", "");
    const args = ["start", "--port", "0", "--config", gateway.configFile, "--persist", file];
    const { code, stderr } = await runCommand(args).ended;
    expect(code).toBe(1);
    expect(stderr).toBe(`--persist ${file} is no folder that can be written to: give another\n`);
  });

  it("has its default admin token where the environment has an empty one", async ({ expect }) => {
    const args = ["start", "--port", "0", "--no-demo", "--config", gateway.configFile];
    const command = runCommand(args, { ADMIN_TOKEN: "" });
    const url = await readyUrl(command);
    expect(command.stderr()).toContain("admin token: local-admin\n");
    const headers = { authorization: "Bearer local-admin" };
    expect((await fetch(`${url}/_gateway/state`, { headers })).status).toBe(200);
    command.child.kill("SIGTERM");
    expect((await command.ended).code).toBe(0);
  });

  it("names a secret that nobody gave, and takes it from --env or the environment", async ({ expect }) => {
    const route = { path: "/*", upstream: "app", request: { set: { "x-secret": "env:UPSTREAM_KEY" } } };
    const config = configFor(upstream.url, { routes: [route] });
    const file = fileWith("secret.json", JSON.stringify(config));
    const missing = await runCommand(["start", "--port", "0", "--no-demo", "--config", file]).ended;
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain("env:UPSTREAM_KEY");
    expect(missing.stderr).toContain("--env UPSTREAM_KEY=");
    for (const given of [{ args: ["--env", "UPSTREAM_KEY=k=1"] }, { env: { UPSTREAM_KEY: "k=1" } }]) {
      const withSecret = await startGateway({ config, ...given });
      upstream.requests.length = 0;
      await (await fetch(`${withSecret.url}/x`)).text();
      expect(upstream.requests[0].headers["x-secret"]).toBe("k=1");
      await withSecret.stop();
    }
  });
});

describe("standard error that nobody reads", () => {
  it("stops neither the gateway nor its end", async ({ expect, onTestFinished }) => {
    // One line of advice for each route: together more than a pipe holds.
    const file = fileWith(
      "chatty.mjs",
      `const route = (_, i) => ({ path: "/r" + i, upstream: "app", priority: "P0" });
       export default {
         upstreams: { app: { targets: ["http://127.0.0.1:9"] } },
         routes: Array.from({ length: 4000 }, route),
       };`,
    );
    const args = [COMMAND, "start", "--port", "0", "--config", file];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    onTestFinished(() => void child.kill("SIGKILL"));
    const [ready]: unknown[] = await once(child.stdout, "data");
    expect(String(ready)).toMatch(/^ready /);
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
  });
});

describe("demo upstreams", () => {
  it("start for the addresses of the configuration, and leave a taken port to its owner", async ({
    expect,
  }) => {
    const taken = createServer();
    const port = 8793;
    const isOurs = await new Promise<boolean>((resolve) => {
      taken.once("error", () => resolve(false));
      taken.listen(port, "127.0.0.1", () => resolve(true));
    });
    const file = fileWith("demo.json", JSON.stringify(configFor(`http://127.0.0.1:${port}`)));
    const command = runCommand(["start", "--port", "0", "--config", file]);
    await until("the gateway is ready", 20_000, () => command.stdout().startsWith("ready "));
    expect(command.stderr()).toContain(`port ${port} is taken`);
    expect(command.stderr()).not.toContain("8794");
    command.child.kill("SIGTERM");
    expect((await command.ended).code).toBe(0);
    if (isOurs) taken.close();
  });
});
