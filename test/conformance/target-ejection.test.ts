// One bad target among equal ones, from outside: clients stop seeing it, and operators see why.
import { createServer } from "node:http";
import { afterAll, beforeAll, describe, it } from "vitest";
import {
  startGateway,
  startUpstream,
  type RunningGateway,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { parsePrometheus } from "./support/prometheus.ts";
import { upstreamView } from "./support/state.ts";

const EJECTS_AFTER = 5;
/** More than it takes to choose one of three targets five times: all but once in 10,000 million. */
const MANY = 100;

let gateway: RunningGateway;
const servers: RunningUpstream[] = [];

async function serve(status: number): Promise<RunningUpstream> {
  const server = await startUpstream((request, response) => {
    request.resume();
    response.writeHead(status).end(`${status}`);
  });
  servers.push(server);
  return server;
}

/** An address where nobody listens. */
async function refusing(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return `http://127.0.0.1:${address.port}`;
}

let failing: RunningUpstream;

beforeAll(async () => {
  failing = await serve(500);
  const [first, second, third, alone] = [
    await serve(200),
    await serve(200),
    await serve(200),
    await serve(500),
  ];
  const upstreams = {
    failing: { targets: [first.url, failing.url, second.url], retry: false },
    refusing: { targets: [third.url, await refusing()], retry: false },
    alone: { targets: [alone.url], retry: false, breaker: false },
    both: { targets: [`${alone.url}/a`, `${alone.url}/b`], retry: false, breaker: false },
  };
  gateway = await startGateway({
    config: {
      upstreams,
      routes: Object.keys(upstreams).map((name) => ({ path: `/${name}/*`, upstream: name, priority: "P0" })),
    },
  });
});

afterAll(async () => {
  await gateway?.stop();
  await Promise.all(servers.map((server) => server.stop()));
});

async function statuses(count: number, path: string): Promise<readonly number[]> {
  const seen: number[] = [];
  for (let index = 0; index < count; index++) {
    const response = await fetch(gateway.url + path);
    await response.arrayBuffer();
    seen.push(response.status);
  }
  return seen;
}

async function ejectionsOf(name: string, metric = "tidegate_target_ejections_total"): Promise<number[]> {
  const headers = { authorization: `Bearer ${gateway.adminToken}` };
  const response = await fetch(`${gateway.url}/_gateway/metrics`, { headers });
  const samples = parsePrometheus(await response.text()).filter((sample) => sample.name === metric);
  const own = samples.filter(({ labels }) => labels["tidegate_upstream"] === name);
  return own
    .toSorted((a, b) => Number(a.labels["target"]) - Number(b.labels["target"]))
    .map(({ value }) => value);
}

describe("one bad target of several", () => {
  it.for([
    { name: "failing", status: 500, targets: 3 },
    { name: "refusing", status: 502, targets: 2 },
  ])(
    "$name: after five failures clients see no more of it",
    async ({ name, status, targets }, { expect }) => {
      const seen = await statuses(MANY, `/${name}/x`);
      const failures = seen.filter((one) => one !== 200);
      expect(failures).toEqual(Array.from({ length: EJECTS_AFTER }, () => status));
      const view = await upstreamView(gateway, name);
      expect(view.breaker.phase).toBe("closed");
      const places = view.targets.map(({ ejected, drained }) => ({ ejected, drained }));
      expect(places).toEqual(
        Array.from({ length: targets }, (_, index) => ({ ejected: index === 1, drained: false })),
      );
      const until = view.targets[1].ejectedUntil;
      expect(until).toBeGreaterThan(Date.now());
      expect(until).toBeLessThanOrEqual(Date.now() + 10_000);
      expect(view.targets[0].ejectedUntil).toBeNull();
      expect(await ejectionsOf(name)).toEqual(
        Array.from({ length: targets }, (_, index) => (index === 1 ? 1 : 0)),
      );
    },
  );

  it("says once which one was taken out and why, without its address", ({ expect }) => {
    const lines = gateway
      .stderr()
      .split("\n")
      .filter((line) => line.includes("target_ejected") && line.includes('"failing"'));
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0])).toMatchObject({
      level: "warn",
      event: "target_ejected",
      upstream: "failing",
      target: 1,
      reason: "consecutive",
      consecutive: EJECTS_AFTER,
      strikes: 1,
    });
    expect(lines[0]).not.toContain("127.0.0.1");
  });

  it("half stays when all are bad, and the only target of an upstream always does", async ({ expect }) => {
    const bad = Array.from({ length: 30 }, () => 500);
    expect(await statuses(30, "/alone/x")).toEqual(bad);
    expect(await statuses(30, "/both/x"), "never no_target").toEqual(bad);
    const [one, other] = (await upstreamView(gateway, "both")).targets;
    expect(one.ejected).toBe(!other.ejected);
    const withheld = await ejectionsOf("both", "tidegate_target_ejections_withheld_total");
    expect(withheld.toSorted((a, b) => a - b)).toEqual([0, 1]);
    expect(await ejectionsOf("alone")).toEqual([]);
  });
});
