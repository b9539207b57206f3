// What a sidecar adds to a configuration, and which of its routes are for whom.
import { describe, expect, it } from "vitest";
import { validateConfig } from "../../../src/config/validate.ts";
import { allRoutes } from "../../../src/config/plan.ts";
import { callerOfBinding } from "../../../src/sidecar/binding.ts";
import { sidecarConfig, sidecarErrors } from "../../../src/sidecar/sidecar-config.ts";

const APP = "http://127.0.0.1:3000";

describe("the configuration of a sidecar", () => {
  it("is, without a file, the service behind it", () => {
    const config = sidecarConfig({}, APP);
    expect(config).toEqual({
      name: "tidegate-sidecar",
      upstreams: { app: { targets: [APP] } },
      routes: [{ name: "app", path: "/*", upstream: "app" }],
    });
    expect(validateConfig(config).ok).toBe(true);
  });

  it("keeps a file's name, and what it says of the service but for its address", () => {
    const file = {
      name: "mine",
      upstreams: { a: { targets: ["http://a"] }, app: { timeout: "1s", targets: ["http://x"] } },
    };
    expect(sidecarConfig(file, APP)).toMatchObject({
      name: "mine",
      upstreams: { app: { timeout: "1s", targets: [APP] } },
    });
  });

  it("adds no route to a file's own for the network, and one beside those for calls", () => {
    const upstreams = { a: { targets: ["http://a"] } };
    const inbound = [{ path: "/x", upstream: "app" }];
    expect(sidecarConfig({ upstreams, routes: inbound }, APP)).toMatchObject({ routes: inbound });
    const calls = [{ path: "/x", hosts: ["a.upstream"], upstream: "a" }];
    expect(sidecarConfig({ upstreams, routes: calls }, APP)).toMatchObject({
      routes: [...calls, { name: "app" }],
    });
    expect(sidecarConfig({ upstreams, routes: calls }, null)).toMatchObject({ routes: calls });
    expect(validateConfig(sidecarConfig({ upstreams }, null)).ok).toBe(true);
  });

  it.each([null, 1, "x", [], { upstreams: 1 }, { routes: 1 }])("leaves %j to the validator", (written) => {
    expect(validateConfig(sidecarConfig(written, APP)).ok).toBe(false);
  });
});

describe("what a process cannot do", () => {
  it("is refused, one line each: queues, sagas, subscriptions, events", () => {
    const step = {
      id: "x",
      request: { upstream: "a", method: "POST", path: "/" },
      compensate: { none: "test" },
    };
    const validated = validateConfig({
      upstreams: { a: { targets: ["http://a"] } },
      queues: { q: { upstream: "a" } },
      sagas: { s: { key: "{body.id}", steps: [step] } },
      subscriptions: { t: { events: ["*"], deliver: { pull: true } } },
      relays: { r: { hyperdrive: "DB" } },
      routes: [
        { path: "/q", methods: ["POST"], queue: "q" },
        { path: "/s", methods: ["POST"], saga: "s" },
        { path: "/e", methods: ["POST"], event: "e.e" },
      ],
    });
    if (!validated.ok) throw new Error(validated.errors.join("\n"));
    expect(sidecarErrors(validated.plan)).toEqual([
      "queues.q: a sidecar keeps no queue, the gateway does",
      "subscriptions.t: a sidecar delivers no events, the gateway does",
      "sagas.s: a sidecar runs no sagas, the gateway does",
      "relays.r: a sidecar relays no rows, the gateway does",
      "routes[2].event: a sidecar publishes no events, the gateway does",
    ]);
  });
});

describe("routes by upstream", () => {
  it("come behind those that are written, one for each upstream", () => {
    const file = {
      upstreams: { A: { targets: ["http://a"] } },
      routes: [{ path: "/x", hosts: ["a.upstream"], upstream: "A" }],
    };
    const validated = validateConfig(file);
    if (!validated.ok) throw new Error(validated.errors.join("\n"));
    const routes = allRoutes(validated.plan);
    expect(routes.map(({ index, path, hosts }) => [index, path, ...(hosts ?? [])])).toEqual([
      [0, "/x", "a.upstream"],
      [1, "/*", "a.upstream"],
    ]);
    // The defaults of a route that says nothing.
    expect(routes[1]).toMatchObject({
      deadlineMs: routes[0].deadlineMs,
      bodyLimitBytes: routes[0].bodyLimitBytes,
      priority: routes[0].priority,
    });
  });
});

describe("the caller behind a binding", () => {
  const request = new Request("http://payments.upstream:80/x", { headers: { "x-a": "1" } });

  it.each([
    [{}, 0],
    [undefined, 0],
    [{ class: "P2" }, 2],
    [{ class: "p3" }, 3],
  ])("with props %j has at best class %i", (props, leastClass) => {
    expect(callerOfBinding(request, props)).toEqual({
      address: null,
      host: "payments.upstream",
      leastClass,
      mayNameClass: true,
    });
  });

  it.each([{ class: "P4" }, { class: 1 }, { class: "" }])(
    "with props %j is a mistake that shows",
    (props) => {
      expect(() => callerOfBinding(request, props)).toThrow(/props.class of the binding must be/);
    },
  );
});
