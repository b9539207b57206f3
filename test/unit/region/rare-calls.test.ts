// An upstream that is called so rarely that a lease which comes behind a refusal is over before the next
// call: it must heal all the same. The production link, source, breaker and hub, with a clock of their own.

import { DEFAULT_BREAKER } from "../../../src/resilience/breaker-state.ts";
import { describe, expect, it } from "vitest";
import { createUpstreamSource } from "../../../src/edge/upstream-source.ts";
import { NOTHING_STORED, bootHub } from "../../../src/hub/hub.ts";
import { serveSync } from "../../../src/hub/sync.ts";
import { PROBE_WAIT_MS } from "../../../src/region/hub-link.ts";
import { SYNC_MS } from "../../../src/region/replica.ts";
import { NOT_ADMITTED } from "../../../src/resilience/breaker.ts";
import { Outcome } from "../../../src/resilience/outcome.ts";
import { createRandom } from "../../../src/resilience/random.ts";
import { wantsProbe } from "../../../src/resilience/regional-breaker.ts";
import {
  admitTry,
  createUpstreamControl,
  finishTry,
  noteArrival,
  takeUpstreamPermit,
} from "../../../src/resilience/upstream-control.ts";
import { T0 } from "../hub/hubs.ts";
import { LinkWorld } from "./link-ports.ts";

const CONCURRENCY = { max: 1000, waiting: 64, maxWaitMs: 100, adaptive: true };

/** One isolate and its hub. Requests come `apartMs` from each other. */
class RareCalls {
  readonly world = new LinkWorld();
  readonly #hub = bootHub("weur", 0, NOTHING_STORED, T0);
  readonly #random = createRandom(1);
  readonly control = createUpstreamControl({
    timeoutMs: 10_000,
    breaker: DEFAULT_BREAKER,
    concurrency: CONCURRENCY,
    retryBudget: null,
    targetWeights: [1],
  });

  constructor() {
    const plan = {
      name: "shop",
      timeoutMs: 10_000,
      breaker: DEFAULT_BREAKER,
      concurrency: CONCURRENCY,
      retry: null,
    };
    this.world.link.upstreams = createUpstreamSource([{ plan, control: this.control }], false);
  }

  /** The hub takes in and answers what was sent. */
  #answer(): void {
    for (const { request, done } of this.world.sent.splice(0)) {
      done(serveSync(this.#hub, request, this.world.now));
    }
  }

  /** Fails until the region has opened. */
  goDown(): void {
    for (let down = 0; down < 6; down++) {
      this.request(false);
      this.world.pass(150);
    }
    const phase = this.#hub.upstreams.get("shop")?.region.breaker.state.phase;
    if (phase !== "open") throw new Error("the region has not opened");
  }

  /** What a request comes to, as the pipeline makes one. */
  request(isUp: boolean): "refused" | "good" | "failed" {
    const { control, world } = this;
    noteArrival(control, 0, world.now);
    let token = admitTry(control, world.now);
    if (
      token === NOT_ADMITTED &&
      control.breaker !== null &&
      wantsProbe(control.breaker, SYNC_MS, world.now)
    ) {
      world.link.hear(() => (token = admitTry(control, world.now)));
      world.pass(10);
      this.#answer();
    }
    if (token !== NOT_ADMITTED) this.#call(token, isUp);
    world.link.afterResponse();
    world.pass(10);
    this.#answer();
    if (token === NOT_ADMITTED) return "refused";
    return isUp ? "good" : "failed";
  }

  #call(token: number, isUp: boolean): void {
    const { control, world } = this;
    const startedAt = world.now;
    const permit = takeUpstreamPermit(control, 1, startedAt);
    world.pass(5);
    const outcome = isUp ? Outcome.ok : Outcome.failRemote;
    const result = { target: 0, outcome, fate: isUp ? 0 : null, latencyMs: 5, startedAt } as const;
    finishTry(control, token, permit, { ...result, inflight: 1, retryAfterAt: 0 }, world.now, this.#random);
  }
}

describe("an upstream that is called rarely", () => {
  it.for([5_000, 60_000])("heals with the first requests after it, %i ms apart", (apartMs) => {
    const calls = new RareCalls();
    calls.goDown();
    const seen = Array.from({ length: 8 }, () => {
      calls.world.pass(apartMs);
      return calls.request(true);
    });
    expect(seen).toEqual(Array.from({ length: 8 }, () => "good"));
    expect(calls.control.breaker?.state.phase).not.toBe("open");
  });

  it("is asked by one probe at a time while it is down", () => {
    const calls = new RareCalls();
    calls.goDown();
    calls.world.pass(60_000);
    expect(calls.request(false)).toBe("failed");
    expect([calls.request(false), calls.request(false)]).toEqual(["refused", "refused"]);
  });

  it("does not hold a request for longer than a moment when the hub is silent", () => {
    const { world, control } = new RareCalls();
    let heard = 0;
    world.pass(SYNC_MS);
    noteArrival(control, 0, world.now);
    expect(world.link.hear(() => heard++)).toBe(true);
    expect(world.link.hear(() => heard++)).toBe(false);
    world.pass(PROBE_WAIT_MS - 1);
    expect(heard).toBe(0);
    world.pass(1);
    expect(heard).toBe(1);
    world.sent.at(-1)?.done(null);
    expect(heard).toBe(1);
    expect(world.timers).toBe(0);
  });
});
