// Runs the Worker in workerd, from wrangler.toml as the only source of its shape. Traffic goes to a socket
// of workerd itself: miniflare's entry port costs twice the processor time for each request.
import type { V4WorkerOptions } from "miniflare";
import { absentWorkers } from "./absent-workers.ts";
import { report } from "./output.ts";

export interface WorkerdOptions {
  readonly code: string;
  readonly shape: WorkerShape;
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** Text bindings by name; they win over those of wrangler.toml. */
  readonly bindings: Readonly<Record<string, string>>;
  /** Folder for Durable Objects, queues and workflows; undefined: temporary. */
  readonly persist: string | undefined;
  /** Called after the runtime crashed and came back. */
  readonly onRestart: () => void;
}

/** What wrangler.toml says, without the code. */
export interface WorkerShape {
  readonly main: string;
  readonly options: V4WorkerOptions;
  /** What stands in the place of an import; paths are relative to the project. */
  readonly aliases: Readonly<Record<string, string>>;
  /** Text bindings: `[vars]` and `.dev.vars`. */
  readonly vars: Readonly<Record<string, string>>;
}

export async function readWorkerShape(wranglerToml: string): Promise<WorkerShape> {
  const { unstable_getMiniflareWorkerOptions, unstable_readConfig } = await import("wrangler");
  const { workerOptions, main } = unstable_getMiniflareWorkerOptions(wranglerToml);
  const { alias: aliases = {} } = unstable_readConfig({ config: wranglerToml }, { hideWarnings: true });
  if (main === undefined) throw new Error(`${wranglerToml} names no main`);
  const vars = Object.entries(workerOptions.bindings ?? {}).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Omit over its union loses every field
  return { main, aliases, options: workerOptions as V4WorkerOptions, vars: Object.fromEntries(vars) };
}

/** Starts the runtime; resolves when its socket accepts connections, with the port that it got. */
export async function startWorkerd(options: WorkerdOptions): Promise<number> {
  const { Miniflare, convertV4MiniflareOptions, Log, LogLevel } = await import("miniflare");
  const { shape, host, port } = options;
  const name = shape.options.name ?? "tidegate";
  const worker: V4WorkerOptions = {
    ...shape.options,
    name,
    modulesRules: undefined,
    modules: [{ type: "ESModule", path: "/index.mjs", contents: options.code }],
    modulesRoot: "/",
    bindings: { ...shape.options.bindings, ...options.bindings },
    unsafeDirectSockets: [{ host, port }],
    // The address a client claims is believed locally, so that load from many addresses can be played.
    stripCfConnectingIp: false,
  };
  const absent = absentWorkers(name, shape.options.serviceBindings);
  for (const { name: other } of absent) {
    report(`service binding: the Worker ${other} does not run on this machine, it answers 503`);
  }
  const runtime = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      cf: false,
      telemetry: { enabled: false },
      log: new Log(LogLevel.WARN),
      handleStructuredLogs: ({ message }) => report(message),
      unsafeHandleRuntimeRestart: options.onRestart,
      resourcePersistencePath: options.persist,
      workers: [worker, ...absent],
    }),
  );
  await runtime.ready;
  return port === 0 ? Number((await runtime.unsafeGetDirectURL(name)).port) : port;
}
