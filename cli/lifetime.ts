// Ties the runtime and the temporary data to this process. Whatever ends it - a signal, the end of its
// parent, SIGKILL - no workerd, no port and no temporary folder stay behind.
import { ChildProcess, spawn } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fieldOf } from "./fields.ts";

const PARENT_POLL_MS = 250;

// Learns the runtime's process id, again after each restart. The pipe closes when its writer dies, however
// that happens; then the guard ends the runtime and removes what is left.
const GUARD_SCRIPT = `
runtime=""
while read -r pid; do runtime="$pid"; done
[ -n "$runtime" ] && kill -9 "$runtime" 2>/dev/null
for try in 1 2 3; do rm -rf "$1" && break; sleep 0.1; done
`;

/** Call before the runtime starts. Returns the folder for temporary data, gone when the process is. */
export function bindLifetime(): string {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-"));
  // Everything that asks for the system's temporary folder from now on lands in ours.
  process.env.TMPDIR = folder;
  if (process.platform !== "win32") guardRuntime(folder);
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  // Leaving at once is enough: the runtime is killed in an exit handler and storage survives a kill.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.prependListener(signal, () => process.exit(0));
  }
  if (hasParentToFollow()) followParent(() => process.exit(0));
  return folder;
}

function guardRuntime(folder: string): void {
  // Detached: Ctrl-C and a kill of the whole group must not end the guard before its work is done.
  const guard = spawn("/bin/sh", ["-c", GUARD_SCRIPT, "tidegate-guard", folder], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
    cwd: "/",
  });
  guard.on("error", () => {});
  guard.stdin?.on("error", () => {});
  guard.unref();
  subscribe("child_process", (message) => {
    const child = fieldOf(message, "process");
    if (!(child instanceof ChildProcess)) return;
    child.once("spawn", () => {
      if (basename(child.spawnfile).startsWith("workerd")) guard.stdin?.write(`${child.pid}\n`);
    });
  });
}

/**
 * A gateway that somebody put into the background by hand outlives its shell; one that npm or npx started has
 * no reason to outlive them.
 */
export function hasParentToFollow(): boolean {
  const { env } = process;
  return [env.npm_lifecycle_event, env.npm_command, env.TIDEGATE_FOLLOW_PARENT].some(Boolean);
}

/** Calls back once when the parent is gone. */
export function followParent(gone: () => void): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    gone();
  }, PARENT_POLL_MS).unref();
}
