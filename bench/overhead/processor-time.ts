// The processor time of a process: user and system, all threads, as the system counts it.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Ticks per second of /proc; the same on every Linux that Node supports (USER_HZ). */
const TICKS_PER_SECOND = 100;

/** Ms so far, or null where the system does not tell. Exact to 10 ms. */
export function processorTimeMs(pid: number): number | null {
  return process.platform === "linux" ? fromProc(pid) : fromPs(pid);
}

function fromProc(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // Fields are counted behind the command, which stands in parentheses and may contain anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

/** `[[hours:]minutes:]seconds[.hundredths]`. */
function fromPs(pid: number): number | null {
  try {
    const text = execFileSync("ps", ["-o", "time=", "-p", String(pid)], { encoding: "utf8" });
    const parts = text.trim().split(":").map(Number);
    return parts.reduce((total, part) => total * 60 + part, 0) * 1000;
  } catch {
    return null;
  }
}
