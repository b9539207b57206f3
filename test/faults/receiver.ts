// An upstream that fails: before its effect, after it, or by breaking the connection; and is down for a
// while. It is idempotent, as receivers of an at-least-once delivery are, and keeps what it saw.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

/** What a producer sends as JSON. */
export interface Order {
  /** Number of the job. */
  readonly job: number;
  /** Jobs of one key have to come in the order of their places; null: no order. */
  readonly key: string | null;
  readonly place: number;
}

export interface Receiver {
  readonly url: string;
  readonly report: Report;
  /** Refuses connections for so long. */
  goDown(ms: number): Promise<void>;
  stop(): void;
}

export interface Report {
  tries: number;
  failures: number;
  /** Tries of a job that had its effect already. */
  repeated: number;
  /** Jobs that have had their effect, and the idempotency keys that each came with. */
  readonly effects: Set<number>;
  readonly keys: Map<number, Set<string>>;
  /** For each key the places of its effects, as they came. */
  readonly places: Map<string, number[]>;
  /** Tries of a job after a later one of its key had its effect. */
  readonly regressions: string[];
}

export async function startReceiver(failureRate: number, random: () => number): Promise<Receiver> {
  const report: Report = {
    tries: 0,
    failures: 0,
    repeated: 0,
    effects: new Set(),
    keys: new Map(),
    places: new Map(),
    regressions: [],
  };
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    let text = "";
    request.on("data", (chunk: Buffer) => (text += chunk.toString()));
    request.on("end", () => {
      const order: Order = JSON.parse(text);
      report.tries++;
      noteTry(report, order, String(request.headers["idempotency-key"]));
      const fate = random();
      const isFailing = fate < failureRate;
      // A third of the failures come before the effect, the others after it, half of them without an answer.
      if (!isFailing || fate > failureRate / 3) noteEffect(report, order);
      if (!isFailing) return void response.writeHead(201).end("done");
      report.failures++;
      if (fate > (failureRate * 2) / 3) return void request.socket.destroy();
      response.writeHead(500).end("failed");
    });
  };
  let server = await listen(createServer(handle), 0);
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  const { port } = address;
  return {
    url: `http://127.0.0.1:${port}`,
    report,
    async goDown(ms) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await new Promise((resolve) => setTimeout(resolve, ms));
      server = await listen(createServer(handle), port);
    },
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}

function listen(server: Server, port: number): Promise<Server> {
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server)));
}

function noteTry(report: Report, { job, key, place }: Order, idempotencyKey: string): void {
  const keys = report.keys.get(job) ?? new Set();
  report.keys.set(job, keys.add(idempotencyKey));
  const last = key === null ? undefined : report.places.get(key)?.at(-1);
  if (last !== undefined && place < last) report.regressions.push(`${key}: place ${place} after ${last}`);
}

function noteEffect(report: Report, { job, key, place }: Order): void {
  if (report.effects.has(job)) {
    report.repeated++;
    return;
  }
  report.effects.add(job);
  if (key !== null) report.places.set(key, [...(report.places.get(key) ?? []), place]);
}
