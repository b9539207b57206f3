// The isolate's way to the objects: what becomes of answers that come too late or not at all.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ConsumeOutcome } from "../../../src/hub/ledger-requests.ts";
import type { SyncReply, SyncRequest } from "../../../src/hub/protocol.ts";
import { LEDGER_TIMEOUT_MS, WorkerHub, objectBindingsOf } from "../../../src/region/worker-hub.ts";
import type { ObjectBindings } from "../../../src/region/worker-hub.ts";
import { SYNC_MS } from "../../../src/region/replica.ts";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function namespaceOf(stub: object) {
  return { idFromName: (name: string) => name, get: () => stub };
}

function bindingsOf(hub: object, ledger: object): ObjectBindings {
  const bindings = objectBindingsOf({ HUB: namespaceOf(hub), LEDGER: namespaceOf(ledger) });
  if (bindings === null) throw new Error("no bindings");
  return bindings;
}

const TAKEN = { kind: "taken", remaining: 9, resetMs: 1, used: 1 } as const;

async function givenBack(outcome: ConsumeOutcome, late: "keep" | "give-back"): Promise<string[]> {
  const given: string[] = [];
  const { promise, resolve } = Promise.withResolvers<ConsumeOutcome>();
  const ledger = {
    consume: () => promise,
    giveBack: async (id: string) => void given.push(id),
  };
  const hub = new WorkerHub(bindingsOf({}, ledger), "weur", "s", "c");
  const reply = hub.consume("limit", "key", { id: "row", amount: 1, rate: 10, windowMs: 1000 }, late);
  await vi.advanceTimersByTimeAsync(LEDGER_TIMEOUT_MS);
  expect(await reply).toBeNull();
  resolve(outcome);
  await vi.advanceTimersByTimeAsync(0);
  return given;
}

describe("units that a ledger counts after the caller has given up", () => {
  it("are given back where the request was refused", async () => {
    expect(await givenBack({ ...TAKEN, replayed: false }, "give-back")).toEqual(["row"]);
  });

  it("stay counted where it has passed", async () => {
    expect(await givenBack({ ...TAKEN, replayed: false }, "keep")).toEqual([]);
  });

  it("stay counted where an earlier request with the same id used them", async () => {
    expect(await givenBack({ ...TAKEN, replayed: true }, "give-back")).toEqual([]);
  });

  it("are not there when it was refused", async () => {
    expect(await givenBack({ kind: "refused", waitMs: 1, remaining: 0 }, "give-back")).toEqual([]);
  });
});

function synced(seq: number): SyncReply {
  return {
    kind: "synced",
    seq,
    leases: [],
    snapshot: { region: "weur", isolates: 1, regions: 1, overrides: {} },
  };
}

describe("a sync that fails", () => {
  it("is sent again, the same, without another request", async () => {
    const requests: SyncRequest[] = [];
    const stub = {
      sync: async (request: SyncRequest) => {
        requests.push(request);
        if (requests.length < 3) throw new Error("the hub is gone");
        return synced(request.report?.seq ?? 0);
      },
    };
    const hub = new WorkerHub(bindingsOf(stub, {}), "weur", "s", "c");
    hub.link.count("calls", "k", 7);
    hub.link.afterResponse();
    const kept = hub.takeBegun();
    await vi.advanceTimersByTimeAsync(4 * SYNC_MS);
    await kept;
    expect(requests.map(({ report }) => report)).toEqual(
      Array.from({ length: 3 }, () => expect.objectContaining({ session: "s", seq: 1 })),
    );
    expect(hub.link.replica.failures).toBe(0);
  });

  it("waits for a request when the hub stays away", async () => {
    let calls = 0;
    const stub = {
      sync: async () => {
        calls++;
        throw new Error("the hub is gone");
      },
    };
    const hub = new WorkerHub(bindingsOf(stub, {}), "weur", "s", "c");
    hub.link.count("calls", "k", 7);
    hub.link.afterResponse();
    await vi.advanceTimersByTimeAsync(60 * SYNC_MS);
    const alone = calls;
    expect(alone).toBeGreaterThan(10);
    await vi.advanceTimersByTimeAsync(60 * SYNC_MS);
    expect(calls).toBe(alone);
    hub.link.afterResponse();
    await vi.advanceTimersByTimeAsync(0);
    expect(calls).toBe(alone + 1);
  });
});
