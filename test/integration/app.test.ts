// createGateway as a program uses it, without workerd: the same pipeline on Node's own web standards.
// What a team adds to the app runs in front of it; a binding with a fetch can be a target.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Hono } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { cors } from "hono/cors";
import { afterAll, beforeAll, describe, it } from "vitest";
import { compileForWorker } from "../../cli/prepare.ts";
import { InvalidConfigError, createGateway } from "../../src/edge/gateway.ts";

const context = { waitUntil: () => {}, passThroughOnException: () => {}, props: {} };
const upstream = createServer((request, response) => {
  response.end(JSON.stringify({ path: request.url, via: request.headers.via }));
});

beforeAll(async () => {
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
});

afterAll(() => upstream.close());

function upstreamUrl(): string {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a server on a port has an AddressInfo
  return `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
}

function config(targets: readonly (string | { binding: string })[]) {
  return { upstreams: { up: { targets: [...targets] } }, routes: [{ path: "/v1/*", upstream: "up" }] };
}

function get(path: string): Request {
  return new Request(`http://gateway.test${path}`, { headers: { host: "gateway.test" } });
}

describe("createGateway", () => {
  it("proxies, with nothing added to the app", async ({ expect }) => {
    const { handler } = createGateway(config([upstreamUrl()]));
    const response = await handler.fetch(get("/v1/a?b=1"), {}, context);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ path: "/v1/a?b=1", via: "1.1 tidegate" });
  });

  it("runs what was added to the app in front of the pipeline", async ({ expect }) => {
    const { app, handler } = createGateway(config([upstreamUrl()]));
    app.use("/v1/*", async (c, next) => {
      await next();
      c.res.headers.set("x-added", "yes");
    });
    app.get("/own", (c) => c.text("mine"));
    const proxied = await handler.fetch(get("/v1/a"), {}, context);
    expect([proxied.status, proxied.headers.get("x-added")]).toEqual([200, "yes"]);
    expect(await (await handler.fetch(get("/own"), {}, context)).text()).toBe("mine");
    expect((await handler.fetch(get("/_gateway/health"), {}, context)).status).toBe(200);
    expect((await handler.fetch(get("/elsewhere"), {}, context)).status).toBe(404);
  });

  it("runs the pipeline in the app itself, as Hono's own ways to call one do", async ({ expect }) => {
    const { app, handler } = createGateway(config([upstreamUrl()]));
    app.use("/v1/*", async (c, next) => {
      await next();
      c.res.headers.set("x-added", String(c.res.status));
    });
    const outer = new Hono().mount("/", app.fetch);
    const answers = [
      await app.request("http://gateway.test/v1/a"),
      await app.fetch(get("/v1/a"), {}, context),
      await outer.fetch(get("/v1/a"), {}, context),
      await handler.fetch(get("/v1/a"), {}, context),
    ];
    for (const answer of answers) {
      expect(answer.headers.get("x-added")).toBe("200");
      expect(await answer.json()).toEqual({ path: "/v1/a", via: "1.1 tidegate" });
    }
    const elsewhere = await app.request("http://gateway.test/elsewhere");
    expect(elsewhere.status).toBe(404);
    expect(await elsewhere.json()).toMatchObject({ code: "route_not_found" });
    const bare = createGateway(config([upstreamUrl()])).app;
    expect((await bare.request("http://gateway.test/v1/a")).status).toBe(200);
  });

  it("takes the host of the URL where a request has no host field, as one through a service binding has none", async ({
    expect,
  }) => {
    const [route] = config([]).routes;
    const routes = [{ ...route, hosts: ["gateway.test"] }];
    const { handler } = createGateway({ ...config([upstreamUrl()]), routes });
    const statusAt = async (url: string, headers = {}): Promise<number> =>
      (await handler.fetch(new Request(url, { headers }), {}, context)).status;
    expect(await statusAt("http://gateway.test/v1/a")).toBe(200);
    expect(await statusAt("https://GATEWAY.test:8443/v1/a")).toBe(200);
    expect(await statusAt("http://other.test/v1/a")).toBe(404);
    expect(await statusAt("http://gateway.test/v1/a", { host: "other.test" })).toBe(404);
    expect(await statusAt("http://gateway.test/v1/a", { host: "gateway.test/v1" })).toBe(400);
  });

  it("hands on what was thrown as an answer, and names every answer", async ({ expect }) => {
    const { app, handler } = createGateway(config([upstreamUrl()]));
    app.use("/locked/*", bearerAuth({ token: "right" }));
    app.use("/v1/*", cors());
    app.get("/own", (c) => c.text("mine"));
    app.get("/own/redirect", () => Response.redirect("http://elsewhere.test/", 302));
    const locked = await handler.fetch(get("/locked/x"), {}, context);
    expect([locked.status, locked.headers.get("www-authenticate")]).toEqual([401, 'Bearer realm=""']);
    const preflight = new Request(get("/v1/a"), { method: "OPTIONS" });
    for (const request of [get("/locked/x"), get("/own"), get("/own/redirect"), preflight, get("/v1/a")]) {
      request.headers.set("x-request-id", "mine");
      const answer = await handler.fetch(request, {}, context);
      expect(answer.status).toBeLessThan(500);
      expect(answer.headers.get("x-request-id")).toBe("mine");
      request.headers.set("x-request-id", "not acceptable");
      expect((await handler.fetch(request, {}, context)).headers.get("x-request-id")).toMatch(
        /^[0-9a-f-]{32,36}$/,
      );
    }
  });

  it("takes a compiled configuration as well", async ({ expect }) => {
    const { handler } = createGateway(compileForWorker(config([upstreamUrl()])));
    const response = await handler.fetch(get("/v1/a?b=1"), {}, context);
    expect(await response.json()).toEqual({ path: "/v1/a?b=1", via: "1.1 tidegate" });
    expect((await handler.fetch(get("/elsewhere"), {}, context)).status).toBe(404);
  });

  it("sends to a binding with a fetch of its own", async ({ expect }) => {
    const seen: string[] = [];
    const UP = {
      fetch(request: Request): Promise<Response> {
        seen.push(`${request.method} ${request.url} ${request.headers.get("x-tidegate-class")}`);
        return Promise.resolve(new Response("bound"));
      },
    };
    const { handler } = createGateway(config([{ binding: "UP" }]));
    const response = await handler.fetch(get("/v1/a?b=1"), { UP }, context);
    expect(await response.text()).toBe("bound");
    expect(seen).toEqual(["GET http://up/v1/a?b=1 P1"]);
  });

  it("answers with a problem when a binding is missing, and logs which", async ({
    expect,
    onTestFinished,
  }) => {
    const lines: string[] = [];
    const write = console.error;
    console.error = (line: string) => void lines.push(line);
    onTestFinished(() => {
      console.error = write;
    });
    const { handler } = createGateway(config([{ binding: "UP" }]));
    const response = await handler.fetch(get("/v1/a"), {}, context);
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({ code: "internal_error" });
    expect(lines.join("\n")).toContain("no binding UP");
  });

  it("throws all errors of a configuration at once", ({ expect }) => {
    const broken = { upstreams: { up: { targets: [] } }, routes: [{ path: "v1", upstream: "nobody" }] };
    try {
      createGateway(broken);
      expect.unreachable("a broken configuration was taken");
    } catch (error) {
      expect(error).toBeInstanceOf(InvalidConfigError);
      expect(error).toHaveProperty("errors.length", 3);
    }
  });
});
