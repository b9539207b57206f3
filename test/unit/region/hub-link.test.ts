// How an isolate speaks to its hub: when, how often, and how long a request waits for it.

import { describe, expect, it } from "vitest";
import { ASK_LOST_MS, LEASE_WAIT_MS } from "../../../src/region/hub-link.ts";
import type { LimitView } from "../../../src/region/limit-view.ts";
import { SYNC_MS } from "../../../src/region/replica.ts";
import { T0, termsOf } from "../hub/hubs.ts";
import { LinkWorld, leaseOf } from "./link-ports.ts";

function viewIn(world: LinkWorld, terms = termsOf()): LimitView {
  const view = world.link.view(terms);
  if (view === null) throw new Error("no view");
  return view;
}

/** Waits for a unit and notes every answer. */
function wait(world: LinkWorld, view: LimitView, cost = 1, onUnavailable: "allow" | "deny" = "allow") {
  const outcomes: { taken: boolean; at: number }[] = [];
  world.link.wait(view, cost, onUnavailable, (taken) =>
    outcomes.push({ taken, at: world.now - T0 - SYNC_MS }),
  );
  return outcomes;
}

function metWorld(): LinkWorld {
  const world = new LinkWorld();
  world.meetHub();
  return world;
}

/** One whose last sync has failed. */
function loneWorld(): LinkWorld {
  const world = metWorld();
  world.link.afterResponse();
  world.sent.at(-1)?.done(null);
  return world;
}

describe("a sync", () => {
  it("starts behind a response, at most once a second", () => {
    const world = new LinkWorld();
    for (let response = 0; response < 300; response++) {
      world.link.count("hits", "k", 1);
      world.link.afterResponse();
      world.answer();
      world.pass(10);
    }
    expect(world.syncs.length).toBeGreaterThanOrEqual(3);
    expect(world.syncs.length).toBeLessThanOrEqual(4);
  });

  it("is flushed once behind a burst: what its last response counted is not left behind", () => {
    const world = new LinkWorld();
    for (let response = 0; response < 5; response++) {
      world.link.count("hits", "k", 1);
      world.link.afterResponse();
      world.answer();
    }
    expect([world.syncs.length, world.timers]).toEqual([1, 1]);
    world.pass(SYNC_MS);
    expect(world.syncs.map(({ request }) => request.report?.counts[0].by)).toEqual([1, 4]);
    world.answer();
    world.pass(10 * SYNC_MS);
    expect([world.syncs.length, world.timers]).toEqual([2, 0]);
  });

  it("comes early for who may not come back, ten times a second and one at a time", () => {
    const world = metWorld();
    expect([world.link.syncEarly(), world.link.syncEarly()]).toEqual([true, false]);
    world.pass(SYNC_MS / 2);
    expect(world.link.syncEarly()).toBe(false);
    world.answer();
    expect(world.link.syncEarly()).toBe(true);
    world.answer();
    world.pass(99);
    expect(world.link.syncEarly()).toBe(false);
    world.pass(1);
    expect(world.link.syncEarly()).toBe(true);
    expect(world.syncs).toHaveLength(3);
  });

  it("waits for the one on its way, which is sent again when it has failed", () => {
    const world = new LinkWorld();
    world.link.count("hits", "k", 1);
    world.link.afterResponse();
    world.pass(2 * SYNC_MS);
    world.link.afterResponse();
    expect(world.syncs).toHaveLength(1);
    world.syncs[0].done(null);
    world.link.count("hits", "k", 1);
    world.link.afterResponse();
    expect(world.syncs).toHaveLength(2);
    expect(world.syncs[1].request.report).toEqual(world.syncs[0].request.report);
    expect(world.link.tally).toMatchObject({ syncs: 2, failed: 1 });
  });
});

describe("a request that waits for a lease", () => {
  it("passes when the hub leases enough, and the timer of its wait is gone", () => {
    const world = metWorld();
    const view = viewIn(world);
    expect(world.link.take(view, 1)).toBe("ask");
    const outcomes = wait(world, view);
    world.pass(5);
    world.answer([leaseOf(3)]);
    expect(outcomes).toEqual([{ taken: true, at: 5 }]);
    expect(world.timers).toBe(0);
    expect([world.link.take(view, 2), world.link.take(view, 1)]).toEqual(["taken", "ask"]);
  });

  it("is refused when the hub has nothing", () => {
    const world = metWorld();
    const outcomes = wait(world, viewIn(world));
    world.answer([leaseOf(0, { used: 100, retryMs: 500 })]);
    expect(outcomes).toEqual([{ taken: false, at: 0 }]);
  });

  it("waits no longer than LEASE_WAIT_MS, when the answer never comes and when it comes later", () => {
    for (const late of [false, true]) {
      const world = metWorld();
      const view = viewIn(world);
      const outcomes = wait(world, view);
      world.pass(LEASE_WAIT_MS - 1);
      expect(outcomes).toEqual([]);
      world.pass(1);
      expect(outcomes).toHaveLength(1);
      expect(outcomes[0].at).toBe(LEASE_WAIT_MS);
      if (late) world.answer([leaseOf(9)]);
      world.pass(10_000);
      expect(outcomes).toHaveLength(1);
      expect(world.link.tally.unanswered).toBe(1);
    }
  });

  it("is not the only one to profit from a late answer: the next one takes of it at once", () => {
    const world = metWorld();
    const view = viewIn(world);
    wait(world, view);
    world.pass(LEASE_WAIT_MS + 5);
    world.answer([leaseOf(9)]);
    expect(world.link.take(view, 1)).toBe("taken");
  });

  it("is refused after the wait where that is configured, whatever the view says", () => {
    const world = metWorld();
    const outcomes = wait(world, viewIn(world), 1, "deny");
    world.pass(LEASE_WAIT_MS);
    expect(outcomes).toEqual([{ taken: false, at: LEASE_WAIT_MS }]);
  });

  it("shares one ask with the others, and they are served in the order of waiting", () => {
    const world = metWorld();
    const view = viewIn(world);
    const waits = [1, 1, 1, 1].map((cost) => wait(world, view, cost));
    expect(world.asks).toHaveLength(1);
    world.answer([leaseOf(2)]);
    expect(waits.map((outcomes) => outcomes.map(({ taken }) => taken))).toEqual([[true], [true], [], []]);
    expect(world.asks).toHaveLength(2);
    world.answer([leaseOf(0, { retryMs: 500 })]);
    expect(waits.map((outcomes) => outcomes.map(({ taken }) => taken))).toEqual([
      [true],
      [true],
      [false],
      [false],
    ]);
    expect(world.timers).toBe(0);
  });

  it("asks anew when an ask was lost", () => {
    const world = metWorld();
    const view = viewIn(world);
    wait(world, view);
    world.pass(ASK_LOST_MS - 1);
    wait(world, view);
    expect(world.asks).toHaveLength(1);
    world.pass(1);
    wait(world, view);
    expect(world.asks).toHaveLength(2);
  });

  it("ends by the failure of its ask or by its time, once", () => {
    const world = metWorld();
    const outcomes = wait(world, viewIn(world), 1, "deny");
    world.sent.at(-1)?.done(null);
    world.pass(10_000);
    expect(outcomes.map(({ taken }) => taken)).toEqual([false]);
    expect(outcomes[0].at).toBeLessThanOrEqual(LEASE_WAIT_MS);
  });
});

describe("an isolate whose hub is gone", () => {
  it("decides at once: by its view, or not at all where that is configured", () => {
    const world = loneWorld();
    const view = viewIn(world);
    const before = world.asks.length;
    const allowed = Array.from({ length: 120 }, () => wait(world, view));
    expect(allowed.filter(([{ taken }]) => taken)).toHaveLength(100);
    expect(wait(world, viewIn(world, termsOf({ key: "j" })), 1, "deny")[0].taken).toBe(false);
    expect(world.asks).toHaveLength(before);
    expect(world.timers).toBe(0);
  });

  it("passes nothing of a capped limit without rights", () => {
    const world = loneWorld();
    expect(wait(world, viewIn(world, termsOf({ consistency: "capped", key: "c" })))[0].taken).toBe(false);
  });

  it("reports what it let pass once the hub is back (C 5: 27, 48)", () => {
    const world = loneWorld();
    for (let times = 0; times < 7; times++) wait(world, viewIn(world));
    world.pass(SYNC_MS);
    world.link.afterResponse();
    world.answer();
    world.pass(SYNC_MS);
    world.link.afterResponse();
    world.answer();
    const units = world.syncs.flatMap(({ request }) => request.report?.uses ?? []).map((use) => use.units);
    expect(units.reduce((sum, some) => sum + some, 0)).toBe(7);
    const outcomes = wait(world, viewIn(world));
    expect(outcomes).toEqual([]);
    world.answer([leaseOf(1)]);
    expect(outcomes).toMatchObject([{ taken: true }]);
  });
});
