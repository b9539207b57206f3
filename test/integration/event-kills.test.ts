// Events over a kill of everything: what was answered with 202 gets to its subscribers, under the same id.
// What a consumer had when it died comes again when its lease is over, so this may take a minute.
import { describe, it, vi } from "vitest";
import { startRegions, startUpstream } from "./rig/index.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const EVENTS = 40;

describe("published events", { timeout: 120_000 }, () => {
  it("survive a kill of everything, wherever they were", async ({ expect }) => {
    const ids: unknown[] = [];
    let isDown = true;
    const receiver = await startUpstream((request, response) => {
      request.resume();
      response.statusCode = isDown ? 500 : 200;
      if (!isDown) ids.push(request.headers["webhook-id"]);
      response.end();
    });
    const gateway = await startRegions({
      config: {
        upstreams: {},
        routes: [{ path: "/seen", methods: ["POST"], event: "seen" }],
        subscriptions: {
          hook: { events: ["*"], deliver: { webhook: receiver.url, secrets: ["env:HOOK"] } },
          pulled: { events: ["*"], deliver: { pull: true } },
        },
      },
      regions: ["weur", "enam"],
      args: ["--env", `HOOK=${SECRET}`],
    });
    const admin = async (path: string, body: unknown): Promise<unknown> => {
      const headers = { authorization: `Bearer ${gateway.adminToken}`, "content-type": "application/json" };
      const init = { method: "POST", headers, body: JSON.stringify(body) };
      return (await fetch(`${gateway.url("weur")}/_gateway/subscriptions/pulled/${path}`, init)).json();
    };
    try {
      const answered: unknown[] = await Promise.all(
        Array.from({ length: EVENTS }, async (_, index) => {
          const url = `${gateway.url(index % 2 === 0 ? "weur" : "enam")}/seen`;
          const response = await fetch(url, { method: "POST", body: String(index) });
          expect(response.status).toBe(202);
          const body: unknown = await response.json();
          return Reflect.get(Object(body), "id");
        }),
      );
      await gateway.kill();
      isDown = false;
      await gateway.restart();
      await vi.waitFor(() => expect(new Set(ids)).toEqual(new Set(answered)), {
        timeout: 30_000,
        interval: 100,
      });
      await vi.waitFor(async () => expect(await admin("pull", { max: 100 })).toMatchObject({ lag: EVENTS }), {
        timeout: 10_000,
        interval: 100,
      });
    } finally {
      await gateway.stop();
      await receiver.stop();
    }
  });
});
