#!/usr/bin/env node
// The `tidegate` command. The sources are TypeScript that Node 22.18 and later run as they are; an older
// Node hands over to the Node 24 that the development dependencies bring along.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const [major, minor] = process.versions.node.split(".").map(Number);

if (major > 22 || (major === 22 && minor >= 18)) {
  const { main } = await import("./main.ts");
  await main(process.argv.slice(2));
} else {
  handOver();
}

function handOver() {
  const candidates = ["../node_modules/node/bin/node", "../node_modules/.bin/node"];
  const node = candidates.map((path) => fileURLToPath(new URL(path, import.meta.url))).find(existsSync);
  if (node === undefined) {
    process.stderr.write(
      `tidegate needs Node 22.18 or later, this is ${process.version}: run npm ci first\n`,
    );
    process.exit(1);
  }
  const child = spawn(node, process.argv.slice(1), {
    stdio: "inherit",
    // Tells the command that it has a parent to follow into death.
    env: { ...process.env, TIDEGATE_FOLLOW_PARENT: "1" },
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    process.stderr.write(`cannot run ${node}: ${error.message}\n`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}
