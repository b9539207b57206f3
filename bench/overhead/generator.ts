// Load over plain keep-alive sockets, in a process of its own: an HTTP client that does everything would
// take more processor time than the Workers that are measured. Takes its orders from the parent.
import { percentiles, type Percentiles } from "../../cli/load/percentiles.ts";
import { arrivalGapMs } from "../../cli/load/arrivals.ts";
import { seededRandom } from "../../cli/load/random.ts";
import { Connection } from "./connection.ts";

export interface LoadOrder {
  readonly port: number;
  /** Whole requests, header fields and all; sent in turn. */
  readonly requests: readonly string[];
  readonly seconds: number;
  /** Closed loop: this many connections, each with one request at a time. */
  readonly connections: number;
  /** Open loop at this rate instead, over as many connections as it takes; null: closed. */
  readonly ratePerSecond: number | null;
}

export interface LoadResult {
  /** All answers by status, those to requests that were under way at the end included. */
  readonly statuses: Readonly<Record<string, number>>;
  readonly answers: number;
  /** Answers per second, within the time alone. */
  readonly perSecond: number;
  /** From the moment of sending, in ms. */
  readonly latencyMs: Percentiles;
}

const SEED = 7;

class Load {
  readonly #order: LoadOrder;
  readonly #idle: Connection[] = [];
  readonly #connections: Connection[] = [];
  readonly #statuses: Record<string, number> = {};
  readonly #latencies: number[] = [];
  #sent = 0;
  #answered = 0;
  #answeredInTime = 0;
  readonly #endsAt: number;

  constructor(order: LoadOrder) {
    this.#order = order;
    this.#endsAt = performance.now() + order.seconds * 1000;
  }

  async run(): Promise<LoadResult> {
    const { ratePerSecond, connections, seconds } = this.#order;
    if (ratePerSecond === null) await this.#runClosed(connections);
    else await this.#runOpen(ratePerSecond);
    for (const connection of this.#connections) connection.close();
    return {
      statuses: this.#statuses,
      answers: this.#answered,
      perSecond: this.#answeredInTime / seconds,
      latencyMs: percentiles(this.#latencies),
    };
  }

  async #runClosed(connections: number): Promise<void> {
    await Promise.all(
      Array.from({ length: connections }, async () => {
        const connection = await this.#open();
        while (performance.now() < this.#endsAt) await this.#send(connection);
      }),
    );
  }

  async #runOpen(ratePerSecond: number): Promise<void> {
    const random = seededRandom(SEED);
    const underWay = new Set<Promise<void>>();
    for (
      let at = performance.now();
      at < this.#endsAt;
      at += arrivalGapMs("poisson", ratePerSecond, random)
    ) {
      const waitMs = at - performance.now();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      const connection = this.#idle.pop() ?? (await this.#open());
      const done: Promise<void> = this.#send(connection).finally(() => {
        this.#idle.push(connection);
        underWay.delete(done);
      });
      underWay.add(done);
    }
    await Promise.all(underWay);
  }

  async #open(): Promise<Connection> {
    const connection = await Connection.open(this.#order.port);
    this.#connections.push(connection);
    return connection;
  }

  async #send(connection: Connection): Promise<void> {
    const { requests } = this.#order;
    const startedAt = performance.now();
    const status = await connection.send(requests[this.#sent++ % requests.length]);
    const now = performance.now();
    this.#latencies.push(now - startedAt);
    this.#statuses[status] = (this.#statuses[status] ?? 0) + 1;
    this.#answered++;
    if (now < this.#endsAt) this.#answeredInTime++;
  }
}

process.once("disconnect", () => process.exit(0));
process.on("message", (order: LoadOrder) => {
  void new Load(order).run().then((result) => process.send?.(result));
});
