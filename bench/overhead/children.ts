// The processes of the overhead bench: upstream, load generator, and one launcher with its workerd per
// Worker. All of them end when this process does.
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { AddressInfo } from "node:net";
import type { LoadOrder, LoadResult } from "./generator.ts";
import type { LaunchOrder, Launched } from "./launcher.ts";

export class Child {
  readonly #process: ChildProcess;
  readonly #ended: Promise<never>;
  #stopping = false;

  constructor(file: string) {
    // The gateway's access log goes to standard error; it is part of the work, not of the report.
    this.#process = fork(join(import.meta.dirname, file), { stdio: ["ignore", "ignore", "ignore", "ipc"] });
    this.#ended = new Promise((_, reject) => {
      this.#process.once("exit", () => {
        if (!this.#stopping) reject(new Error(`${file} ended too early`));
      });
    });
    this.#ended.catch(() => {});
  }

  /** Sends an order, if there is one, and waits for what the child has to say. */
  async ask<T>(order: object | null): Promise<T> {
    if (order !== null) this.#process.send(order);
    const [answer]: T[] = await Promise.race([once(this.#process, "message"), this.#ended]);
    return answer;
  }

  stop(): void {
    this.#stopping = true;
    if (this.#process.connected) this.#process.disconnect();
  }
}

export async function startUpstream(): Promise<{ readonly child: Child; readonly url: string }> {
  const child = new Child("upstream.ts");
  const { port } = await child.ask<AddressInfo>(null);
  return { child, url: `http://127.0.0.1:${port}` };
}

export async function launchWorker(order: LaunchOrder): Promise<Launched & { readonly child: Child }> {
  const child = new Child("launcher.ts");
  return { child, ...(await child.ask<Launched>(order)) };
}

export class Generator {
  readonly child = new Child("generator.ts");

  run(order: LoadOrder): Promise<LoadResult> {
    return this.child.ask<LoadResult>(order);
  }
}
