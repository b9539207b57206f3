// What isolates are told of circuits that they did not ask for.

import { DEFAULT_BREAKER } from "../../../src/resilience/breaker-state.ts";
import { describe, it } from "vitest";
import type { Hub } from "../../../src/hub/hub.ts";
import type { SyncRequest } from "../../../src/hub/protocol.ts";
import { serveSync } from "../../../src/hub/sync.ts";
import type { UpstreamVerdict } from "../../../src/hub/upstream-protocol.ts";
import { Rows, T0, usedHub } from "./hubs.ts";

const BREAKER = { ...DEFAULT_BREAKER, openForMs: 60_000, maxOpenForMs: 60_000 };
const NOTHING = { ok: 0, failRemote: 0, failLocal: 0, slow: 0, started: 0, probes: [] };

function termsOf(upstream: string) {
  return { upstream, breaker: BREAKER, probeMs: 1_000 };
}

/** What an isolate that has traffic for `upstream` alone hears. */
function sync(hub: Hub, upstream: string, now: number, more: Partial<SyncRequest> = {}): UpstreamVerdict[] {
  const gauges = { cursor: 512, limit: 64, inflight: 0, waiting: 0 };
  const upstreams = [{ terms: termsOf(upstream), gauges, wantsLease: false }];
  const request = { region: "weur", session: "other", report: null, asks: [], upstreams, urgent: false };
  const reply = serveSync(hub, { ...request, ...more }, now);
  return reply.kind === "synced" ? [...(reply.verdicts ?? [])] : [];
}

/** One isolate sees five failures in a row; with `retryAfterMs` later of calls that were under way. */
function fail(hub: Hub, seq: number, retryAfterMs: number, now: number): void {
  const isFirst = seq === 1;
  const calls = [
    {
      ...NOTHING,
      terms: termsOf("dead"),
      generation: isFirst ? 0 : 1,
      failRemote: 5,
      consecutive: isFirst,
      retryAfterMs,
    },
  ];
  const report = { session: "s", seq, config: "c", counts: [], uses: [], returns: [], calls };
  sync(hub, "dead", now, { session: "s", report });
}

describe("an isolate that asks for another upstream", () => {
  it("hears that a circuit is open, and for how long, without a lease", ({ expect }) => {
    const hub = usedHub("weur");
    expect(sync(hub, "well", T0)).toHaveLength(1);
    fail(hub, 1, 0, T0);
    const [well, dead, ...rest] = sync(hub, "well", T0 + 1_000);
    expect(rest).toEqual([]);
    expect(well).toMatchObject({ upstream: "well", phase: "closed" });
    expect(dead).toMatchObject({ upstream: "dead", phase: "open", generation: 2, lease: 0, isUnasked: true });
    expect(dead.openForMs).toBeGreaterThan(28_000);
    expect(dead.openForMs).toBeLessThanOrEqual(59_000);
  });

  it("hears nothing of it once its time is over", ({ expect }) => {
    const hub = usedHub("weur");
    fail(hub, 1, 0, T0);
    expect(sync(hub, "well", T0 + 60_001)).toHaveLength(1);
  });

  it("hears it of a hub that has just begun again, too, until somebody asks", ({ expect }) => {
    const rows = new Rows();
    const before = usedHub("weur");
    fail(before, 1, 0, T0);
    rows.store(before);
    const hub = rows.start("weur", T0 + 2_000);
    expect(sync(hub, "well", T0 + 2_000)[1]).toMatchObject({
      upstream: "dead",
      phase: "open",
      generation: 2,
    });
    expect(sync(hub, "dead", T0 + 3_000)).toMatchObject([{ upstream: "dead", phase: "open", generation: 2 }]);
    expect(sync(hub, "well", T0 + 4_000)).toHaveLength(2);
    expect(sync(rows.start("weur", T0 + 60_001), "well", T0 + 60_001)).toHaveLength(1);
  });
});

describe("an open time that Retry-After has made longer", () => {
  it("outlives the hub", ({ expect }) => {
    const rows = new Rows();
    const hub = usedHub("weur");
    fail(hub, 1, 0, T0);
    rows.store(hub);
    const [before] = sync(hub, "dead", T0);
    fail(hub, 2, 60_000, T0);
    rows.store(hub);
    const [longer] = sync(hub, "dead", T0);
    expect(before.openForMs).toBeLessThan(60_000);
    expect(longer.openForMs).toBe(60_000);
    expect(sync(rows.start("weur", T0), "dead", T0)[0].openForMs).toBe(60_000);
    expect(hub.transitions.filter(({ to }) => to === "open")).toHaveLength(1);
  });
});
