// The services of the checkout: inventory, payment, shipping and mail, each a server of its own. Each keeps
// what it did by idempotency key, so that a repeated request has one effect, and can be asked by that key.
// Each can be broken: `POST /_break {"forward": "refuse", "times": 2}`, and heals with `POST /_break {}`.

import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";

/**
 * `refuse`: 422, nothing is done. `down`: 503, nothing is done. `hang`: it is done, and never answered.
 * `lose`: nothing is done, and never answered. `late`: it is done after a while, and never answered.
 */
export type Fault = "refuse" | "down" | "hang" | "lose" | "late";

export interface Faults {
  readonly forward?: Fault;
  readonly undo?: Fault;
  /** So many requests are broken; without it all are. */
  readonly times?: number;
}

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly key: string | null;
}

export interface Effect {
  readonly id: string;
  readonly key: string;
  readonly order: string;
  undone: boolean;
}

/** A request that comes late has its effect after so long. */
const LATE_MS = 700;

export class Service {
  readonly name: string;
  /** Everything that was asked, in the order of arrival; health and faults aside. */
  readonly calls: Call[] = [];
  readonly effects: Effect[] = [];
  readonly #collection: string;
  readonly #server: Server;
  /** Called as a request arrives. */
  onCall: (call: Call) => void = () => {};
  #faults: Faults = {};
  #left = Number.POSITIVE_INFINITY;

  constructor(name: string, collection: string) {
    this.name = name;
    this.#collection = collection;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  /** Port 0 takes a free one; resolves with its origin. */
  async listen(port = 0): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(port, "127.0.0.1", resolve));
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error(`${this.name} has no port`);
    return `http://127.0.0.1:${address.port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  break(faults: Faults): void {
    this.#faults = faults;
    this.#left = faults.times ?? Number.POSITIVE_INFINITY;
  }

  /** What stands for an order: done and not undone. */
  standing(order: string): readonly Effect[] {
    return this.effects.filter((effect) => effect.order === order && !effect.undone);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url: path = "" } = request;
    const body = await readJson(request);
    if (path === "/_break") {
      this.break(body);
      send(response, 200, { broken: body });
      return;
    }
    const key = headerOf(request, "idempotency-key");
    const call = { method, path, key };
    this.calls.push(call);
    this.onCall(call);
    const [, collection, ...rest] = path.split("/").map(decodeURIComponent);
    if (collection !== this.#collection) send(response, 404, { error: "no such collection" });
    else if (method === "POST") this.#create(response, key ?? "", String(body["order"] ?? ""));
    else if (method === "GET") this.#show(response, rest);
    else if (method === "DELETE") this.#remove(response, rest);
    else send(response, 405, {});
  }

  #create(response: ServerResponse, key: string, order: string): void {
    const fault = this.#take("forward");
    if (fault === "refuse") return send(response, 422, { error: "refused" });
    if (fault === "down") return send(response, 503, { error: "down" });
    if (fault === "lose") return;
    const perform = (): Effect => {
      const known = this.effects.find((effect) => effect.key === key);
      if (known !== undefined) return known;
      const effect = { id: `${this.name}-${this.effects.length + 1}`, key, order, undone: false };
      this.effects.push(effect);
      return effect;
    };
    if (fault === "late") setTimeout(perform, LATE_MS);
    else {
      const effect = perform();
      if (fault !== "hang") send(response, 201, { id: effect.id });
    }
  }

  /** `/<collection>/by-key/<key>` */
  #show(response: ServerResponse, [by, key]: readonly string[]): void {
    const effect = this.effects.find((each) => each.key === key && !each.undone);
    if (by !== "by-key" || effect === undefined) send(response, 404, { error: "unknown" });
    else send(response, 200, { id: effect.id });
  }

  /** `/<collection>/<id>` or `/<collection>/by-key/<key>` */
  #remove(response: ServerResponse, rest: readonly string[]): void {
    const fault = this.#take("undo");
    if (fault === "refuse") return send(response, 409, { error: "refused" });
    if (fault === "down") return send(response, 503, { error: "down" });
    if (fault === "lose") return;
    const [id, key] = rest;
    const effect = this.effects.find((each) => (id === "by-key" ? each.key === key : each.id === id));
    if (effect === undefined) return send(response, 404, { error: "unknown" });
    effect.undone = true;
    if (fault !== "hang" && fault !== "late") send(response, 200, { id: effect.id });
  }

  #take(direction: "forward" | "undo"): Fault | null {
    const fault = this.#faults[direction];
    if (fault === undefined || this.#left <= 0) return null;
    this.#left--;
    return fault;
  }
}

export interface Checkout {
  readonly inventory: Service;
  readonly payment: Service;
  readonly shipping: Service;
  readonly mail: Service;
}

export function createCheckout(): Checkout {
  return {
    inventory: new Service("inventory", "reservations"),
    payment: new Service("payment", "charges"),
    shipping: new Service("shipping", "shipments"),
    mail: new Service("mail", "mails"),
  };
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

function headerOf(request: IncomingMessage, name: string): string | null {
  const value = request.headers[name];
  return typeof value === "string" ? value : null;
}

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? { ...parsed } : {};
  } catch {
    return {};
  }
}
