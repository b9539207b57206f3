// The hub in the real runtime with real SQLite: what it stores before it answers, what a restart keeps, what
// it refuses where it is deployed.

import { abortAllDurableObjects, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import type { SyncRequest } from "../../src/hub/protocol.ts";

function hubOf(region: string) {
  return env.HUB.getByName(`hub:${region}:0`);
}

type Stub = ReturnType<typeof hubOf>;

function sql(hub: Stub, query: string) {
  return runInDurableObject(hub, (_, { storage }) => storage.sql.exec(query).toArray());
}

function reportOf(region: string, seq: number, by: number): SyncRequest {
  const counts = [{ counter: "calls", key: "k", by }];
  const report = { session: "s", seq, config: "c", counts, uses: [], returns: [] };
  return { region, session: "s", report, asks: [], urgent: false };
}

describe("a hub", () => {
  it("keeps what it acknowledged over its death", async () => {
    await hubOf("sam").add("calls", "k", 3);
    await hubOf("sam").sync(reportOf("sam", 1, 4));
    await abortAllDurableObjects();
    expect(await hubOf("sam").read("calls", "k")).toMatchObject({ value: 7, slots: { "sam.0.0.0": 7 } });
  });

  it("applies a report once, also when its death came between", async () => {
    const request = reportOf("me", 1, 5);
    expect(await hubOf("me").sync(request)).toMatchObject({ kind: "synced", seq: 1 });
    expect(await hubOf("me").sync(request)).toMatchObject({ kind: "synced", seq: 1 });
    await abortAllDurableObjects();
    expect(await hubOf("me").sync(request)).toMatchObject({ kind: "synced", seq: 1 });
    expect(await hubOf("me").read("calls", "k")).toMatchObject({ slots: { "me.0.0.0": 5 } });
  });

  it("hears the regions that it knows at once when it has started again", async () => {
    const peers = async () => (await hubOf("me").describe()).peers;
    await vi.waitFor(async () => expect(await peers()).toHaveProperty("sam"), { timeout: 5_000 });
    // What comes from other regions is stored when nothing goes on, or after a while.
    await runInDurableObject(hubOf("me"), (hub) => hub.alarm?.());
    await abortAllDurableObjects();
    const startedAt = Date.now();
    await hubOf("me").sync(reportOf("me", 2, 1));
    await vi.waitFor(async () => expect((await peers()).sam.ageMs).not.toBeNull(), { timeout: 5_000 });
    expect(Date.now() - startedAt).toBeLessThan(900);
  });

  it("tells with an answer that waited for storage what was forced meanwhile", async () => {
    const hub = hubOf("oc");
    const until = Date.now() + 60_000;
    const answer = hub.sync(reportOf("oc", 1, 1));
    await hub.override("app", { breaker: "open", until });
    expect(await answer).toMatchObject({ snapshot: { overrides: { app: { breaker: "open", until } } } });
  });

  it("stores nothing when it was only asked whether its region is in use", async () => {
    const hello = {
      from: "weur",
      boot: 1,
      inUse: true,
      chunks: [],
      since: 0,
      part: 0,
      version: 0,
      ackBoot: 0,
      ackVersion: 0,
      digest: null,
    };
    expect(await hubOf("afr").gossip(hello)).toMatchObject({ from: "afr", inUse: false });
    expect(await sql(hubOf("afr"), "SELECT name FROM sqlite_master WHERE name = 'states'")).toEqual([]);
  });

  it("answers what is malformed with a value", async () => {
    const hub = hubOf("apac");
    expect(await hub.add("calls", "k", 0)).toEqual({ kind: "malformed" });
    expect(await hub.add("calls", "", 1)).toEqual({ kind: "malformed" });
    expect(await hub.add("no:name", "k", 1)).toEqual({ kind: "malformed" });
    expect(await hub.read("calls", 7)).toBeNull();
    expect(await hub.gossip({ from: "weur" })).toBeNull();
    expect(await hub.sync({})).toEqual({ kind: "refused", reason: "malformed" });
    expect(await hub.sync(reportOf("weur", 1, 1))).toEqual({ kind: "refused", reason: "wrong-region" });
  });

  it("answers an override without terms with a value", async () => {
    // @ts-expect-error Another version of this Worker may call it so.
    expect(await hubOf("apac").override("up")).toEqual({ kind: "malformed" });
    expect(await hubOf("apac").override("up", undefined)).toEqual({ kind: "malformed" });
  });

  it("is not brought into use by a sync that is meant for another region", async () => {
    const hub = env.HUB.getByName("hub:weur:51");
    expect(await hub.sync(reportOf("enam", 1, 1))).toEqual({ kind: "refused", reason: "wrong-region" });
    expect(await sql(hub, "SELECT name FROM sqlite_master WHERE name = 'identity'")).toEqual([]);
  });

  it("takes no faults and cannot be killed where it is deployed", async () => {
    const hub = hubOf("enam");
    const { boot } = await hub.describe();
    expect(await hub.setFaults({ loss: 1 })).toBe(false);
    await hub.abort();
    expect(await hub.describe()).toMatchObject({ boot });
  });
});
