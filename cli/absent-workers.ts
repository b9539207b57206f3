// Service bindings of wrangler.toml lead to Workers that do not run on this machine. Without them the runtime
// refuses to start, so each gets a stand-in that says so with a 503.
import type { V4WorkerOptions } from "miniflare";
import { fieldOf } from "./fields.ts";

interface Service {
  readonly worker: string;
  readonly entrypoint: string | null;
}

/** One stand-in for each Worker that the bindings name, `own` itself aside. */
export function absentWorkers(own: string, serviceBindings: unknown): readonly V4WorkerOptions[] {
  const entrypoints = new Map<string, Set<string>>();
  for (const binding of Object.values(serviceBindings ?? {})) {
    const service = serviceOf(binding);
    if (service === null || service.worker === own) continue;
    const named = entrypoints.get(service.worker) ?? new Set();
    if (service.entrypoint !== null) named.add(service.entrypoint);
    entrypoints.set(service.worker, named);
  }
  return [...entrypoints].map(([name, named]) => ({
    name,
    modules: [{ type: "ESModule", path: "/absent.mjs", contents: absentCode(name, [...named]) }],
    modulesRoot: "/",
  }));
}

function serviceOf(binding: unknown): Service | null {
  if (typeof binding === "string") return { worker: binding, entrypoint: null };
  const worker = fieldOf(binding, "name");
  const entrypoint = fieldOf(binding, "entrypoint");
  if (typeof worker !== "string") return null;
  return { worker, entrypoint: typeof entrypoint === "string" ? entrypoint : null };
}

function absentCode(name: string, entrypoints: readonly string[]): string {
  const text = JSON.stringify(`the Worker ${name} does not run on this machine\n`);
  const classes = entrypoints.map((entrypoint) => `export class ${entrypoint} extends Absent {}`);
  return `import { WorkerEntrypoint } from "cloudflare:workers";
    class Absent extends WorkerEntrypoint { fetch() { return new Response(${text}, { status: 503 }); } }
    export default Absent;
    ${classes.join("\n")}`;
}
