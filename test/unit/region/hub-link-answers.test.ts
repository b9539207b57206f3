// What an isolate does when its runtime, its hub or its clock let it down.

import { describe, it } from "vitest";
import type { LimitTerms, SyncReply, SyncRequest } from "../../../src/hub/protocol.ts";
import { HubLink } from "../../../src/region/hub-link.ts";
import { createReplica } from "../../../src/region/replica.ts";
import { acceptAnswer } from "../../../src/region/limit-asks.ts";
import { createLimitView, giveBackUnits, takeUnits } from "../../../src/region/limit-view.ts";

const NOW = 1_900_000_000_000;
const CAPPED: LimitTerms = {
  limit: "plan",
  key: "acme",
  consistency: "capped",
  units: 10,
  windowMs: 10_000,
};
const SNAPSHOT = { region: "weur", isolates: 1, regions: 1, overrides: {} };

interface Rig {
  now: number;
  readonly sent: { readonly request: SyncRequest; readonly done: (reply: SyncReply | null) => void }[];
  readonly timers: (() => void)[];
  readonly link: HubLink;
}

function createRig(): Rig {
  let sessions = 0;
  const sent: Rig["sent"] = [];
  const timers: Rig["timers"] = [];
  const replica = createReplica("weur", "s0", "config", NOW);
  const link = new HubLink(replica, {
    now: () => rig.now,
    send: (request, done) => sent.push({ request, done }),
    startTimer: (_ms, fire) => {
      timers.push(fire);
      return () => {};
    },
    newSession: () => `s${++sessions}`,
  });
  const rig: Rig = { now: NOW, sent, timers, link };
  return rig;
}

function countOnce(rig: Rig): void {
  rig.link.count("calls", "acme", 1);
  rig.link.afterResponse();
}

describe("an isolate's link to its hub", () => {
  it("arms another flush when the runtime has dropped the first", ({ expect }) => {
    const rig = createRig();
    countOnce(rig);
    rig.sent[0].done({ kind: "synced", seq: 1, leases: [], snapshot: SNAPSHOT });
    rig.now += 100;
    countOnce(rig);
    countOnce(rig);
    expect(rig.timers).toHaveLength(1);
    // The clock was set back, so no sync is due either, and the timer never fires.
    rig.now += 2_500;
    rig.link.replica.sentAt = rig.now;
    countOnce(rig);
    expect(rig.timers).toHaveLength(2);
  });

  it("starts a session of its own after a refusal", ({ expect }) => {
    const rig = createRig();
    const seen = new Set<string>();
    for (let batch = 0; batch < 80; batch++) {
      countOnce(rig);
      const last = rig.sent[batch];
      seen.add(last.request.session);
      last.done({ kind: "refused", reason: "malformed" });
      rig.now += 1_000;
    }
    expect(seen.size).toBe(80);
    expect(rig.link.replica.ambiguous).toBe(80);
  });

  it("keeps a batch that a full hub refuses", ({ expect }) => {
    const rig = createRig();
    countOnce(rig);
    rig.sent[0].done({ kind: "refused", reason: "full" });
    rig.now += 1_000;
    rig.link.afterResponse();
    expect(rig.sent[1].request.report).toEqual(rig.sent[0].request.report);
    expect(rig.link.replica.ambiguous).toBe(0);
  });

  it("lets a request go by what is known when its ask fails, where that is allowed", ({ expect }) => {
    for (const onUnavailable of ["allow", "deny"] as const) {
      const rig = createRig();
      const view = rig.link.view({ ...CAPPED, consistency: "global" });
      if (view === null) throw new Error("no view");
      const outcomes: boolean[] = [];
      rig.link.wait(view, 1, onUnavailable, (taken) => outcomes.push(taken));
      rig.sent[0].done(null);
      expect(outcomes).toEqual([onUnavailable === "allow"]);
    }
  });
});

describe("rights of a capped limit", () => {
  const period = NOW / CAPPED.windowMs;
  const answer = { limit: "plan", key: "acme", forMs: 0, used: 0, retryMs: 0, resetMs: 0 };

  it("are not given back to another period than they were taken from", ({ expect }) => {
    const view = createLimitView(CAPPED, NOW);
    acceptAnswer(view, { ...answer, units: 1, period }, NOW, NOW);
    expect(takeUnits(view, 1, 1, NOW)).toBe("taken");
    const later = NOW + CAPPED.windowMs;
    acceptAnswer(view, { ...answer, units: 1, period: period + 1 }, later, later);
    giveBackUnits(view, 1, later, NOW);
    expect(takeUnits(view, 1, 1, later)).toBe("taken");
    expect(takeUnits(view, 1, 1, later)).toBe("ask");
  });

  it("outlive an answer for an older period that comes late", ({ expect }) => {
    const later = NOW + CAPPED.windowMs;
    const view = createLimitView(CAPPED, later);
    acceptAnswer(view, { ...answer, units: 2, period: period + 1 }, later, later);
    acceptAnswer(view, { ...answer, units: 5, period }, NOW, later + 1);
    expect(takeUnits(view, 2, 1, later + 1)).toBe("taken");
    expect(takeUnits(view, 1, 1, later + 1)).toBe("ask");
  });
});
