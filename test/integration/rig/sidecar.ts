// `tidegate sidecar` as a process, seen from outside.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { PROJECT_ROOT } from "../../../cli/project.ts";
import { until } from "./processes.ts";

const START_TIMEOUT_MS = 60_000;

export interface LogLine {
  readonly event?: string;
  readonly [field: string]: unknown;
}

export class SidecarProcess {
  readonly child: ChildProcess;
  /** Standard output but for the ready line, standard error. */
  readonly log: LogLine[] = [];
  readonly output: string[] = [];
  readonly errors: string[] = [];
  readonly #exited: Promise<number | null>;
  readonly #folder = mkdtempSync(join(tmpdir(), "tidegate-sidecar-test-"));

  /** `config`: written to a file and given with --config. */
  constructor(args: readonly string[], config?: object, env: Readonly<Record<string, string>> = {}) {
    const file = join(this.#folder, "sidecar.json");
    if (config !== undefined) writeFileSync(file, JSON.stringify(config));
    const all = config === undefined ? args : [...args, "--config", file];
    this.child = spawn(process.execPath, [`${PROJECT_ROOT}cli/tidegate.mjs`, "sidecar", ...all], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    this.#exited = once(this.child, "exit").then(([code]: (number | null)[]) => code);
    const { stdout, stderr } = this.child;
    if (stdout === null || stderr === null) throw new Error("no output to read");
    createInterface(stdout).on("line", (line) => {
      this.output.push(line);
      if (line.startsWith("{")) this.log.push(JSON.parse(line));
    });
    createInterface(stderr).on("line", (line) => this.errors.push(line));
  }

  /** Resolves once it takes traffic. */
  async ready(): Promise<this> {
    await until(`ready; ${this.errors.join("\n")}`, START_TIMEOUT_MS, () => {
      if (this.child.exitCode !== null) throw new Error(`it ended: ${this.errors.join("\n")}`);
      return this.output.includes("ready");
    });
    return this;
  }

  /** Where one of its sides listens, as a URL. */
  url(side: "inbound" | "outbound" | "admin"): string {
    const address = this.log.find(({ event }) => event === "listening")?.[side];
    if (typeof address !== "string") throw new Error(`${side} does not listen`);
    return address;
  }

  port(side: "inbound" | "outbound" | "admin"): number {
    return Number(new URL(this.url(side)).port);
  }

  /** Waits for a line of the log. */
  async logged(event: string): Promise<LogLine> {
    await until(`a line ${event}`, START_TIMEOUT_MS, () => this.log.some((line) => line.event === event));
    return this.log.find((line) => line.event === event) ?? {};
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Its exit code; null: a signal has ended it. */
  exited(): Promise<number | null> {
    return this.#exited;
  }

  async stop(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.#exited;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
