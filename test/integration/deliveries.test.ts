// Queued routes from outside, through `tidegate start`: what is accepted reaches its upstream, with its key,
// also after the upstream was down and after everything was killed.
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import {
  startGateway,
  startRegions,
  startUpstream,
  until,
  type RunningGateway,
  type RunningUpstream,
} from "./rig/index.ts";

/** On a machine that others use too; it takes a tenth of this. */
const TEST_MS = 120_000;

interface Job {
  readonly id: string;
  readonly status: string;
  readonly attempts: number;
  readonly deferrals: number;
}

interface Effect {
  readonly at: number;
  readonly key: string;
  readonly order: string | undefined;
  readonly body: string;
}

/** Answers as told and keeps one effect for each key, as an idempotent receiver does. */
let status = 200;
let headers: Record<string, string> = {};
const tries: Effect[] = [];
let upstream: RunningUpstream;

beforeAll(async () => {
  upstream = await startUpstream((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      const { "idempotency-key": key, "x-order-id": order } = request.headers;
      tries.push({ at: Date.now(), key: String(key), order: order?.toString(), body });
      response.writeHead(status, headers).end(`done ${body}`);
    });
  });
});

afterAll(() => upstream?.stop());

beforeEach(() => {
  tries.length = 0;
  status = 200;
  headers = {};
});

/** A kill leaves leases behind, which last as long as the deliveries that they are for: short ones. */
function configFor(url: string, retry: object = {}): object {
  const breaker = { openFor: "500ms", maxOpenFor: "1s", rampUp: "500ms" };
  return {
    upstreams: { app: { targets: [url], timeout: "1s", breaker } },
    queues: { orders: { upstream: "app", orderBy: "header:x-order-id", retry } },
    routes: [{ path: "/v1/orders", methods: ["POST"], queue: "orders" }],
  };
}

async function post(url: string, body: string, order?: string): Promise<string> {
  const response = await fetch(`${url}/v1/orders`, {
    method: "POST",
    body,
    headers: order === undefined ? {} : { "x-order-id": order },
  });
  if (response.status !== 202) throw new Error(`${response.status}: ${await response.text()}`);
  return response.headers.get("location") ?? "";
}

async function jobAt(url: string, location: string): Promise<Job> {
  const answer: unknown = await (await fetch(url + location)).json();
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the shape that the gateway documents
  return answer as Job;
}

function bodiesOf(order: string): readonly string[] {
  return tries.filter((each) => each.order === order).map(({ body }) => body);
}

async function untilAll(url: string, locations: readonly string[], wanted: string, withinMs = 50_000) {
  let jobs: readonly Job[] = [];
  await until(`all ${wanted}`, withinMs, async () => {
    jobs = await Promise.all(locations.map((location) => jobAt(url, location)));
    return jobs.every((job) => job.status === wanted);
  });
  return jobs;
}

describe("one region", { timeout: TEST_MS }, () => {
  let gateway: RunningGateway;

  beforeAll(async () => {
    gateway = await startGateway({ config: configFor(upstream.url, { attempts: 5, delay: "300ms" }) });
  });

  afterAll(() => gateway?.stop());

  it("delivers what it accepted, with the job's key, and keeps the answer", async ({ expect }) => {
    const location = await post(gateway.url, "first");
    await untilAll(gateway.url, [location], "succeeded");
    expect(tries).toMatchObject([{ key: location.split("/").at(-1)?.slice(0, 32), body: "first" }]);
    const result = await fetch(`${gateway.url}${location}/result`);
    expect([result.status, await result.text()]).toEqual([200, "done first"]);
  });

  it("keeps the order of a key while others go on", async ({ expect }) => {
    const locations: string[] = [];
    for (let index = 0; index < 4; index++) {
      locations.push(await post(gateway.url, `a${index}`, "A"), await post(gateway.url, `b${index}`, "B"));
    }
    await untilAll(gateway.url, locations, "succeeded");
    expect(bodiesOf("A")).toEqual(["a0", "a1", "a2", "a3"]);
    expect(bodiesOf("B")).toEqual(["b0", "b1", "b2", "b3"]);
  });

  it("tries again, not before the upstream said, with the same key", async ({ expect }) => {
    status = 503;
    headers = { "retry-after": "2" };
    const location = await post(gateway.url, "later");
    await until("the first try", 10_000, () => tries.length === 1);
    status = 200;
    const [job] = await untilAll(gateway.url, [location], "succeeded");
    expect(job.attempts).toBe(2);
    expect(tries[1].at - tries[0].at).toBeGreaterThanOrEqual(2_000);
    expect(tries[1].key).toBe(tries[0].key);
  });

  it("parks jobs while the circuit is open, attempts unchanged, and delivers them after", async ({
    expect,
  }) => {
    status = 500;
    const locations = await Promise.all(
      Array.from({ length: 30 }, (_, index) => post(gateway.url, `d${index}`)),
    );
    await pause(3_000);
    const waiting = await Promise.all(locations.map((location) => jobAt(gateway.url, location)));
    const parked = waiting.filter(({ attempts }) => attempts === 0);
    expect(parked.length).toBeGreaterThan(10);
    expect(parked.every(({ deferrals }) => deferrals > 0)).toBe(true);
    status = 200;
    const jobs = await untilAll(gateway.url, locations, "succeeded");
    expect(jobs.reduce((sum, { attempts }) => sum + attempts, 0)).toBe(tries.length);
    expect(new Set(tries.map(({ key }) => key)).size).toBe(30);
  });

  it("keeps a dead job with its tries, which can be replayed", async ({ expect }) => {
    status = 404;
    const refused = await post(gateway.url, "refused");
    await untilAll(gateway.url, [refused], "failed");
    status = 501;
    const dead = await post(gateway.url, "dead");
    await untilAll(gateway.url, [dead], "dead");
    const authorization = `Bearer ${gateway.adminToken}`;
    const list = await fetch(`${gateway.url}/_gateway/dead-letters/orders`, { headers: { authorization } });
    const id = dead.split("/").at(-1);
    expect(await list.json()).toMatchObject({
      items: [{ id, attempts: Array.from({ length: 5 }, () => ({ status: 501 })) }],
    });
    status = 200;
    const replay = await fetch(`${gateway.url}/_gateway/dead-letters/orders/replay`, {
      method: "POST",
      headers: { authorization, "content-type": "application/json" },
      body: JSON.stringify({ ids: [id] }),
    });
    expect(replay.status).toBe(200);
    await untilAll(gateway.url, [dead], "succeeded");
  });
});

describe("several regions", { timeout: TEST_MS }, () => {
  it("share one queue, report to their own hubs and survive a kill of everything", async ({ expect }) => {
    const gateway = await startRegions({
      config: configFor(upstream.url, { attempts: 10, delay: "300ms" }),
      regions: ["weur", "enam"],
    });
    try {
      const delivered = await post(gateway.url("enam"), "before");
      await untilAll(gateway.url("enam"), [delivered], "succeeded");
      // No request of that region goes to the upstream itself: only a delivery can have told its hub.
      await until("its hub knows", 10_000, async () => {
        const authorization = `Bearer ${gateway.adminToken}`;
        const response = await fetch(`${gateway.url("enam")}/_gateway/state`, { headers: { authorization } });
        const state: unknown = await response.json();
        expect(state).toMatchObject({ region: "enam", queues: { orders: { depth: 0 } } });
        return JSON.stringify(state).includes('"window":{"ok":1,');
      });
      status = 500;
      const locations = await Promise.all(
        Array.from({ length: 20 }, (_, index) => post(gateway.url(index % 2 ? "weur" : "enam"), `k${index}`)),
      );
      await gateway.kill();
      await gateway.restart();
      status = 200;
      await untilAll(gateway.url("weur"), locations, "succeeded");
      expect(new Set(tries.map(({ key }) => key)).size).toBe(21);
    } finally {
      await gateway.stop();
    }
  });
});
