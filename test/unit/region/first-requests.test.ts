// The first requests of a limit: its hub starts slowly, and answers to asks and to syncs cross. One isolate,
// one hub, nothing lost: what passes is the limit, and all of it before anything is refused.

import { describe, expect, it } from "vitest";
import { NOTHING_STORED, bootHub } from "../../../src/hub/hub.ts";
import type { LimitTerms } from "../../../src/hub/protocol.ts";
import { serveSync } from "../../../src/hub/sync.ts";
import { HubLink } from "../../../src/region/hub-link.ts";
import { createReplica } from "../../../src/region/replica.ts";
import { T0 } from "../hub/hubs.ts";
import { fc } from "../resilience/property.ts";

/** Times in ms. */
interface World {
  readonly consistency: "regional" | "global";
  readonly units: number;
  readonly cost: number;
  /** The hub answers nothing before. */
  readonly startMs: number;
  /** A sync's answer waits for storage. */
  readonly storeMs: number;
  readonly upstreamMs: number;
  readonly pauseMs: number;
}

interface Event {
  readonly at: number;
  readonly order: number;
  readonly fire: () => void;
}

/** Events in the order of their times. */
class Timeline {
  now = T0 + 137;
  #events: Event[] = [];
  #order = 0;

  after(ms: number, fire: () => void): () => void {
    const event = { at: this.now + ms, order: this.#order++, fire };
    this.#events.push(event);
    return () => (this.#events = this.#events.filter((other) => other !== event));
  }

  run(untilMs: number): void {
    for (;;) {
      const [next] = this.#events.toSorted((one, other) => one.at - other.at || one.order - other.order);
      if (next === undefined || next.at > T0 + untilMs) return;
      this.#events = this.#events.filter((other) => other !== next);
      this.now = next.at;
      next.fire();
    }
  }
}

/** One character for each request, one after the other: `+` it passed, `-` it was refused. */
function play(world: World, requests: number): string {
  const time = new Timeline();
  const hub = bootHub("weur", 0, NOTHING_STORED, time.now);
  hub.hasGreeted = true;
  const startsAt = time.now + world.startMs;
  const link = new HubLink(createReplica("weur", "s", "c", time.now), {
    now: () => time.now,
    send(request, done) {
      const sent = structuredClone(request);
      time.after(Math.max(1, startsAt - time.now), () => {
        const reply = serveSync(hub, sent, time.now);
        time.after(sent.urgent ? 1 : 1 + world.storeMs, () => done(reply));
      });
    },
    startTimer: (ms, fire) => time.after(ms, fire),
    newSession: () => "n",
  });
  const { consistency, units, cost } = world;
  const terms: LimitTerms = { limit: "l", key: "k", consistency, units, windowMs: 60_000 };
  let seen = "";
  const ask = (): void => {
    const view = link.view(terms);
    if (view === null || seen.length >= requests) return;
    const conclude = (passes: boolean): void => {
      seen += passes ? "+" : "-";
      const takesMs = passes ? world.upstreamMs : 0;
      time.after(takesMs, () => link.afterResponse());
      time.after(takesMs + world.pauseMs, ask);
    };
    const outcome = link.take(view, cost);
    if (outcome === "ask") return link.wait(view, cost, "allow", conclude);
    link.prefetch(view);
    conclude(outcome === "taken");
  };
  time.after(0, ask);
  time.run(55_000);
  return seen;
}

const MS = [0, 1, 3, 10, 20, 22, 30, 45, 80, 200];
const worlds = fc.record({
  consistency: fc.constantFrom("regional", "global"),
  units: fc.integer({ min: 1, max: 40 }),
  cost: fc.integer({ min: 1, max: 3 }),
  startMs: fc.constantFrom(...MS),
  storeMs: fc.constantFrom(0, 20, 40),
  upstreamMs: fc.constantFrom(...MS),
  pauseMs: fc.constantFrom(0, 1, 3, 10, 30, 300, 1_100),
});

describe("the first requests of a limit", () => {
  it("pass as many as the limit admits, and then none", () => {
    fc.assert(
      fc.property(worlds, (world) => {
        const admitted = Math.floor(world.units / world.cost);
        expect(play(world, admitted + 4)).toBe("+".repeat(admitted) + "----");
      }),
      { numRuns: 1_000 },
    );
  });
});
