// The pages of sagas, with a ledger that is played: who may see what, and what a list takes.

import { describe, it } from "vitest";
import { hashKey } from "../../../src/edge/api-keys.ts";
import type { RequestContext } from "../../../src/edge/gateway.ts";
import { createGateway } from "../../../src/edge/gateway.ts";
import type { ViewReply } from "../../../src/saga/core/protocol.ts";
import { createState } from "../../../src/saga/core/state.ts";
import { viewSaga } from "../../../src/saga/core/view.ts";
import { define } from "./world.ts";

const CONTEXT: RequestContext = { waitUntil: () => {}, passThroughOnException: () => {}, props: {} };
const ID = `${"a".repeat(32)}-1-s`;
const ADMIN = { authorization: "Bearer token" };

const definition = define([[{ kind: "compensatable", hasOutcome: false, undo: "none" }]]);
const config = {
  upstreams: { u: { targets: ["http://u.test"] } },
  consumers: {
    acme: { keys: [`sha256:${hashKey("acme-key")}` as const] },
    other: { keys: [`sha256:${hashKey("other-key")}` as const] },
  },
  routes: [{ path: "/*", saga: "s", auth: true }],
  sagas: {
    s: {
      key: "{body.id}",
      steps: [
        {
          id: "s0",
          request: { upstream: "u", method: "POST", path: "/" },
          compensate: { none: "test" },
        },
      ],
    },
  },
};

function get(path: string, headers: Record<string, string>, owner: string | null) {
  const state = createState(definition, 0);
  const view = viewSaga({ id: ID, key: "k", seed: "seed", definition, state });
  const found: ViewReply = { kind: "found", view, owner, isOver: false };
  const ledger = {
    view: (id: string) => Promise.resolve(id === ID ? found : { kind: "unknown" }),
    list: (asked: unknown) => Promise.resolve({ items: [asked], next: 7 }),
  };
  const bindings = {
    ADMIN_TOKEN: "token",
    SAGA_LEDGER: { idFromName: (name: string) => name, get: () => ledger },
  };
  const request = new Request(`http://gateway.test/_gateway/sagas${path}`, { headers });
  request.headers.set("host", "gateway.test");
  return createGateway(config).handler.fetch(request, bindings, CONTEXT);
}

describe("the page of a saga", () => {
  it.for([
    ["nobody", {}, "acme", 401],
    ["somebody else", { "x-api-key": "other-key" }, "acme", 403],
    ["its consumer", { "x-api-key": "acme-key" }, "acme", 200],
    ["an operator", ADMIN, "acme", 200],
    ["anybody, where it belongs to nobody", {}, null, 200],
  ] as const)("shown to %s", async ([, headers, owner, status], { expect }) => {
    expect((await get(`/${ID}`, headers, owner)).status).toBe(status);
    if (status !== 200) expect((await get(`/${ID}/events`, headers, owner)).status).toBe(status);
  });

  it("has states, tries, keys and times, and nothing that was sent or answered", async ({ expect }) => {
    const page = await (await get(`/${ID}`, {}, null)).json();
    expect(page).toMatchObject({
      id: ID,
      state: "pending",
      steps: [
        {
          id: "s0",
          forward: { state: "pending", attempts: 0, key: "seed-s0-forward-1", startedAt: null },
          compensation: { state: "none", attempts: 0, key: "seed-s0-undo-1" },
        },
      ],
    });
    expect(JSON.stringify(page)).not.toContain("output");
  });

  it.for(["/nonsense", `/${"b".repeat(32)}-1-s`, `/${"a".repeat(32)}-1-unknown`])(
    "%s is none",
    async (path, { expect }) => {
      expect((await get(path, ADMIN, null)).status).toBe(404);
    },
  );
});

describe("the list", () => {
  it("asks for state and age, and goes on where it ended", async ({ expect }) => {
    const response = await get("?state=parked&olderThan=1h&max=1", ADMIN, null);
    expect(await response.json()).toEqual({
      items: [{ state: "parked", minAgeMs: 3_600_000, after: 0, max: 1 }],
      next: "s:7",
    });
    expect(await (await get("?after=s:7", ADMIN, null)).json()).toMatchObject({ items: [{ after: 7 }] });
  });

  it("is for operators", async ({ expect }) => {
    expect((await get("", { "x-api-key": "acme-key" }, null)).status).toBe(401);
  });

  it.for(["?state=lost", "?olderThan=soon", "?max=0", "?after=x:y"])(
    "%s is refused",
    async (query, { expect }) => {
      expect((await get(query, ADMIN, null)).status).toBe(400);
    },
  );
});
