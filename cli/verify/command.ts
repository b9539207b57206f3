// `tidegate verify`: everything that CI checks, in order, up to the first step that fails.
import { parseOptions } from "../arguments.ts";
import { print, report } from "../output.ts";
import { STEPS } from "./steps.ts";

export async function verify(args: string[]): Promise<number> {
  const parsed = parseOptions("verify", args, {});
  if (!parsed.ok) {
    report(parsed.error);
    return 2;
  }
  let passed = 0;
  for (const { name, run } of STEPS) {
    print(`\n== ${name}`);
    const startedMs = performance.now();
    const holds = await run();
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    print(`== ${name}: ${holds ? "ok" : "FAILED"} (${seconds} s)`);
    if (!holds) return finish(passed, name);
    passed++;
  }
  return finish(passed, null);
}

function finish(passed: number, failedStep: string | null): number {
  if (failedStep !== null) report(`tidegate verify: the step "${failedStep}" failed`);
  print(`\n${passed} passed, ${failedStep === null ? 0 : 1} failed`);
  return failedStep === null ? 0 : 1;
}
