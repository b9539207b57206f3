import { afterEach, describe, it } from "vitest";
import { changeSettings } from "../../../cli/demo/settings.ts";
import { startDemoServer, type DemoServer } from "../../../cli/demo/server.ts";

const HEALTHY = { capacity: 2, latency: 0, errors: 0, down: false };

describe("settings", () => {
  it("change one by one", ({ expect }) => {
    const change = changeSettings(HEALTHY, new URLSearchParams("capacity=10&down=1"));
    expect(change).toEqual({ ok: true, settings: { capacity: 10, latency: 0, errors: 0, down: true } });
  });

  it.for([
    "capacity=0",
    "capacity=1.5",
    "capacity=",
    "latency=-1",
    "latency=600001",
    "errors=2",
    "down=x",
    "speed=1",
  ])("refuses %s", (query, { expect }) => {
    expect(changeSettings(HEALTHY, new URLSearchParams(query)).ok).toBe(false);
  });
});

describe("server", () => {
  let server: DemoServer;
  afterEach(() => server.close());

  const at = (path: string): string => `http://127.0.0.1:${server.port}${path}`;
  const control = async (query: string, method = "POST"): Promise<Response> =>
    fetch(at(`/_demo?${query}`), { method });

  it("answers with what it saw", async ({ expect }) => {
    server = await startDemoServer("shop", 0, HEALTHY);
    const response = await fetch(at("/pay/1?x=2"), {
      method: "PUT",
      headers: { "x-request-id": "r1", cookie: "c" },
    });
    const body: unknown = await response.json();
    expect(body).toMatchObject({
      upstream: "shop",
      method: "PUT",
      path: "/pay/1?x=2",
      headers: { "x-request-id": "r1" },
    });
    expect(JSON.stringify(body)).not.toContain("cookie");
  });

  it("serves no more than its capacity at a time", async ({ expect }) => {
    server = await startDemoServer("shop", 0, { ...HEALTHY, capacity: 1, latency: 20 });
    const startedMs = performance.now();
    await Promise.all([1, 2, 3].map(async (index) => (await fetch(at(`/${index}`))).text()));
    // Timers may fire a little early; three of 20 ms one after the other take 60.
    expect(performance.now() - startedMs).toBeGreaterThan(55);
    const state: unknown = await (await fetch(at("/_demo"))).json();
    expect(state).toMatchObject({ counts: { served: 3 }, inService: 0, waiting: 0 });
  });

  it("fails and refuses on request, and heals", async ({ expect }) => {
    server = await startDemoServer("shop", 0, HEALTHY);
    await control("errors=1");
    expect((await fetch(at("/"))).status).toBe(500);
    await control("errors=0&down=1");
    await expect(fetch(at("/"))).rejects.toThrow("fetch failed");
    await control("down=0");
    expect((await fetch(at("/"))).status).toBe(200);
    expect((await control("down=7")).status).toBe(400);
  });
});
