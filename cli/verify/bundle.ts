// Holds what is uploaded to its budget, and keeps out what has no business in it. A byte ceiling notices
// late and vaguely; a forbidden string says what leaked.
import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { print } from "../output.ts";

/** What the minified bundle should come to, gzip; `npm run bench bundle` says by how much it is missed. */
export const BUNDLE_BUDGET_BYTES = 60 * 1024;

/**
 * What it must not pass, gzip. The budget was set for a gateway alone; the objects of regions, ledgers,
 * outboxes, relays and sagas, which only their own isolates run, and what delivers, are more than half of
 * what is uploaded. It is here so that growth is noticed.
 */
export const BUNDLE_CEILING_BYTES = 165 * 1024;

interface ForbiddenString {
  readonly text: string;
  readonly reason: string;
}

export const FORBIDDEN_STRINGS: readonly ForbiddenString[] = [
  { text: "node:", reason: "the gateway runs on web standards alone, without Node compatibility" },
  { text: "process.env", reason: "the Worker reads its bindings, not an environment" },
  { text: "miniflare", reason: "belongs to the local runtime" },
  { text: "esbuild", reason: "belongs to the commands" },
  { text: "undici", reason: "belongs to the load generator and the tests" },
  { text: "fast-check", reason: "belongs to the tests" },
  { text: "_demo?", reason: "the demo upstreams stay on the laptop" },
  { text: "eval(", reason: "workerd refuses code from strings" },
  { text: "new Function", reason: "workerd refuses code from strings" },
  { text: "_zod", reason: "zod reads configuration files, and that is done before the upload" },
  { text: "(got ", reason: "the rules for configuration files: the Worker gets a compiled one" },
];

/** Measures the bundle and searches it; prints what it finds. */
export async function checkBundle(file: string): Promise<boolean> {
  const code = await readFile(file);
  const { gzipBytes, problems } = bundleProblems(code);
  print(`${kib(code.length)} minified, ${kib(gzipBytes)} gzip, at most ${kib(BUNDLE_CEILING_BYTES)}`);
  for (const problem of problems) print(problem);
  return problems.length === 0;
}

/** What is wrong with a bundle, one line each. */
export function bundleProblems(code: Buffer): {
  readonly gzipBytes: number;
  readonly problems: readonly string[];
} {
  const gzipBytes = gzipSync(code, { level: 9 }).length;
  const text = code.toString("utf8");
  const problems = FORBIDDEN_STRINGS.filter((forbidden) => text.includes(forbidden.text)).map(
    (forbidden) => `the bundle contains ${JSON.stringify(forbidden.text)}: ${forbidden.reason}`,
  );
  if (gzipBytes > BUNDLE_CEILING_BYTES) {
    problems.push(`the bundle is ${kib(gzipBytes - BUNDLE_CEILING_BYTES)} over its ceiling`);
  }
  return { gzipBytes, problems };
}

function kib(bytes: number): string {
  return `${(bytes / 1024).toFixed(1)} KiB`;
}
