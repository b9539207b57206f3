// Queues over several regions: one outbox for all of them. What is stored in one region can be asked,
// cancelled and replayed in every other, idempotency keys and watermarks count everywhere.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startRegions, until, type RunningRegions } from "../integration/rig/index.ts";
import { expectProblem, jsonObject } from "./support/problems.ts";
import {
  askOperator,
  jobOf,
  jobWith,
  queueState,
  readJob,
  send,
  startWorkUpstream,
  type Asked,
  type WorkUpstream,
} from "./support/queues.ts";

const REGIONS = ["weur", "enam", "apac"] as const;

let upstream: WorkUpstream;
let gateway: RunningRegions;

beforeAll(async () => {
  upstream = await startWorkUpstream();
  gateway = await startRegions({
    config: {
      upstreams: {
        work: { targets: [upstream.url], breaker: false },
        gone: { targets: ["http://127.0.0.1:9"], retry: false },
      },
      queues: {
        work: { upstream: "work" },
        small: { upstream: "gone", highWatermark: 6 },
        brittle: { upstream: "work", retry: { attempts: 1 } },
      },
      routes: [
        { path: "/tasks/*", methods: ["POST"], queue: "work" },
        { path: "/small", methods: ["POST"], queue: "small" },
        { path: "/brittle", methods: ["POST"], queue: "brittle" },
      ],
    },
    regions: REGIONS,
  });
});

afterAll(async () => {
  await gateway.stop();
  await upstream.stop();
});

function at(region: string): Asked {
  return { url: gateway.url(region), adminToken: gateway.adminToken };
}

describe("three regions", () => {
  it("know each other's jobs", async () => {
    for (const region of REGIONS) {
      const id = jobOf(await send(at(region), `/tasks/${region}`, { headers: { prefer: "respond-async" } }));
      for (const other of REGIONS) expect((await readJob(at(other), id)).status).toBe(200);
      await jobWith(at("weur"), id, "succeeded");
    }
  });

  it("wait for a result wherever it is worked on", async () => {
    const answers = await Promise.all(
      REGIONS.map((region) => send(at(region), `/tasks/wait-${region}`, { headers: { prefer: "wait=10" } })),
    );
    expect(answers.map(({ text }) => text)).toEqual(REGIONS.map((region) => `done /tasks/wait-${region}`));
  });

  it("keep one job for one idempotency key", async () => {
    const headers = { "idempotency-key": "everywhere" };
    const answers = await Promise.all(
      REGIONS.flatMap((region) => [1, 2, 3].map(() => send(at(region), "/tasks/key", { headers }))),
    );
    const accepted = answers.filter(({ status }) => status === 202);
    expect(new Set(accepted.map(jobOf)).size).toBe(1);
    expect(answers.every(({ status }) => status === 202 || status === 409)).toBe(true);
    const other = await send(at("apac"), "/tasks/key", { headers, body: "another" });
    expectProblem(expect, other, { status: 422, code: "idempotency_conflict" });
    await jobWith(at("enam"), jobOf(accepted[0]), "succeeded");
    expect(upstream.delivered.filter(({ target }) => target === "/tasks/key")).toHaveLength(1);
  });

  it("fill one queue together, and free it for each other", async () => {
    const jobs: string[] = [];
    for (const region of [...REGIONS, ...REGIONS]) jobs.push(jobOf(await send(at(region), "/small")));
    for (const region of REGIONS) {
      const answer = await send(at(region), "/small");
      expectProblem(expect, answer, { status: 429, code: "backlog_full", waits: true });
      expect(await queueState(at(region), "small")).toMatchObject({ depth: 6, rejecting: true });
    }
    for (const id of jobs) {
      await until(`${id} can be cancelled`, 10_000, async () => {
        return (await askOperator(at("enam"), "DELETE", `jobs/${id}`)).status === 200;
      });
    }
    await until("apac takes again", 10_000, async () => (await send(at("apac"), "/small")).status === 202);
  });

  it("list and replay dead letters from anywhere", async () => {
    upstream.answers.set("/brittle", 500);
    const id = jobOf(await send(at("apac"), "/brittle"));
    await jobWith(at("apac"), id, "dead");
    upstream.answers.clear();
    const listed = await askOperator(at("enam"), "GET", "dead-letters/brittle");
    expect(jsonObject(listed.text)).toMatchObject({ items: [{ id }], next: null });
    const replayed = await askOperator(at("weur"), "POST", "dead-letters/brittle/replay", { ids: [id] });
    expect(jsonObject(replayed.text)).toMatchObject({ replayed: [id] });
    await jobWith(at("apac"), id, "succeeded");
  });

  it("lose nothing that was answered with 202 when all of it is killed", async () => {
    const ids: string[] = [];
    for (let index = 0; index < 30; index++) {
      const region = REGIONS[index % REGIONS.length];
      ids.push(jobOf(await send(at(region), `/tasks/killed-${index}`)));
    }
    await gateway.kill();
    await gateway.restart();
    for (const id of ids) await jobWith(at("enam"), id, "succeeded");
    const targets = new Set(upstream.delivered.map(({ target }) => target));
    for (let index = 0; index < 30; index++) expect(targets).toContain(`/tasks/killed-${index}`);
  });
});
