// The demo upstreams: which there are, and which of them a configuration needs. Each starts when its
// address occurs in a configuration. Where the port is taken, the project's own configuration gets a
// server on a free one and its address follows; in somebody's own file the address means whoever listens.
import { report } from "../output.ts";
import { startDemoServer, type DemoServer } from "./server.ts";
import type { DemoSettings } from "./settings.ts";

interface DemoUpstream {
  readonly name: string;
  readonly port: number;
  readonly settings: DemoSettings;
}

const HEALTHY = { errors: 0, down: false };

const DEMO_UPSTREAMS: readonly DemoUpstream[] = [
  { name: "payments", port: 8791, settings: { capacity: 100, latency: 20, ...HEALTHY } },
  { name: "catalog", port: 8792, settings: { capacity: 100, latency: 10, ...HEALTHY } },
  { name: "analytics", port: 8793, settings: { capacity: 100, latency: 10, ...HEALTHY } },
  // Small on purpose: 10 at a time, 100 ms each, is 100 requests/s.
  { name: "shop", port: 8794, settings: { capacity: 10, latency: 100, ...HEALTHY } },
];

/** The address of a running demo upstream by its name, e.g. `http://127.0.0.1:8794`. */
export type DemoAddresses = ReadonlyMap<string, string>;

export class DemoServers {
  readonly #mayMove: boolean;
  readonly #running = new Map<string, DemoServer>();

  /** `mayMove`: a server whose port is taken runs on a free one. */
  constructor(mayMove: boolean) {
    this.#mayMove = mayMove;
  }

  /** Starts what the configuration refers to; returns it with the addresses that are really in use. */
  async attach(config: unknown): Promise<unknown> {
    let attached = config;
    for (const upstream of DEMO_UPSTREAMS) {
      if (!occurs(attached, upstream.port)) continue;
      const server = this.#running.get(upstream.name) ?? (await this.#start(upstream));
      if (server === null) continue;
      this.#running.set(upstream.name, server);
      if (server.port !== upstream.port) attached = replacePort(attached, upstream.port, server.port);
    }
    return attached;
  }

  addresses(): DemoAddresses {
    return new Map([...this.#running.values()].map(({ name, port }) => [name, `http://127.0.0.1:${port}`]));
  }

  async #start({ name, port, settings }: DemoUpstream): Promise<DemoServer | null> {
    try {
      return await startDemoServer(name, port, settings);
    } catch {
      if (!this.#mayMove) {
        report(
          `port ${port} is taken: requests go to whoever listens there, not to the demo upstream ${name}`,
        );
        return null;
      }
      const server = await startDemoServer(name, 0, settings);
      report(`demo upstream ${name}: port ${port} is taken, using ${server.port}`);
      return server;
    }
  }
}

function addressPattern(port: number): RegExp {
  return new RegExp(`^(http://(?:127\\.0\\.0\\.1|localhost)):${port}(?=[/?#]|$)`);
}

function occurs(value: unknown, port: number): boolean {
  if (typeof value === "string") return addressPattern(port).test(value);
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some((inner) => occurs(inner, port));
}

function replacePort(value: unknown, from: number, to: number): unknown {
  if (typeof value === "string") return value.replace(addressPattern(from), `$1:${to}`);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((inner) => replacePort(inner, from, to));
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, replacePort(inner, from, to)]));
}
