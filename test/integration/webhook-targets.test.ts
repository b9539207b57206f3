// Webhooks that try to get where they must not: by a redirect, by a configuration that is changed later.
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { packPlan } from "../../src/config/compiled-config.ts";
import { validateConfig } from "../../src/config/validate.ts";
import { startGateway, startUpstream, type RunningGateway, type RunningUpstream } from "./rig/index.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SOON = { timeout: 20_000, interval: 50 };
const PUBLIC = "https://hooks.example.com/inside";

let gateway: RunningGateway;
let receiver: RunningUpstream;
let inside: RunningUpstream;

function configOf(second: string) {
  const secrets = ["env:HOOK"];
  return {
    upstreams: {},
    routes: [{ path: "/seen", methods: ["POST"], event: "seen" }],
    subscriptions: {
      hook: { events: ["*"], deliver: { webhook: `${receiver.url}/hook`, secrets } },
      second: { events: ["nothing"], deliver: { webhook: second, secrets } },
    },
  };
}

beforeAll(async () => {
  inside = await startUpstream();
  receiver = await startUpstream((request, response) => {
    request.resume();
    response.writeHead(307, { location: `${inside.url}/secret` });
    response.end();
  });
  gateway = await startGateway({ config: configOf(PUBLIC), args: ["--env", `HOOK=${SECRET}`] });
});

afterAll(async () => {
  await gateway.stop();
  await receiver.stop();
  await inside.stop();
});

describe("a webhook", () => {
  it("is not led elsewhere by a redirect: that is a failed try", async () => {
    await fetch(`${gateway.url}/seen`, { method: "POST", body: "{}" });
    await vi.waitFor(() => expect(receiver.requests.length).toBeGreaterThan(0), SOON);
    const state = async (): Promise<unknown> => {
      const headers = { authorization: `Bearer ${gateway.adminToken}` };
      return (await fetch(`${gateway.url}/_gateway/state`, { headers })).json();
    };
    await vi.waitFor(async () => {
      expect(await state()).toMatchObject({
        subscriptions: { hook: { lag: 1, deferred: 1, endpoint: { failuresInRow: 1 } } },
      });
    }, SOON);
    expect(inside.requests).toEqual([]);
  });

  it("does not get there by a file that is changed: the configuration before goes on", async () => {
    for (const target of [
      "https://10.0.0.1/",
      "https://169.254.169.254/latest/meta-data/",
      "https://[fd00::1]/",
    ]) {
      const before = gateway.stderr().length;
      writeFileSync(gateway.configFile, JSON.stringify(configOf(target)));
      const said = (): string => gateway.stderr().slice(before);
      await vi.waitFor(() => expect(said()).toContain("configuration not reloaded"), SOON);
      expect(said()).toContain("subscriptions.second.deliver.webhook: must not lead to an address");
    }
    expect(readFileSync(gateway.configFile, "utf8")).toContain("fd00");
  });

  it("does not get there by a compiled configuration that nobody has checked", async () => {
    const validated = validateConfig(configOf(PUBLIC));
    if (!validated.ok) throw new Error(validated.errors.join("\n"));
    const { compiledPlan } = packPlan(validated.plan);
    const bad = { compiledPlan: compiledPlan.replaceAll(PUBLIC, "https://10.0.0.1/inside") };
    const headers = { authorization: `Bearer ${gateway.adminToken}`, "content-type": "application/json" };
    const init = { method: "PUT", headers, body: JSON.stringify(bad) };
    const response = await fetch(`${gateway.url}/_gateway/config`, init);
    expect([response.status, await response.json()]).toEqual([
      422,
      { errors: ["subscriptions.second.deliver.webhook: must not lead to an address that is not public"] },
    ]);
  });
});
