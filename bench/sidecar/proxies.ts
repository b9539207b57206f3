// The proxies that are measured: each with one upstream, in processes of its own, on a port of its own.
import { fork, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { freePort } from "../../cli/port.ts";
import { PROJECT_ROOT } from "../../cli/project.ts";
import { portIsOpen, until } from "../../test/integration/rig/processes.ts";
import { sidecarPolicies } from "./policies.ts";

export interface Proxy {
  readonly name: string;
  readonly port: number;
  readonly child: ChildProcess;
  /** Every process that does its work. */
  readonly pids: () => readonly number[];
  stop(): void;
}

const START_TIMEOUT_MS = 20_000;
const LOCAL = "127.0.0.1";

/** This project's, every policy on. `options`: of Node; with some, it has a channel to this process. */
export async function startSidecarProxy(upstream: string, options: readonly string[] = []): Promise<Proxy> {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-bench-"));
  const config = join(folder, "sidecar.json");
  writeFileSync(config, JSON.stringify(sidecarPolicies(upstream)));
  const port = await freePort(LOCAL, 20_000 + (process.pid % 10_000));
  const args = ["sidecar", "--inbound", `${LOCAL}:${port}`, "--app", upstream, "--config", config];
  const child = spawn(process.execPath, [...options, `${PROJECT_ROOT}cli/tidegate.mjs`, ...args], {
    stdio: ["ignore", "pipe", "ignore", ...(options.length === 0 ? [] : (["ipc"] as const))],
  });
  await lineOf(child, "ready");
  return proxyOf("tidegate sidecar", port, child, () => rmSync(folder, { recursive: true, force: true }));
}

export async function startFastifyProxy(upstream: string): Promise<Proxy> {
  const child = fork(join(import.meta.dirname, "fastify-proxy.ts"), [upstream], { stdio: "ignore" });
  const [{ port }]: { port: number }[] = await once(child, "message");
  return proxyOf("@fastify/http-proxy", port, child, () => {});
}

export async function startNginx(upstream: string): Promise<Proxy> {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-bench-"));
  const port = await freePort(LOCAL, 31_000 + (process.pid % 1_000));
  const file = join(folder, "nginx.conf");
  writeFileSync(file, nginxConfig(folder, port, new URL(upstream).host));
  const child = spawn("nginx", ["-e", "stderr", "-c", file], { stdio: "ignore" });
  await until("nginx listens", START_TIMEOUT_MS, () => portIsOpen(port));
  return proxyOf("nginx", port, child, () => rmSync(folder, { recursive: true, force: true }));
}

export async function startHaproxy(upstream: string): Promise<Proxy> {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-bench-"));
  const port = await freePort(LOCAL, 32_000 + (process.pid % 500));
  const file = join(folder, "haproxy.cfg");
  writeFileSync(file, haproxyConfig(port, new URL(upstream).host));
  const child = spawn("haproxy", ["-db", "-f", file], { stdio: "ignore" });
  await until("HAProxy listens", START_TIMEOUT_MS, () => portIsOpen(port));
  return proxyOf("HAProxy", port, child, () => rmSync(folder, { recursive: true, force: true }));
}

function proxyOf(name: string, port: number, child: ChildProcess, clean: () => void): Proxy {
  const { pid } = child;
  if (pid === undefined) throw new Error(`${name} did not start`);
  return {
    name,
    port,
    child,
    pids: () => [pid, ...childrenOf(pid)],
    stop() {
      child.kill("SIGKILL");
      for (const other of childrenOf(pid)) process.kill(other, "SIGKILL");
      clean();
    },
  };
}

/** What a process has started: nginx works in a child. */
function childrenOf(pid: number): readonly number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    return text === "" ? [] : text.split(" ").map(Number);
  } catch {
    return [];
  }
}

async function lineOf(child: ChildProcess, wanted: string): Promise<void> {
  if (child.stdout === null) throw new Error("no output to read");
  const lines = createInterface(child.stdout);
  for await (const line of lines) {
    if (line !== wanted) continue;
    // The rest is the access log: read, so that writing it is part of the work.
    child.stdout.resume();
    return;
  }
  throw new Error("the sidecar did not get ready");
}

const nginxConfig = (folder: string, port: number, upstream: string): string => `
daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  keepalive_requests 1000000000;
  upstream app { server ${upstream}; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen ${LOCAL}:${port};
    location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
`;

const haproxyConfig = (port: number, upstream: string): string => `
global
  nbthread 1
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 30s
frontend in
  bind ${LOCAL}:${port}
  default_backend app
backend app
  http-reuse always
  server one ${upstream}
`;
