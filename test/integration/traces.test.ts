// Traces from outside: what a receiver of OTLP gets of requests that pass a gateway, a sidecar and a service.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startGateway, startUpstream, type RunningGateway, type RunningUpstream } from "./rig/index.ts";
import { startOtlpReceiver, treeOf, type OtlpReceiver, type ReceivedSpan } from "./rig/otlp-receiver.ts";
import { SidecarProcess } from "./rig/sidecar.ts";

const CLIENT_SPAN = "00f067aa0ba902b7";
let nextTrace = 1;

/** A trace that a client has begun. */
function newTrace(): string {
  return (nextTrace++).toString(16).padStart(32, "4bf92f3577b34da6");
}

function parentOf(traceId: string, flags = "01"): Record<string, string> {
  return { traceparent: `00-${traceId}-${CLIENT_SPAN}-${flags}` };
}

function labelOf({ kind, name, resource }: ReceivedSpan): string {
  return `${kind} ${name} (${String(resource["service.name"])})`;
}

let receiver: OtlpReceiver;
let service: RunningUpstream;
let sidecar: SidecarProcess;
let gateway: RunningGateway;
let failures = 0;

beforeAll(async () => {
  receiver = await startOtlpReceiver();
  service = await startUpstream((request, response) => {
    request.resume();
    if (failures > 0) {
      failures--;
      response.writeHead(503);
    }
    response.end("ok");
  });
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_EXPORTER_OTLP_HEADERS: "x-team=edge%20one",
    OTEL_BSP_SCHEDULE_DELAY: "50",
  };
  sidecar = await new SidecarProcess(
    ["--inbound", "127.0.0.1:0", "--app", service.url, "--admin", "127.0.0.1:0"],
    undefined,
    { ...env, OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test" },
  ).ready();
  gateway = await startGateway({
    config: {
      upstreams: {
        shop: { targets: [sidecar.url("inbound")], breaker: false },
        refusing: { targets: [service.url], breaker: false },
      },
      queues: { orders: { upstream: "shop", path: "/fulfil/*" } },
      subscriptions: {
        billing: { events: ["order.*"], deliver: { upstream: "shop", path: "/billed" } },
        hook: { events: ["ping"], deliver: { webhook: `${service.url}/hook`, secrets: ["env:HOOK"] } },
      },
      routes: [
        { name: "items", path: "/v1/items/:id", upstream: "shop", priority: "P0" },
        { path: "/v1/refused", upstream: "refusing", priority: "P2" },
        { path: "/v1/orders/*", methods: ["POST"], queue: "orders" },
        { path: "/v1/placed", methods: ["POST"], event: "order.placed" },
      ],
    },
    args: ["--env", "HOOK=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    env,
  });
});

afterAll(async () => {
  await gateway?.stop();
  await sidecar?.stop();
  await service?.stop();
  await receiver?.stop();
});

beforeEach(() => {
  service.requests.length = 0;
  failures = 0;
});

function ask(path: string, headers: Record<string, string>, init: RequestInit = {}): Promise<Response> {
  return fetch(`${gateway.url}${path}`, { ...init, headers });
}

describe("a trace", () => {
  it("is one tree from the client's span through gateway and sidecar to the service", async () => {
    const traceId = newTrace();
    const answer = await ask("/v1/items/7?token=secret", { ...parentOf(traceId), tracestate: "acme=1" });
    expect(answer.status).toBe(200);
    const spans = await receiver.trace(traceId, 4);
    expect(treeOf(spans, labelOf)).toEqual([
      "SERVER GET /v1/items/:id (tidegate)",
      "  CLIENT GET (tidegate)",
      "    SERVER GET /* (tidegate-sidecar)",
      "      CLIENT GET (tidegate-sidecar)",
    ]);
    const [request, tried, , last] = spans.toSorted(byDepth(spans));
    expect(request.parentSpanId).toBe(CLIENT_SPAN);
    expect(spans.map(({ traceState }) => traceState)).toEqual(Array.from(spans, () => "acme=1"));
    expect(service.requests[0].headers).toMatchObject({
      traceparent: `00-${traceId}-${last.spanId}-01`,
      tracestate: "acme=1",
    });
    const { port, hostname } = new URL(gateway.url);
    expect(request.attributes).toMatchObject({
      "http.request.method": "GET",
      "http.response.status_code": 200,
      "http.route": "/v1/items/:id",
      "url.scheme": "http",
      "url.path": "/v1/items/7",
      "url.query": "token=*",
      "server.address": hostname,
      "server.port": Number(port),
      "tidegate.decision": "admit",
      "tidegate.route": "items",
      "tidegate.upstream": "shop",
      "tidegate.class": "P0",
      "tidegate.cursor": 512,
      "tidegate.tries": 1,
      "tidegate.request_id": answer.headers.get("x-request-id"),
    });
    expect(request).toMatchObject({ isError: false, flags: 0x301 });
    expect(tried).toMatchObject({ isError: false, flags: 0x101 });
    expect(tried.attributes).toMatchObject({
      "http.request.method": "GET",
      "http.response.status_code": 200,
      "url.full": `${sidecar.url("inbound")}/v1/items/7?token=*`,
      "server.address": "127.0.0.1",
      "server.port": sidecar.port("inbound"),
      "tidegate.upstream": "shop",
      "tidegate.target": 0,
      "tidegate.breaker.phase": "none",
    });
    expect(JSON.stringify(spans, (_, value) => (typeof value === "bigint" ? 0 : value))).not.toContain(
      "secret",
    );
    expect(request.resource).toMatchObject({ "service.name": "tidegate", "tidegate.region": "weur" });
    expect(last.resource).toMatchObject({ "deployment.environment.name": "test" });
    expect(receiver.headers[0]).toMatchObject({ "x-team": "edge one" });
  });

  it("that its parent does not record is not recorded here, and goes on unrecorded", async () => {
    const unrecorded = newTrace();
    await ask("/v1/items/1", parentOf(unrecorded, "00"));
    const recorded = newTrace();
    await ask("/v1/items/1", parentOf(recorded));
    await receiver.trace(recorded, 4);
    expect(receiver.spans.filter(({ traceId }) => traceId === unrecorded)).toEqual([]);
    expect(service.requests[0].headers["traceparent"]).toMatch(
      new RegExp(`^00-${unrecorded}-[0-9a-f]{16}-00$`),
    );
  });

  it("begins at the gateway where the client has none", async () => {
    await ask("/v1/items/1", { traceparent: "00-nonsense-01" });
    const [, traceId] = String(service.requests[0].headers["traceparent"]).split("-");
    const spans = await receiver.trace(traceId, 4);
    expect(spans.filter(({ parentSpanId }) => parentSpanId === "").map(({ name }) => name)).toEqual([
      "GET /v1/items/:id",
    ]);
  });

  it("has each try, and says which of them failed", async () => {
    failures = 1;
    const traceId = newTrace();
    expect((await ask("/v1/refused", parentOf(traceId))).status).toBe(200);
    const tries = (await receiver.trace(traceId, 3)).filter(({ kind }) => kind === "CLIENT");
    const seen = tries.map(({ attributes, isError }) => ({
      isError,
      status: attributes["http.response.status_code"],
      resends: attributes["http.request.resend_count"],
      error: attributes["error.type"],
    }));
    expect(seen).toEqual([
      { isError: true, status: 503, error: "503" },
      { isError: false, status: 200, resends: 1 },
    ]);
    expect(tries.map(({ parentSpanId }) => parentSpanId)).toEqual([
      tries[0].parentSpanId,
      tries[0].parentSpanId,
    ]);
  });

  it("tells of a request that was shed, with the cursor that refused it", async () => {
    const override = `${gateway.url}/_gateway/overrides/refusing`;
    const headers = { authorization: `Bearer ${gateway.adminToken}` };
    await fetch(override, { method: "PUT", headers, body: JSON.stringify({ cursor: 0, forMs: 60_000 }) });
    let traceId = "";
    await expect
      .poll(
        async () => {
          traceId = newTrace();
          return (await ask("/v1/refused", parentOf(traceId))).status;
        },
        { timeout: 10_000 },
      )
      .toBe(503);
    await fetch(override, { method: "DELETE", headers });
    const [span, ...others] = await receiver.trace(traceId, 1);
    expect(others).toEqual([]);
    expect(span).toMatchObject({ kind: "SERVER", isError: true, parentSpanId: CLIENT_SPAN });
    expect(span.attributes).toMatchObject({
      "http.response.status_code": 503,
      "error.type": "shed",
      "tidegate.decision": "shed",
      "tidegate.class": "P2",
      "tidegate.cursor": 0,
      "tidegate.tries": 0,
    });
  });

  it("tells of what matches no route, without making a name of it", async () => {
    const traceId = newTrace();
    await ask("/nothing/here", parentOf(traceId));
    const [span] = await receiver.trace(traceId, 1);
    expect(span).toMatchObject({ name: "GET", isError: false });
    expect(span.attributes).toMatchObject({
      "tidegate.decision": "route_not_found",
      "http.response.status_code": 404,
    });
    expect(span.attributes).not.toHaveProperty("http.route");
  });
});

describe("work that is stored", () => {
  it("has its wait and its delivery in the tree of the request that it came with", async () => {
    const traceId = newTrace();
    const answer = await ask("/v1/orders/9", parentOf(traceId), { method: "POST", body: "{}" });
    expect(answer.status).toBe(202);
    const spans = await receiver.trace(traceId, 7);
    expect(treeOf(spans, labelOf)).toEqual([
      "SERVER POST /v1/orders/* (tidegate)",
      "  PRODUCER send orders (tidegate)",
      "    INTERNAL wait orders (tidegate)",
      "    CONSUMER process orders (tidegate)",
      "      CLIENT POST (tidegate)",
      "        SERVER POST /* (tidegate-sidecar)",
      "          CLIENT POST (tidegate-sidecar)",
    ]);
    const named = (name: string) => spans.find((span) => span.name === name)?.attributes ?? {};
    const id = answer.headers.get("location")?.split("/").at(-1);
    for (const name of ["send orders", "wait orders", "process orders"]) {
      expect(named(name)).toMatchObject({
        "messaging.system": "tidegate",
        "messaging.destination.name": "orders",
        "messaging.message.id": id,
      });
    }
    expect(named("process orders")).toMatchObject({
      "messaging.operation.type": "process",
      "tidegate.decision": "admit",
      "tidegate.attempt": 1,
      "tidegate.wait_ms": expect.any(Number),
    });
  });

  it("has an event's way to its subscriber in the tree too", async () => {
    const traceId = newTrace();
    const headers = { ...parentOf(traceId), "content-type": "application/json" };
    expect((await ask("/v1/placed", headers, { method: "POST", body: "{}" })).status).toBe(202);
    const tree = treeOf(await receiver.trace(traceId, 7), labelOf);
    expect(tree.slice(0, 5)).toEqual([
      "SERVER POST /v1/placed (tidegate)",
      "  PRODUCER send order.placed (tidegate)",
      "    INTERNAL wait billing (tidegate)",
      "    CONSUMER process billing (tidegate)",
      "      CLIENT POST (tidegate)",
    ]);
  });
});

describe("an event that is published by hand", () => {
  it("has a trace to its webhook, which goes past all upstreams", async () => {
    const traceId = newTrace();
    const event = { specversion: "1.0", id: "1", source: "/test", type: "ping", data: {} };
    const headers = {
      ...parentOf(traceId),
      authorization: `Bearer ${gateway.adminToken}`,
      "content-type": "application/cloudevents+json",
    };
    const answer = await ask("/_gateway/events", headers, { method: "POST", body: JSON.stringify(event) });
    expect(answer.status).toBe(202);
    const spans = await receiver.trace(traceId, 4);
    expect(treeOf(spans, labelOf)).toEqual([
      "SERVER POST (tidegate)",
      "  PRODUCER send ping (tidegate)",
      "    INTERNAL wait hook (tidegate)",
      "    CONSUMER process hook (tidegate)",
    ]);
    const producer = spans.find(({ kind }) => kind === "PRODUCER")?.spanId;
    const hook = service.requests.find(({ target }) => target === "/hook");
    expect(hook?.headers["traceparent"]).toBe(`00-${traceId}-${String(producer)}-01`);
  });
});

describe("the ratio of traces", () => {
  it("is for those that begin here: what a parent records is recorded", async () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_TRACES_SAMPLER: "parentbased_always_off" };
    const args = ["--inbound", "127.0.0.1:0", "--app", service.url];
    const sparing = await new SidecarProcess(args, undefined, env).ready();
    await fetch(`${sparing.url("inbound")}/begins-here`);
    const traceId = newTrace();
    await fetch(`${sparing.url("inbound")}/goes-on`, { headers: parentOf(traceId) });
    sparing.signal("SIGTERM");
    expect(await sparing.exited()).toBe(0);
    expect(service.requests[0].headers["traceparent"]).toMatch(/-00$/);
    const paths = receiver.spans.map(({ attributes }) => attributes["url.path"]);
    expect(paths).toContain("/goes-on");
    expect(paths).not.toContain("/begins-here");
  });
});

describe("a receiver", () => {
  it("has got nothing that is not of the protocol's shape", () => {
    expect(receiver.problems).toEqual([]);
    expect(receiver.spans.length).toBeGreaterThan(20);
  });

  it("that takes nothing harms no request, and what is lost is counted and said", async () => {
    receiver.status = 400;
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async () => (await ask("/v1/items/1", parentOf(newTrace()))).status),
    );
    expect(new Set(statuses)).toEqual(new Set([200]));
    await expect
      .poll(() => sidecar.log.map(({ event }) => event), { timeout: 10_000 })
      .toContain("spans_dropped");
    receiver.status = null;
    const metrics = await (await fetch(`${sidecar.url("admin")}/metrics`)).text();
    expect(metrics).toMatch(/^tidegate_spans_dropped_total\{reason="refused"\} [1-9]/m);
    expect(metrics).toMatch(/^tidegate_spans_exported_total [1-9]/m);
  });

  it("gets the last spans of a sidecar that ends", async () => {
    const traceId = newTrace();
    await fetch(`${sidecar.url("inbound")}/last`, { headers: parentOf(traceId) });
    sidecar.signal("SIGTERM");
    expect(await sidecar.exited()).toBe(0);
    expect(receiver.spans.filter((span) => span.traceId === traceId)).toHaveLength(2);
  });
});

function byDepth(spans: readonly ReceivedSpan[]): (a: ReceivedSpan, b: ReceivedSpan) => number {
  const depth = ({ parentSpanId }: ReceivedSpan): number => {
    const parent = spans.find(({ spanId }) => spanId === parentSpanId);
    return parent === undefined ? 0 : 1 + depth(parent);
  };
  return (a, b) => depth(a) - depth(b);
}
