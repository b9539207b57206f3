// The hub object of one region over all its lives: whoever calls it starts it, one instance at a time owns
// its storage, and its alarm outlives it. An instance that was replaced may go on serving for a while (a
// twin).

import { bootHub } from "../../../src/hub/hub.ts";
import { readStoredHub, takeCommit } from "../../../src/hub/storage.ts";
import { HubInstance } from "./hub-instance.ts";
import type { NodeClock } from "./node-clock.ts";
import { ObjectStore } from "./object-store.ts";
import type { World } from "./world.ts";

/** A twin serves this part of the calls while it lives. */
const TWIN_PART = 0.5;

export class HubNode {
  readonly region: string;
  readonly world: World;
  readonly store = new ObjectStore();
  readonly clock: NodeClock;
  current: HubInstance | null = null;
  twin: HubInstance | null = null;
  /** Cannot be started before this, true time. */
  downUntil = Number.NEGATIVE_INFINITY;
  /** Faults of alarms: parts of them that come late, or never. */
  alarmFaults = { late: 0, lateMs: 0, missing: 0 };
  #boots = 0;

  constructor(world: World, region: string, clock: NodeClock) {
    this.world = world;
    this.region = region;
    this.clock = clock;
  }

  now(): number {
    return this.clock.now();
  }

  /** Hands a call to an instance, or fails it. */
  reach(serve: (instance: HubInstance) => void, fail: (nothing: null) => void): void {
    const { twin } = this;
    if (twin !== null && !twin.isDead && this.world.chance.happens(TWIN_PART)) {
      serve(twin);
      return;
    }
    if (this.world.queue.now < this.downUntil) {
      fail(null);
      return;
    }
    serve(this.start());
  }

  /** The instance that runs, started if there is none. */
  start(): HubInstance {
    if (this.current !== null) return this.current;
    const { flaws, witness } = this.world;
    const id = ++this.#boots;
    this.store.owner = id;
    const stored = readStoredHub(this.store.read());
    const booted = bootHub(this.region, 0, flaws.stored?.(stored) ?? stored, this.now());
    const hub = flaws.booted?.(booted) ?? booted;
    // The number of this boot is stored before anybody sees it.
    const commit = takeCommit(hub, false);
    if (commit !== null) this.store.write(id, commit);
    this.current = new HubInstance(this, id, hub);
    witness.booted(hub);
    return this.current;
  }

  /** Ends the running life: what was in memory alone is gone. */
  kill(downMs: number): void {
    if (this.current !== null) this.end(this.current);
    this.downUntil = this.world.queue.now + downMs;
  }

  end(instance: HubInstance): void {
    instance.isDead = true;
    if (this.current === instance) this.current = null;
    if (this.twin === instance) this.twin = null;
  }

  /** Lets another instance take over while the old one goes on serving for `forMs`. */
  startTwin(forMs: number): void {
    const old = this.current;
    if (old === null || this.world.queue.now < this.downUntil) return;
    if (this.twin !== null) this.end(this.twin);
    this.current = null;
    this.twin = old;
    this.start();
    this.world.queue.after(forMs, () => this.end(old));
  }

  /** Plans the next round, `ms` from now; `again`: in place of what is planned. */
  setAlarm(instance: HubInstance, ms: number | null, again: boolean): void {
    const { queue, chance } = this.world;
    if (instance !== this.current || ms === null) return;
    const { store } = this;
    if (!again && store.alarmAt !== null) return;
    const { late, lateMs, missing } = this.alarmFaults;
    const waitMs = ms * chance.within([0.9, 1.1]) + (chance.happens(late) ? chance.within([0, lateMs]) : 0);
    const at = queue.now + waitMs;
    store.alarmAt = at;
    if (chance.happens(missing)) return;
    queue.after(waitMs, () => this.#fire(at));
  }

  #fire(at: number): void {
    const { queue } = this.world;
    if (this.store.alarmAt !== at) return;
    if (queue.now < this.downUntil) {
      // Alarms are tried again.
      const later = this.downUntil + 1;
      this.store.alarmAt = later;
      queue.after(later - queue.now, () => this.#fire(later));
      return;
    }
    this.store.alarmAt = null;
    this.start().alarm();
  }
}
