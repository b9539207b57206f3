// The services of the checkout: inventory, payment, shipping and mail, each a server of its own. Each keeps
// what it did by idempotency key, so that a repeated request has one effect, and can be asked by that key.
// Each can be broken: `POST /_break {"forward": "refuse", "times": 2}`, also in part.
// `POST /_break {}` heals it.

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
  /** What is broken; without it everything is. */
  readonly collection?: string;
  /** Whose requests are broken; without it everybody's are. */
  readonly orders?: readonly string[];
  /** So many requests are broken; without it all are. */
  readonly times?: number;
}

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly key: string | null;
  /** The order that it is about, as far as it is known. */
  readonly order: string | null;
  /** What a charge is about. */
  readonly amount: number;
}

/** Holds a request up before or after it has its effect. */
export type Gate = (call: Call, when: "before" | "after") => Promise<void> | null;

export interface Effect {
  readonly id: string;
  readonly key: string;
  readonly order: string;
  readonly amount: number;
  undone: boolean;
}

/** A request that comes late has its effect after so long. */
const LATE_MS = 700;

export class Service {
  readonly name: string;
  /** Everything that was asked, in the order of arrival; health and faults aside. */
  readonly calls: Call[] = [];
  readonly effects: Effect[] = [];
  /** What was undone, in order. */
  readonly undoings: Effect[] = [];
  readonly #collections: readonly string[];
  readonly #server: Server;
  gate: Gate = () => null;
  #faults: Faults = {};
  #left = Number.POSITIVE_INFINITY;

  constructor(name: string, ...collections: readonly string[]) {
    this.name = name;
    this.#collections = collections;
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
    const [, collection, ...rest] = path.split("/").map(decodeURIComponent);
    const order = typeof body["order"] === "string" ? body["order"] : (this.#find(rest)?.order ?? null);
    const amount = typeof body["amount"] === "number" ? body["amount"] : 0;
    const call = { method, path, key, order, amount };
    this.calls.push(call);
    await this.gate(call, "before");
    this.#perform(call, response, collection, rest);
  }

  /** A held answer is sent when its gate opens. */
  #send(call: Call, response: ServerResponse, status: number, body: object): void {
    const held = this.gate(call, "after");
    if (held === null) send(response, status, body);
    else void held.then(() => send(response, status, body));
  }

  #perform(call: Call, response: ServerResponse, collection: string, rest: readonly string[]): void {
    const { method, key, order } = call;
    if (!this.#collections.includes(collection)) send(response, 404, { error: "no such collection" });
    else if (method === "POST") this.#create(call, response, collection, key ?? "", order ?? "");
    else if (method === "GET") this.#show(response, rest);
    else if (method === "DELETE") this.#remove(call, response, collection, rest);
    else send(response, 405, {});
  }

  #create(call: Call, response: ServerResponse, collection: string, key: string, order: string): void {
    const fault = this.#take("forward", collection, order);
    if (fault === "refuse") return send(response, 422, { error: "refused" });
    if (fault === "down") return send(response, 503, { error: "down" });
    if (fault === "lose") return;
    const perform = (): Effect => {
      const known = this.effects.find((effect) => effect.key === key);
      if (known !== undefined) return known;
      const { amount } = call;
      const effect = { id: `${this.name}-${this.effects.length + 1}`, key, order, amount, undone: false };
      this.effects.push(effect);
      return effect;
    };
    if (fault === "late") setTimeout(perform, LATE_MS);
    else {
      const effect = perform();
      if (fault !== "hang") this.#send(call, response, 201, { id: effect.id });
    }
  }

  /** `/<collection>/by-key/<key>` */
  #show(response: ServerResponse, rest: readonly string[]): void {
    const effect = this.#find(rest);
    if (effect === undefined || effect.undone) send(response, 404, { error: "unknown" });
    else send(response, 200, { id: effect.id });
  }

  /** `/<collection>/<id>` or `/<collection>/by-key/<key>` */
  #remove(call: Call, response: ServerResponse, collection: string, rest: readonly string[]): void {
    const fault = this.#take("undo", collection, call.order);
    if (fault === "refuse") return send(response, 409, { error: "refused" });
    if (fault === "down") return send(response, 503, { error: "down" });
    if (fault === "lose") return;
    const effect = this.#find(rest);
    if (effect === undefined) return send(response, 404, { error: "unknown" });
    if (!effect.undone) this.undoings.push(effect);
    effect.undone = true;
    if (fault !== "hang" && fault !== "late") this.#send(call, response, 200, { id: effect.id });
  }

  #find([id, key]: readonly string[]): Effect | undefined {
    return this.effects.find((effect) => (id === "by-key" ? effect.key === key : effect.id === id));
  }

  #take(direction: "forward" | "undo", collection: string, order: string | null): Fault | null {
    const { collection: broken = collection, orders = [order] } = this.#faults;
    const isMeant = broken === collection && orders.some((each) => each === order);
    const fault = isMeant ? this.#faults[direction] : undefined;
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
    shipping: new Service("shipping", "labels", "shipments"),
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
