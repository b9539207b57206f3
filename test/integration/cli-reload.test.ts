// A changed configuration file reaches the running gateway without a lost request; a wrong one does not.
import { rename, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, beforeEach, it } from "vitest";
import {
  startGateway,
  startUpstream,
  until,
  type RunningGateway,
  type RunningUpstream,
} from "./rig/index.ts";

let first: RunningUpstream;
let second: RunningUpstream;
let gateway: RunningGateway;

const configFor = (upstream: RunningUpstream, more: object = {}): object => ({
  upstreams: { app: { targets: [upstream.url] } },
  routes: [{ path: "/*", upstream: "app", ...more }],
});

const reloads = (): number => gateway.stderr().split("configuration reloaded (").length - 1;

// As editors do: write another file and rename it over the old one.
async function replaceConfig(text: string): Promise<void> {
  await writeFile(`${gateway.configFile}.new`, text);
  await rename(`${gateway.configFile}.new`, gateway.configFile);
}

async function reloadWith(config: object): Promise<void> {
  const before = reloads();
  await replaceConfig(JSON.stringify(config));
  await until("the configuration is reloaded", 10_000, () => reloads() > before);
}

async function answerer(): Promise<string> {
  return (await fetch(`${gateway.url}/who`)).text();
}

beforeAll(async () => {
  first = await startUpstream((_, response) => response.end("first"));
  second = await startUpstream((_, response) => response.end("second"));
  gateway = await startGateway({ config: configFor(first) });
});
beforeEach(async () => {
  if ((await answerer()) !== "first") await reloadWith(configFor(first));
});
afterAll(async () => {
  await gateway.stop();
  await Promise.all([first.stop(), second.stop()]);
});

it("moves traffic without losing a request", async ({ expect }) => {
  const statuses: number[] = [];
  const over = new AbortController();
  const traffic = (async (): Promise<void> => {
    while (!over.signal.aborted) {
      const responses = await Promise.all(Array.from({ length: 4 }, () => fetch(`${gateway.url}/x`)));
      for (const response of responses) {
        await response.text();
        statuses.push(response.status);
      }
    }
  })();
  for (const upstream of [second, first, second]) await reloadWith(configFor(upstream));
  over.abort();
  await traffic;
  expect(statuses.length).toBeGreaterThan(50);
  expect(statuses.filter((status) => status !== 200)).toEqual([]);
  expect(await answerer()).toBe("second");
});

it.for([
  ["is not JSON", "{", "tidegate.config.json"],
  [
    "is wrong",
    JSON.stringify({ upstreams: {}, routes: [{ path: "/*", upstream: "nobody" }] }),
    "routes[0].upstream",
  ],
] as const)("keeps the old configuration when the new one %s", async ([, text, named], { expect }) => {
  const before = gateway.stderr().length;
  await replaceConfig(text);
  await until("the errors are printed", 10_000, () =>
    gateway.stderr().slice(before).includes("not reloaded"),
  );
  expect(gateway.stderr().slice(before)).toContain(named);
  expect(await answerer()).toBe("first");
});

it("keeps the old configuration when the new one needs a secret that is missing", async ({ expect }) => {
  const before = gateway.stderr().length;
  await replaceConfig(JSON.stringify(configFor(second, { request: { set: { "x-key": "env:NEW_KEY" } } })));
  await until("the error is printed", 10_000, () => gateway.stderr().slice(before).includes("not reloaded"));
  expect(gateway.stderr().slice(before)).toContain("env:NEW_KEY");
  expect(await answerer()).toBe("first");
});
