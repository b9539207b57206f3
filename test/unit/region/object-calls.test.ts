// The isolate's calls to its hub and to ledgers: each has a deadline, and none of them throws.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ConsumeOutcome, ConsumeRequest } from "../../../src/hub/ledger-requests.ts";
import type { SyncReply } from "../../../src/hub/protocol.ts";
import type { ObjectBindings } from "../../../src/region/worker-hub.ts";
import { WorkerHub, objectBindingsOf } from "../../../src/region/worker-hub.ts";
import { T0 } from "../hub/hubs.ts";
import { synced } from "./link-ports.ts";

const REQUEST: ConsumeRequest = { id: "a", amount: 1, rate: 10, windowMs: 1000 };
const TAKEN: ConsumeOutcome = { kind: "taken", remaining: 9, resetMs: 1000, used: 1, replayed: false };

interface Objects {
  readonly names: string[];
  readonly hints: unknown[];
  readonly givenBack: string[];
  sync: () => Promise<SyncReply>;
  consume: () => Promise<ConsumeOutcome>;
}

function objects(): Objects {
  return {
    names: [],
    hints: [],
    givenBack: [],
    sync: () => Promise.resolve(synced(0)),
    consume: () => Promise.resolve(TAKEN),
  };
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

function unused(): Promise<never> {
  return Promise.reject(new Error("not asked for here"));
}

function idFromName(name: string): unknown {
  return name;
}

function hubWith(made: Objects, hasLedgers = true): WorkerHub {
  const get =
    <Stub>(stub: Stub) =>
    (name: unknown, options?: object) => {
      made.names.push(String(name));
      made.hints.push(options);
      return stub;
    };
  const hub = {
    sync: () => made.sync(),
    add: unused,
    read: unused,
    override: unused,
    overrides: unused,
    describe: unused,
    metrics: unused,
    snapshot: unused,
    setFaults: unused,
    wake: unused,
    abort: unused,
  };
  const ledger = {
    consume: () => made.consume(),
    giveBack: (id: string) => Promise.resolve(made.givenBack.push(id)),
  };
  const bindings: ObjectBindings = {
    hubs: { idFromName, get: get(hub) },
    ledgers: hasLedgers ? { idFromName, get: get(ledger) } : null,
  };
  return new WorkerHub(bindings, "weur", "s", "c");
}

beforeEach(() => {
  vi.useFakeTimers({ now: T0 });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("bindings", () => {
  it("are found among a Worker's own, with or without ledgers, and are none without a hub", () => {
    const namespace = { idFromName: () => "id", get: () => ({}) };
    expect(objectBindingsOf({ HUB: namespace, LEDGER: namespace })?.ledgers).toBe(namespace);
    expect(objectBindingsOf({ HUB: namespace })).toEqual({ hubs: namespace, ledgers: null });
    for (const hub of [undefined, null, "text", {}, { get: () => ({}) }]) {
      expect(objectBindingsOf({ HUB: hub, LEDGER: namespace })).toBeNull();
    }
  });
});

describe("a sync", () => {
  it("goes to the hub of the region, hinted to where it is, and is kept by the request that began it", async () => {
    const made = objects();
    const hub = hubWith(made);
    hub.link.count("hits", "k", 1);
    hub.link.afterResponse();
    const kept: Promise<unknown>[] = [];
    hub.keepBegun({ waitUntil: (work) => kept.push(work) });
    expect(hub.takeBegun()).toBeNull();
    await vi.advanceTimersByTimeAsync(0);
    await Promise.all(kept);
    expect(kept).toHaveLength(1);
    expect([made.names, made.hints]).toEqual([["hub:weur:0"], [{ locationHint: "weur" }]]);
    expect(hub.link.replica.snapshot).not.toBeNull();
  });

  it.for([
    ["is refused", () => Promise.reject(new Error("overloaded")), 0],
    ["is never answered", never, 2_000],
  ] as const)("that %s is a failure and nothing else", async ([, call, failsAfterMs]) => {
    const made = objects();
    made.sync = call;
    const hub = hubWith(made);
    hub.link.count("hits", "k", 1);
    hub.link.afterResponse();
    await vi.advanceTimersByTimeAsync(failsAfterMs);
    expect(hub.link.replica).toMatchObject({ syncing: false, failures: 1, frozen: { seq: 1 } });
    expect(hub.link.tally.failed).toBe(1);
  });
});

describe("an exact limit", () => {
  it("is answered by the ledger of its key", async () => {
    const made = objects();
    expect(await hubWith(made).consume("plan", "k:1", REQUEST, "keep")).toEqual(TAKEN);
    expect(made.names).toEqual(["plan:k:1"]);
    expect(made.givenBack).toEqual([]);
  });

  it("without a ledger, or one that fails, has no answer", async () => {
    const made = objects();
    expect(await hubWith(made, false).consume("plan", "k", REQUEST, "keep")).toBeNull();
    made.consume = () => Promise.reject(new Error("down"));
    expect(await hubWith(made).consume("plan", "k", REQUEST, "keep")).toBeNull();
    hubWith(made, false).giveBack("plan", "k", "a");
    expect(made.givenBack).toEqual([]);
  });

  it("is given back as work of the request", async () => {
    const made = objects();
    const hub = hubWith(made);
    hub.giveBack("plan", "k", "a");
    await hub.takeBegun();
    expect(made.givenBack).toEqual(["a"]);
  });
});

describe("what the admin surface asks", () => {
  it("has no answer when the hub fails or does not answer in time", async () => {
    const hub = hubWith(objects());
    expect(await hub.ask(() => Promise.resolve(7))).toBe(7);
    expect(await hub.ask(() => Promise.reject(new Error("down")))).toBeNull();
    const waited = hub.ask(never);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await waited).toBeNull();
  });
});
