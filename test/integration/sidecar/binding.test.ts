// The service binding: another Worker, in the same workerd, calls upstreams through the entrypoint `Sidecar`.
import { readFileSync } from "node:fs";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { bundle } from "../../../cli/bundling.ts";
import { compileForWorker } from "../../../cli/prepare.ts";
import { PROJECT_ROOT, WRANGLER_TOML } from "../../../cli/project.ts";
import { bundleWorker } from "../../../cli/worker-bundle.ts";
import { readWorkerShape } from "../../../cli/workerd.ts";
import { startUpstream, until, type RunningUpstream } from "../rig/index.ts";
import { startOtlpReceiver, treeOf, type OtlpReceiver } from "../rig/otlp-receiver.ts";

const EXAMPLE = `${PROJECT_ROOT}examples/sidecar-binding`;

/** Sends what it is asked to, through the binding that is named. */
const CALLER = `
  export default {
    async fetch(request, env) {
      const { binding, url, ...init } = await request.json();
      return env[binding].fetch(url, init);
    },
  };`;

const service = (props: object) => ({ name: "tidegate", entrypoint: "Sidecar", props });

const worker = (name: string, code: string, serviceBindings: object) => ({
  name,
  modulesRoot: "/",
  modules: [{ type: "ESModule" as const, path: "/index.mjs", contents: code }],
  compatibilityDate: "2026-10-20",
  serviceBindings,
  unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
});

describe("the binding", () => {
  let payments: RunningUpstream;
  let receiver: OtlpReceiver;
  let runtime: Miniflare;
  let urls: Record<string, URL>;
  let isFailing = false;

  beforeAll(async () => {
    receiver = await startOtlpReceiver();
    payments = await startUpstream((message, response) => {
      message.resume();
      if (isFailing) response.writeHead(500);
      response.end(JSON.stringify([message.url]));
    });
    const config = {
      upstreams: {
        payments: {
          targets: [payments.url],
          retry: false,
          breaker: { consecutive: 3, openFor: "1500ms", maxOpenFor: "1500ms", probes: 1, rampUp: 0 },
        },
        catalog: { targets: [payments.url] },
      },
      consumers: { acme: { keys: [`sha256:${"0".repeat(64)}`] } },
      routes: [
        { path: "/v1/*", upstream: "payments", auth: true },
        { path: "/public/*", upstream: "payments" },
        { path: "/report", hosts: ["payments.upstream"], upstream: "payments", priority: "P2" },
      ],
    };
    const shape = await readWorkerShape(WRANGLER_TOML);
    const gateway = bundleWorker(shape, compileForWorker(config));
    const shop = bundle({ entryPoints: [`${EXAMPLE}/src/index.ts`], absWorkingDir: PROJECT_ROOT });
    if (!gateway.ok || !shop.ok) throw new Error("not bundled");
    runtime = new Miniflare(
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the older type has no props
      convertV4MiniflareOptions({
        host: "127.0.0.1",
        port: 0,
        cf: false,
        telemetry: { enabled: false },
        handleStructuredLogs: () => {},
        workers: [
          {
            ...shape.options,
            ...worker("tidegate", gateway.code, {}),
            modulesRules: undefined,
            bindings: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_BSP_SCHEDULE_DELAY: "20" },
          },
          worker("caller", CALLER, {
            PLAIN: service({}),
            LOW: service({ class: "P3" }),
            WRONG: service({ class: "P9" }),
            GATEWAY: { name: "tidegate" },
          }),
          worker("shop", shop.code, { SIDECAR: service({ class: "P1" }) }),
        ],
      } as Parameters<typeof convertV4MiniflareOptions>[0]),
    );
    await runtime.ready;
    const names = ["tidegate", "caller", "shop"];
    urls = Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await runtime.unsafeGetDirectURL(name)])),
    );
  });

  afterAll(async () => {
    await runtime.dispose();
    await payments.stop();
    await receiver.stop();
  });

  beforeEach(() => {
    payments.requests.length = 0;
    isFailing = false;
  });

  function call(binding: string, url: string, init: object = {}): Promise<Response> {
    return fetch(urls.caller, { method: "POST", body: JSON.stringify({ binding, url, ...init }) });
  }

  it("sends a call to the upstream that its host names, with what a gateway's request has", async () => {
    const answer = await call("PLAIN", "http://payments.upstream/v1/charges?a=1", {
      method: "POST",
      body: "1",
      headers: { "x-api-key": "of-the-upstream" },
    });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual(["/v1/charges?a=1"]);
    const [{ method, headers }] = payments.requests;
    expect(method).toBe("POST");
    expect(headers).toMatchObject({
      "x-api-key": "of-the-upstream",
      "x-tidegate-class": "P1",
      via: "1.1 tidegate",
    });
    expect(headers.traceparent).toMatch(/^00-/);
    expect(Number(headers["x-tidegate-deadline-ms"])).toBeGreaterThan(29_000);
    expect(answer.headers.get("x-request-id")).toBe(headers["x-request-id"]);
  });

  it("is not needed to call the gateway's own routes: the gateway can be bound as it is", async () => {
    const answer = await call("GATEWAY", "https://api.example.com/public/x?a=1");
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual(["/public/x?a=1"]);
    expect(payments.requests[0].headers).toMatchObject({ "x-forwarded-host": "api.example.com" });
    expect((await call("GATEWAY", "http://api.example.com/_gateway/health")).status).toBe(200);
    // Nor does it lead where the network cannot go.
    expect((await call("GATEWAY", "http://payments.upstream/report")).status).toBe(404);
  });

  it("has its spans in the trace of the Worker that calls", async () => {
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
    await call("PLAIN", "http://payments.upstream/v1/charges", { headers });
    const spans = await receiver.trace(traceId, 2);
    expect(treeOf(spans, ({ kind, name }) => `${kind} ${name}`)).toEqual(["SERVER GET /*", "  CLIENT GET"]);
    const request = spans.find(({ parentSpanId }) => parentSpanId === "00f067aa0ba902b7");
    expect(request?.attributes).toMatchObject({
      "tidegate.upstream": "payments",
      "server.address": "payments.upstream",
    });
    expect(receiver.problems).toEqual([]);
  });

  it("has the class of the binding at best, and lower where the route or the call says so", async () => {
    await call("LOW", "http://payments.upstream/x", { headers: { "x-tidegate-class": "P0" } });
    await call("PLAIN", "http://payments.upstream/report", { headers: { "x-tidegate-class": "P0" } });
    await call("PLAIN", "http://payments.upstream/x", { headers: { "x-tidegate-class": "P3" } });
    await call("PLAIN", "http://payments.upstream/x", { headers: { priority: "u=5" } });
    expect(payments.requests.map(({ headers }) => headers["x-tidegate-class"])).toEqual([
      "P3",
      "P2",
      "P3",
      "P2",
    ]);
  });

  it("is no way in for the network: neither upstreams' hosts nor their routes lead anywhere", async () => {
    const { request } = await import("node:http");
    const statusOf = (path: string): Promise<number> =>
      new Promise((resolve, reject) => {
        const { hostname, port } = urls.tidegate;
        request({ hostname, port, path, headers: { host: "payments.upstream" } }, (answer) => {
          answer.resume();
          resolve(answer.statusCode ?? 0);
        })
          .on("error", reject)
          .end();
      });
    expect(await statusOf("/report")).toBe(404);
    expect(await statusOf("/x")).toBe(404);
    expect(await statusOf("/v1/x")).toBe(401);
    expect(payments.requests).toEqual([]);
  });

  it("answers with problems, at once where it can tell", async () => {
    const unknown = await call("PLAIN", "http://nobody.upstream/");
    expect(unknown.status).toBe(404);
    expect(await unknown.json()).toMatchObject({ code: "route_not_found" });
    const late = await call("PLAIN", "http://payments.upstream/", {
      headers: { "x-tidegate-deadline-ms": "0" },
    });
    expect(late.status).toBe(504);
    expect(await late.json()).toMatchObject({ code: "deadline_exceeded" });
    expect(payments.requests).toEqual([]);
    const wrong = await call("WRONG", "http://payments.upstream/").then(({ status }) => status);
    expect(wrong).toBe(500);
  });

  it("serves the example, whose configuration is the one that is shown", async () => {
    expect(await (await fetch(new URL("/", urls.shop))).json()).toEqual({ products: ["/v1/catalog/today"] });
    expect(payments.requests[0].headers).toMatchObject({ "x-tidegate-class": "P2" });
    const paid = await fetch(new URL("/pay", urls.shop), { method: "POST", body: "{}" });
    expect(await paid.json()).toEqual(["/v1/charges"]);
    const toml = readFileSync(`${EXAMPLE}/wrangler.toml`, "utf8");
    expect(toml).toContain('entrypoint = "Sidecar"\nprops = { class = "P1" }');
  });

  it("has one breaker with the gateway, which opens, probes and heals", async () => {
    isFailing = true;
    for (let failures = 0; failures < 3; failures++) {
      expect((await call("PLAIN", "http://payments.upstream/")).status).toBe(500);
    }
    const refused = await call("PLAIN", "http://payments.upstream/");
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(await refused.json()).toMatchObject({ code: "circuit_open", upstream: "payments" });
    const ofGateway = await fetch(new URL("/public/x", urls.tidegate));
    expect(await ofGateway.json()).toMatchObject({ code: "circuit_open" });
    isFailing = false;
    await until(
      "healed",
      15_000,
      async () => (await call("PLAIN", "http://payments.upstream/")).status === 200,
    );
  });
});
