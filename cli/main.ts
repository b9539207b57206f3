// Dispatches `tidegate <command>`. A command returns its exit code, or null when it goes on running.
import { outputWritten, print, report, reportAll, surviveClosedOutput } from "./output.ts";
import { projectProblems } from "./project-problems.ts";

/** Exit code for a command line that was not understood. */
export const USAGE_ERROR = 2;

type Command = (args: string[]) => Promise<number | null>;

const COMMANDS: Record<string, { readonly what: string; readonly load: () => Promise<Command> }> = {
  start: { what: "run the gateway on this machine", load: async () => (await import("./start.ts")).start },
  sidecar: {
    what: "run the gateway's policies beside a service",
    load: async () => (await import("./sidecar.ts")).sidecar,
  },
  check: {
    what: "errors and advice for the configuration",
    load: async () => (await import("./check.ts")).check,
  },
  setup: {
    what: "create the queues and buckets that wrangler.toml names",
    load: async () => (await import("./setup.ts")).setup,
  },
  load: {
    what: "send open-loop load and print a table",
    load: async () => (await import("./load/command.ts")).load,
  },
  outbox: {
    what: "the tables of a Postgres outbox: outbox sql",
    load: async () => (await import("./outbox.ts")).outbox,
  },
  verify: {
    what: "everything that CI checks",
    load: async () => (await import("./verify/command.ts")).verify,
  },
};

/** Runs the command line and ends the process, unless the command goes on running. */
export async function main(argv: readonly string[]): Promise<void> {
  surviveClosedOutput();
  const [name = "help", ...args] = argv;
  const code = await run(name, args);
  if (code === null) return;
  // What a command started, like a demo upstream, must not keep the process alive; its output must get out.
  await outputWritten();
  process.exit(code);
}

async function run(name: string, args: string[]): Promise<number | null> {
  if (name === "help" || name === "--help" || name === "-h") {
    print(helpText());
    return 0;
  }
  if (!Object.hasOwn(COMMANDS, name)) {
    const known = Object.keys(COMMANDS).join(", ");
    report(`tidegate: unknown command ${JSON.stringify(name)}; there are ${known} and help`);
    return USAGE_ERROR;
  }
  try {
    const command = await COMMANDS[name].load();
    return await command(args);
  } catch (error) {
    const problems = projectProblems(error);
    if (problems === null) throw error;
    reportAll(problems);
    return 1;
  }
}

function helpText(): string {
  const lines = Object.entries(COMMANDS).map(([name, { what }]) => `  tidegate ${name.padEnd(8)} ${what}`);
  return ["usage: tidegate <command> [options]", "", ...lines, "  tidegate help     this text"].join("\n");
}
