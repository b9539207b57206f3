// Runs the Worker in workerd, from wrangler.toml as the only source of its shape. Traffic goes to a socket
// of workerd itself: miniflare's entry port costs twice the processor time for each request. Several regions
// are several isolates of it, each on a socket of its own; the first one is home to the Durable Objects and
// workflows.
import type { V4WorkerOptions } from "miniflare";
import { absentWorkers } from "./absent-workers.ts";
import { withDatabases } from "./databases.ts";
import { report } from "./output.ts";

export interface WorkerdOptions {
  readonly code: string;
  readonly shape: WorkerShape;
  readonly host: string;
  /** One isolate for each; the first one is home to the objects. */
  readonly regions: readonly RegionSocket[];
  /** Text bindings by name; they win over those of wrangler.toml. */
  readonly bindings: Readonly<Record<string, string>>;
  /** Folder for Durable Objects, queues and workflows; undefined: temporary. */
  readonly persist: string | undefined;
  /** Called after the runtime crashed and came back. */
  readonly onRestart: () => void;
}

export interface RegionSocket {
  readonly region: string;
  /** 0 takes a free port. */
  readonly port: number;
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
  const { alias: aliases = {}, hyperdrive } = unstable_readConfig(
    { config: wranglerToml },
    { hideWarnings: true },
  );
  const { workerOptions, main } = withDatabases(hyperdrive, () =>
    unstable_getMiniflareWorkerOptions(wranglerToml),
  );
  if (main === undefined) throw new Error(`${wranglerToml} names no main`);
  const vars = Object.entries(workerOptions.bindings ?? {}).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Omit over its union loses every field
  return { main, aliases, options: workerOptions as V4WorkerOptions, vars: Object.fromEntries(vars) };
}

/** Starts the runtime; resolves when its sockets accept connections, with their ports in the same order. */
export async function startWorkerd(options: WorkerdOptions): Promise<readonly number[]> {
  const { Miniflare, convertV4MiniflareOptions, Log, LogLevel } = await import("miniflare");
  const { shape, regions } = options;
  const home = shape.options.name ?? "tidegate";
  const workers = regions.map((socket, index) => regionWorker(options, socket, home, index === 0));
  const absent = absentWorkers(home, shape.options.serviceBindings);
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
      workers: [...workers, ...absent],
    }),
  );
  await runtime.ready;
  const ports: number[] = [];
  for (const [index, { port }] of regions.entries()) {
    const name = workers[index].name ?? home;
    ports.push(port === 0 ? Number((await runtime.unsafeGetDirectURL(name)).port) : port);
  }
  return ports;
}

function regionWorker(
  { code, shape, host, bindings, regions }: WorkerdOptions,
  { region, port }: RegionSocket,
  home: string,
  isHome: boolean,
): V4WorkerOptions {
  return {
    ...shape.options,
    name: isHome ? home : `${home}-${region}`,
    modulesRules: undefined,
    modules: [{ type: "ESModule", path: "/index.mjs", contents: code }],
    modulesRoot: "/",
    bindings: {
      ...shape.options.bindings,
      ...bindings,
      TIDEGATE_REGION: region,
      TIDEGATE_REGIONS: regions.map((socket) => socket.region).join(","),
    },
    // Only objects and executors speak to a workflow, and they live in the first one.
    workflows: isHome ? shape.options.workflows : undefined,
    durableObjects: isHome ? shape.options.durableObjects : hostedBy(home, shape.options.durableObjects),
    // A queue has one consumer.
    queueConsumers: isHome ? shape.options.queueConsumers : undefined,
    unsafeDirectSockets: [{ host, port }],
    // The address a client claims is believed locally, so that load from many addresses can be played.
    stripCfConnectingIp: false,
  };
}

type ObjectBindings = V4WorkerOptions["durableObjects"];

/** The same bindings, to the objects that live in the Worker `home`. */
function hostedBy(home: string, objects: ObjectBindings): ObjectBindings {
  const entries = Object.entries(objects ?? {}).map(([binding, designator]) => [
    binding,
    typeof designator === "string"
      ? { className: designator, scriptName: home }
      : { ...designator, scriptName: home },
  ]);
  return Object.fromEntries(entries);
}
