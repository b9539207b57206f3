// The object around a hub, in simulated time: it does what durable-objects/region-hub.ts and
// src/region/hub-peers.ts do around the same core, and counts what Cloudflare would bill. Rows are those of
// the commits that the core gives; setting the alarm is one more.
import type { GossipMessage } from "../../src/hub/gossip.ts";
import { composeHello, composeMessage, receiveMessage } from "../../src/hub/gossip.ts";
import type { Hub } from "../../src/hub/hub.ts";
import { NOTHING_STORED, bootHub } from "../../src/hub/hub.ts";
import { isInUse, meetRegions } from "../../src/hub/membership.ts";
import { peerOf } from "../../src/hub/peers.ts";
import type { SyncReply, SyncRequest } from "../../src/hub/protocol.ts";
import { beginRound, nextRoundMs, noteFailure } from "../../src/hub/rounds.ts";
import { hasUnstored, takeCommit } from "../../src/hub/storage.ts";
import { serveSync } from "../../src/hub/sync.ts";
import { EAGER_MS, PEER_TIMEOUT_MS } from "../../src/region/hub-peers.ts";
import { LOCATION_HINTS } from "../../src/region/placement.ts";
import { nextRandom, type RandomSource } from "../../src/resilience/random.ts";
import { COMMIT_DELAY_MS, FOREIGN_COMMIT_MS, ROUND_JITTER_MS, ROUND_MS } from "./object-numbers.ts";
import type { Timeline } from "./timeline.ts";

/** One way between two regions. */
const REGIONS_APART_MS = 60;

/** What is billed. Calls are counted where they are made. */
export interface Bill {
  syncs: number;
  /** Calls that a request waits for. */
  asks: number;
  /** Rows of what isolates reported: states, sessions, identity. */
  rows: number;
  /** Rows of what came from other regions. */
  foreignRows: number;
  alarms: number;
  alarmRows: number;
  /** Calls to other hubs. */
  exchanges: number;
}

export const NO_BILL: Bill = {
  syncs: 0,
  asks: 0,
  rows: 0,
  foreignRows: 0,
  alarms: 0,
  alarmRows: 0,
  exchanges: 0,
};

export interface World {
  readonly time: Timeline;
  readonly random: RandomSource;
  readonly hubs: Map<string, HubModel>;
  /** Regions that cannot be reached. */
  readonly cut: Set<string>;
}

export class HubModel {
  readonly bill: Bill = { ...NO_BILL };
  readonly #world: World;
  readonly #hub: Hub;
  readonly #underWay = new Set<string>();
  #committing: (() => void)[] | null = null;
  #isAlarmSet = false;
  #foreignStoredAt: number;

  constructor(world: World, region: string) {
    this.#world = world;
    this.#hub = bootHub(region, 0, NOTHING_STORED, world.time.now);
    this.#foreignStoredAt = world.time.now;
  }

  /** An isolate's call; answered once what it acknowledges is stored. */
  sync(request: SyncRequest, done: (reply: SyncReply) => void): void {
    if (request.urgent) this.bill.asks++;
    else this.bill.syncs++;
    const reply = serveSync(this.#hub, request, this.#world.time.now);
    this.#follow();
    if (hasUnstored(this.#hub) && !request.urgent) this.#storeTogether(() => done(reply));
    else {
      this.#store(false);
      done(reply);
    }
    if (!this.#isAlarmSet) this.#arm();
  }

  /** A peer's message. */
  gossip(message: GossipMessage): GossipMessage | null {
    const hub = this.#hub;
    const { now } = this.#world.time;
    if (receiveMessage(hub, message, now).kind === "refused") return null;
    const reply = composeMessage(hub, peerOf(hub, message.from), now);
    if (isInUse(hub)) {
      this.#follow();
      this.#store(false);
      if (!this.#isAlarmSet) this.#arm();
    }
    return reply;
  }

  #alarm(): void {
    const { now } = this.#world.time;
    this.bill.alarms++;
    this.#isAlarmSet = false;
    const { exchange, greet } = beginRound(this.#hub, LOCATION_HINTS, ROUND_MS, now);
    for (const region of exchange) this.#exchange(region);
    for (const region of greet) this.#greet(region);
    this.#follow();
    this.#store(now - this.#foreignStoredAt >= FOREIGN_COMMIT_MS);
    this.#arm();
  }

  #arm(): void {
    const { time, random } = this.#world;
    const waitMs = nextRoundMs(this.#hub, ROUND_MS, time.now);
    if (waitMs === null) {
      this.#store(true);
      return;
    }
    this.bill.alarmRows++;
    this.#isAlarmSet = true;
    time.after(waitMs + nextRandom(random) * ROUND_JITTER_MS, () => this.#alarm());
  }

  #follow(): void {
    if (!this.#hub.urgent) return;
    this.#hub.urgent = false;
    for (const region of this.#hub.peers.keys()) this.#exchange(region);
  }

  #exchange(region: string): void {
    if (this.#underWay.has(region)) return;
    this.#underWay.add(region);
    const { time } = this.#world;
    const peer = peerOf(this.#hub, region);
    time.after(EAGER_MS - (time.now - peer.askedAt), () => {
      peer.askedAt = time.now;
      this.#store(false);
      this.#call(region, composeMessage(this.#hub, peer, time.now), (reply) => {
        this.#underWay.delete(region);
        const outcome = reply === null ? null : receiveMessage(this.#hub, reply, time.now);
        if (outcome?.kind !== "merged") noteFailure(peer);
        else if (peer.resume !== null || reply?.version === 0) this.#exchange(region);
      });
    });
  }

  #greet(region: string): void {
    this.#store(false);
    this.#call(region, composeHello(this.#hub), (reply) => {
      if (reply === null || !reply.inUse) return;
      if (receiveMessage(this.#hub, reply, this.#world.time.now).kind !== "merged") return;
      meetRegions(this.#hub);
      this.#exchange(region);
    });
  }

  /** A region that is not in use has no hub here; the call to its object is billed all the same. */
  #call(region: string, message: GossipMessage, done: (reply: GossipMessage | null) => void): void {
    const { time, hubs, cut } = this.#world;
    this.bill.exchanges++;
    if (cut.has(region) || cut.has(this.#hub.region)) {
      time.after(PEER_TIMEOUT_MS, () => done(null));
      return;
    }
    time.after(REGIONS_APART_MS, () => {
      const reply = hubs.get(region)?.gossip(message) ?? null;
      time.after(REGIONS_APART_MS, () => done(reply));
    });
  }

  #storeTogether(done: () => void): void {
    if (this.#committing !== null) {
      this.#committing.push(done);
      return;
    }
    const waiting = [done];
    this.#committing = waiting;
    this.#world.time.after(COMMIT_DELAY_MS, () => {
      this.#committing = null;
      this.#store(false);
      for (const answer of waiting) answer();
    });
  }

  #store(foreign: boolean): void {
    const hub = this.#hub;
    const fromOthers = [...hub.unstoredForeign].filter((name) => !hub.unstored.has(name)).length;
    const commit = takeCommit(hub, foreign);
    if (foreign) this.#foreignStoredAt = this.#world.time.now;
    if (commit === null) return;
    const { states, sessions, droppedSessions, meta } = commit;
    const foreignRows = foreign ? fromOthers : 0;
    this.bill.foreignRows += foreignRows;
    this.bill.rows += states.length - foreignRows + sessions.length + droppedSessions.length + Number(meta);
  }
}
