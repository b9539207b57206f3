// HAProxy and nginx: where they are, and how they get here. They are no packages of this project; where the
// bench may, it installs them from the distribution, and elsewhere it does without.
import { spawnSync } from "node:child_process";
import { report } from "../../cli/output.ts";

const INSTALL_TIMEOUT_MS = 90_000;
const PACKAGES = ["haproxy", "nginx-light"];

export interface Versions {
  readonly haproxy: string;
  readonly nginx: string;
}

/** The versions of both; null when one is missing and cannot be installed, which is reported. */
export function installPeers(): Versions | null {
  const found = findPeers();
  if (found !== null) return found;
  if (process.getuid?.() !== 0 || spawnSync("apt-get", ["--version"]).status !== 0) {
    report("HAProxy and nginx are not both installed, and only root can install them with apt-get: left out");
    return null;
  }
  report(`installing ${PACKAGES.join(" and ")}`);
  const installs =
    apt("update") && apt("install", "--yes", "--no-install-recommends", ...PACKAGES) ? findPeers() : null;
  if (installs === null) report("HAProxy and nginx could not be installed: left out");
  return installs;
}

function findPeers(): Versions | null {
  const haproxy = versionIn(["haproxy", "-v"], /version (\d+(?:\.\d+)+)/);
  const nginx = versionIn(["nginx", "-v"], /nginx\/(\d+(?:\.\d+)+)/);
  return haproxy === null || nginx === null ? null : { haproxy, nginx };
}

function versionIn([program, ...args]: readonly string[], pattern: RegExp): string | null {
  const { stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  return pattern.exec(`${stdout ?? ""}${stderr ?? ""}`)?.[1] ?? null;
}

function apt(...args: readonly string[]): boolean {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const options = { env, timeout: INSTALL_TIMEOUT_MS, stdio: "ignore" } as const;
  return spawnSync("apt-get", args, options).status === 0;
}
