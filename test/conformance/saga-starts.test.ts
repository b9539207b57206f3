// Requests that start sagas, from outside: what holds for every route holds for theirs, whether they are
// taken in or refused.
import { connect } from "node:net";
import { afterAll, beforeAll, describe, it } from "vitest";
import {
  startGateway,
  startUpstream,
  until,
  type RunningGateway,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { expectProblem, jsonObject, readAnswer, type Answer } from "./support/problems.ts";
import { parsePrometheus } from "./support/prometheus.ts";

const RATE = 3;

let gateway: RunningGateway;
let upstream: RunningUpstream;

beforeAll(async () => {
  upstream = await startUpstream((request, response) => {
    if (request.url === "/moved") response.writeHead(303, { location: "/elsewhere" });
    response.end();
  });
  const route = { methods: ["POST"], saga: "order", limits: ["few"], count: ["starts"] };
  gateway = await startGateway({
    config: {
      upstreams: { shop: { targets: [upstream.url] } },
      limits: { few: { key: "header:x-caller", rate: RATE, per: "1h", consistency: "local" } },
      counters: { starts: { key: "header:x-caller" } },
      sagas: {
        moved: {
          key: "{body.id}",
          steps: [
            {
              id: "one",
              request: { upstream: "shop", method: "POST", path: "/moved" },
              compensate: { none: "it changes nothing" },
            },
          ],
        },
        order: {
          key: "{body.id}",
          steps: [
            {
              id: "one",
              request: { upstream: "shop", method: "POST", path: "/one", body: "{body}" },
              compensate: { none: "it changes nothing" },
            },
          ],
        },
      },
      routes: [
        { ...route, path: "/orders", bodyLimit: "1KiB" },
        { ...route, path: "/slow", deadline: "1s" },
        { path: "/moved", methods: ["POST"], saga: "moved" },
      ],
    },
  });
});

afterAll(async () => {
  await gateway?.stop();
  await upstream?.stop();
});

interface Start {
  readonly caller: string;
  readonly body: string;
  readonly headers?: Record<string, string>;
}

async function start({ caller, body, headers = {} }: Start): Promise<Answer> {
  const fields = { "content-type": "application/json", "x-caller": caller, ...headers };
  return readAnswer(await fetch(`${gateway.url}/orders`, { method: "POST", headers: fields, body }));
}

async function admin(path: string): Promise<Answer> {
  const headers = { authorization: `Bearer ${gateway.adminToken}` };
  return readAnswer(await fetch(`${gateway.url}/_gateway/${path}`, { headers }));
}

async function countOf(caller: string): Promise<unknown> {
  return jsonObject((await admin(`counters/starts?key=${caller}`)).text)["value"];
}

async function refusals(code: string): Promise<number> {
  const samples = parsePrometheus((await admin("metrics")).text);
  const refused = samples.filter(
    ({ name, labels }) => name === "tidegate_refusals_total" && labels["code"] === code,
  );
  return refused.reduce((sum, { value }) => sum + value, 0);
}

describe("a start", () => {
  it("counts as usage once, however often its key comes", async ({ expect }) => {
    const answers = [];
    for (let time = 0; time < 3; time++) answers.push(await start({ caller: "usage", body: '{"id":"u"}' }));
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202]);
    await until("it is counted", 5_000, async () => (await countOf("usage")) === 1);
  });

  it("explains itself to an operator", async ({ expect }) => {
    const headers = { "x-tidegate-admin": gateway.adminToken, "x-tidegate-explain": "1" };
    const first = await start({ caller: "why", body: '{"id":"w"}', headers });
    const again = await start({ caller: "why", body: '{"id":"w"}', headers });
    expect(first.header("x-tidegate-decision")).toContain("saga=accepted;saga=order;class=P1");
    expect(again.header("x-tidegate-decision")).toContain("saga=replayed;saga=order;class=P1");
  });
});

describe("a step", () => {
  it("that is answered with a redirect has failed: nobody follows it", async ({ expect }) => {
    const headers = { "content-type": "application/json", prefer: "wait=10" };
    const request = { method: "POST", headers, body: '{"id":"m"}' };
    const answer = await readAnswer(await fetch(`${gateway.url}/moved`, request));
    expect(jsonObject(answer.text)).toMatchObject({
      state: "compensated",
      steps: [{ forward: { state: "failed", attempts: 1, status: 303 } }],
    });
    expect(upstream.requests.map(({ target }) => target)).not.toContain("/elsewhere");
  });
});

describe("a start that is refused", () => {
  it.for([
    ["a body that is no JSON", "bad_request", 400, "{"],
    ["a body that lacks the key", "bad_request", 400, '{"no":"key"}'],
    ["a body that is too large", "body_too_large", 413, `{"id":"x","text":"${"x".repeat(2_000)}"}`],
  ] as const)(
    "for %s uses up no limit, is no usage, and is counted as refused",
    async ([what, code, status, body], { expect }) => {
      const caller = what.replaceAll(" ", "-");
      const before = await refusals(code);
      for (let time = 0; time < 2 * RATE; time++) {
        expectProblem(expect, await start({ caller, body }), { status, code });
      }
      expect(await refusals(code)).toBe(before + 2 * RATE);
      const accepted = await start({ caller, body: `{"id":"${caller}"}` });
      expect([accepted.status, accepted.header("ratelimit")]).toEqual([202, expect.stringContaining("r=2")]);
      await until("the one that was taken in is counted", 5_000, async () => (await countOf(caller)) === 1);
    },
  );

  it("for a body that does not come ends with its route's deadline", async ({ expect }) => {
    const { hostname, port } = new URL(gateway.url);
    const socket = connect(Number(port), hostname);
    const head = `POST /slow HTTP/1.1\r\nhost: ${hostname}\r\nx-caller: slow\r\ncontent-length: 12\r\n\r\n{"id":`;
    socket.write(head);
    let answer = "";
    socket.on("data", (chunk: Buffer) => (answer += chunk.toString()));
    await until("it is answered", 8_000, () => Promise.resolve(answer.includes("deadline_exceeded")));
    expect(answer).toMatch(/^HTTP\/1\.1 504 /);
    socket.destroy();
  });
});
