// Looks at processes and ports from outside.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

const POLL_MS = 25;

/** Polls until the condition holds; throws with `what` when it does not within the time. */
export async function until(
  what: string,
  timeoutMs: number,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const giveUpAt = Date.now() + timeoutMs;
  while (!(await holds())) {
    if (Date.now() > giveUpAt) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await pause(POLL_MS);
  }
}

/** Whether something accepts connections on that port of 127.0.0.1. */
export function portIsOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

interface ProcessRow {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
  readonly command: string;
}

function processes(): readonly ProcessRow[] {
  return process.platform === "linux" ? processesFromProc() : processesFromPs();
}

// A slim container has no `ps`.
function processesFromProc(): readonly ProcessRow[] {
  const rows: ProcessRow[] = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = statLine(entry);
    // The command stands in parentheses and may contain anything.
    const match = /^(\d+) \((.*)\) (\S) (\d+) /s.exec(stat);
    if (match === null) continue;
    rows.push({ pid: Number(match[1]), parent: Number(match[4]), state: match[3], command: match[2] });
  }
  return rows;
}

function statLine(entry: string): string {
  try {
    return readFileSync(`/proc/${entry}/stat`, "utf8");
  } catch {
    // It ended in the meantime.
    return "";
  }
}

function processesFromPs(): readonly ProcessRow[] {
  const text = execFileSync("ps", ["-A", "-o", "pid=,ppid=,stat=,comm="], { encoding: "utf8" });
  return text
    .trim()
    .split("\n")
    .map((line) => {
      const [pid, parent, state, ...command] = line.trim().split(/\s+/);
      return { pid: Number(pid), parent: Number(parent), state, command: command.join(" ") };
    });
}

/** Whether the process runs; one that is dead and not yet collected by its parent does not. */
export function processIsAlive(pid: number): boolean {
  return processes().some((row) => row.pid === pid && !row.state.startsWith("Z"));
}

/** The process id of the runtime below a process, however deep. */
export function workerdOf(ancestor: number): number {
  const rows = processes();
  const below = new Set([ancestor]);
  for (let grown = -1; grown !== below.size;) {
    grown = below.size;
    for (const { pid, parent } of rows) if (below.has(parent)) below.add(pid);
  }
  const found = rows.find(({ pid, command }) => below.has(pid) && command.includes("workerd"));
  if (found === undefined) throw new Error(`process ${ancestor} has no workerd`);
  return found.pid;
}
