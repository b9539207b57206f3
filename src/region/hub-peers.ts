// A hub's calls to other hubs and to ledgers: exchanges, greetings, refills. At most one exchange with a peer
// at a time and no sooner than EAGER_MS after the last; each has a deadline. A call that fails changes
// nothing here: what it would have brought comes with a later one.

import { decodeStates } from "../crdt/decode.ts";
import { encodeStates } from "../crdt/encode.ts";
import { stateSince, writtenIn } from "../crdt/replicated.ts";
import type { Faults } from "../hub/faults.ts";
import { NO_FAULTS, passageOf } from "../hub/faults.ts";
import type { GossipMessage } from "../hub/gossip.ts";
import { composeHello, composeMessage, isMessage, receiveMessage } from "../hub/gossip.ts";
import type { Hub } from "../hub/hub.ts";
import { mergeIncoming } from "../hub/incoming.ts";
import { meetRegions } from "../hub/membership.ts";
import { noteTrip, peerOf } from "../hub/peers.ts";
import type { Refill } from "../hub/quota-book.ts";
import { acceptMint, endRefill, giveRights, takeRefills } from "../hub/quota-book.ts";
import { noteFailure } from "../hub/rounds.ts";
import { createRandom } from "../resilience/random.ts";
import type { Namespace } from "./object-calls.ts";
import { answerWithin } from "./object-calls.ts";
import { hubName, isLocationHint } from "./placement.ts";

/** Deadline of a call to another hub: a message that is lost must not cost more than its round. */
export const PEER_TIMEOUT_MS = 900;
/** Deadline of a call to a ledger. */
const MINT_TIMEOUT_MS = 2_000;
/** Exchanges that do not wait for their round are at least this far apart. */
export const EAGER_MS = 50;

/** The methods of a hub that other hubs call. */
interface PeerStub {
  gossip(message: GossipMessage): Promise<GossipMessage | null>;
  give(name: string, to: string, want: number): Promise<Uint8Array | null>;
}

/** The method of a ledger that hubs call. */
interface MintStub {
  mint(request: {
    period: number;
    slot: string;
    want: number;
    cap: number;
    seq: number;
  }): Promise<{ readonly kind: string; readonly total?: number; readonly left?: number }>;
}

export interface HubBindings {
  readonly HUB: Namespace<PeerStub>;
  readonly LEDGER: Namespace<MintStub>;
  readonly TIDEGATE_LOCAL?: string;
  /** Every region there can be, in local development. */
  readonly TIDEGATE_REGIONS?: string;
}

export interface PeerPorts {
  /** Stores what must be stored before it is told. */
  store(): void;
  /** Keeps the object alive for work that nobody waits for. */
  keep(work: Promise<unknown>): void;
}

/** Faults between all hubs of this machine: locally, they live in one isolate. */
export const localFaults: { current: Faults } = { current: NO_FAULTS };
const faultDraws = createRandom(1);

export class HubPeers {
  readonly #hub: Hub;
  readonly #bindings: HubBindings;
  readonly #ports: PeerPorts;
  readonly #underWay = new Map<string, Promise<void>>();
  /** Regions with which an exchange must follow the one that is under way: that one was told too little. */
  readonly #again = new Set<string>();
  /** Regions whose answer a request waits for, and how a pause before an exchange is cut short. */
  readonly #awaited = new Set<string>();
  readonly #pauses = new Map<string, () => void>();
  readonly #greetings = new Set<Promise<void>>();
  readonly #refills = new Set<Promise<void>>();

  constructor(hub: Hub, bindings: HubBindings, ports: PeerPorts) {
    this.#hub = hub;
    this.#bindings = bindings;
    this.#ports = ports;
  }

  /** Starts what has become due by what was just done. */
  follow(): void {
    const hub = this.#hub;
    for (const refill of takeRefills(hub, Date.now())) this.#keepAmong(this.#refills, this.#refill(refill));
    if (!hub.urgent && !hub.awaited) return;
    const { awaited } = hub;
    hub.urgent = false;
    hub.awaited = false;
    for (const region of hub.peers.keys()) {
      if (awaited) {
        this.#awaited.add(region);
        this.#pauses.get(region)?.();
      }
      if (this.#underWay.has(region)) this.#again.add(region);
      else this.exchange(region);
    }
  }

  /** Exchanges with a peer, behind whatever goes on. */
  exchange(region: string): void {
    if (this.#underWay.has(region)) return;
    const exchange = this.#exchange(region).finally(() => {
      this.#underWay.delete(region);
      if (this.#again.delete(region)) this.exchange(region);
    });
    this.#underWay.set(region, exchange);
    this.#ports.keep(exchange);
  }

  /** Asks a region whether it is in use. */
  greet(region: string): void {
    this.#keepAmong(this.#greetings, this.#greet(region));
  }

  /** Waits for the refills that are under way, at most `ms`. */
  async refilled(ms: number): Promise<void> {
    await Promise.race([Promise.all(this.#refills), pause(ms)]);
  }

  /** Waits for the exchanges that are under way, and those that follow from greetings, at most `ms`. */
  async heard(ms: number): Promise<void> {
    const greeted = Promise.all(this.#greetings);
    const all = Promise.all([greeted, ...this.#underWay.values()]);
    await Promise.race([all, pause(ms)]);
  }

  /** Waits for greetings and the exchanges that they lead to, at most `ms`. */
  async settled(ms: number): Promise<void> {
    const all = Promise.all(this.#greetings).then(() => Promise.all(this.#underWay.values()));
    await Promise.race([all, pause(ms)]);
  }

  #keepAmong(works: Set<Promise<void>>, work: Promise<void>): void {
    const kept = work.finally(() => works.delete(kept));
    works.add(kept);
    this.#ports.keep(kept);
  }

  /** Our answer to a peer's message; null when it cannot be taken. */
  answer(message: unknown, now: number): GossipMessage | null {
    if (!isMessage(message)) return null;
    const outcome = receiveMessage(this.#hub, message, now);
    if (outcome.kind === "refused") return null;
    return composeMessage(this.#hub, peerOf(this.#hub, message.from), now);
  }

  /** Gives rights away: what proves it, once it is stored. */
  give(name: unknown, to: unknown, want: unknown, now: number): Uint8Array | null {
    if (typeof name !== "string" || typeof to !== "string" || typeof want !== "number") return null;
    if (giveRights(this.#hub, name, to, want, now) === 0) return null;
    const state = this.#hub.states.get(name);
    if (state === undefined) return null;
    this.#ports.store();
    const encoded = encodeStates([{ name, state: stateSince(state, 0, writtenIn(this.#hub.region)) }]);
    return encoded.kind === "encoded" ? encoded.bytes : null;
  }

  async #exchange(region: string): Promise<void> {
    const hub = this.#hub;
    const peer = peerOf(hub, region);
    const sinceLastMs = Date.now() - peer.askedAt;
    if (sinceLastMs < EAGER_MS && !this.#awaited.has(region)) {
      await this.#pause(region, EAGER_MS - sinceLastMs);
    }
    this.#awaited.delete(region);
    const startedAt = Date.now();
    peer.askedAt = startedAt;
    // What is told must not be forgotten by a crash: a peer would then prove that it was.
    this.#ports.store();
    this.#again.delete(region);
    const reply = await this.#call(region, composeMessage(hub, peer, Date.now()));
    const outcome = reply === null ? null : receiveMessage(hub, reply, Date.now());
    if (outcome?.kind !== "merged") {
      noteFailure(peer);
      this.#again.delete(region);
      return;
    }
    noteTrip(peer, Date.now() - startedAt);
    if (outcome.amnesia) this.#ports.store();
    // The next part of a delta that is too large for one message, in either direction.
    if (peer.resume !== null || (reply !== null && reply.version === 0)) this.#again.add(region);
  }

  #pause(region: string, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#pauses.delete(region);
        resolve();
      };
      const timer = setTimeout(end, ms);
      this.#pauses.set(region, end);
    });
  }

  async #greet(region: string): Promise<void> {
    const hub = this.#hub;
    this.#ports.store();
    const reply = await this.#call(region, composeHello(hub));
    if (reply === null || !reply.inUse || receiveMessage(hub, reply, Date.now()).kind !== "merged") return;
    meetRegions(hub, Date.now());
    this.exchange(region);
  }

  async #refill(refill: Refill): Promise<void> {
    let gave = false;
    // A ledger that has been told a total must find it known here after a crash.
    this.#ports.store();
    try {
      gave = refill.from === "ledger" ? await this.#mint(refill) : await this.#transfer(refill);
    } finally {
      endRefill(this.#hub, refill, gave, Date.now());
    }
  }

  async #mint(refill: Refill): Promise<boolean> {
    const { LEDGER } = this.#bindings;
    const { terms, period, slot, want, minted } = refill;
    const ledger = LEDGER.get(LEDGER.idFromName(ledgerName(terms.limit, terms.key)));
    const request = { period, slot, want, cap: terms.units, seq: minted + 1 };
    const reply = await answerWithin(MINT_TIMEOUT_MS, ledger.mint(request));
    if (reply?.kind !== "minted" || reply.total === undefined || reply.left === undefined) return false;
    acceptMint(this.#hub, refill, reply.total, reply.left, Date.now());
    return reply.total > minted;
  }

  async #transfer(refill: Refill): Promise<boolean> {
    if (refill.from !== "peer") return false;
    const { name, slot, want, region } = refill;
    const passage = passageOf(localFaults.current, this.#hub.region, region, faultDraws);
    if (!passage.arrives) return false;
    const bytes = await answerWithin(PEER_TIMEOUT_MS, this.#stub(region).give(name, slot, want));
    const back = passageOf(localFaults.current, region, this.#hub.region, faultDraws);
    if (bytes === null || !back.arrives) return false;
    const decoded = decodeStates(bytes);
    if (decoded.kind === "refused") return false;
    return mergeIncoming(this.#hub, region, decoded.entries, Date.now()).raised > 0;
  }

  /** One message there and one back, through whatever faults are set; null when there is no answer. */
  async #call(region: string, message: GossipMessage): Promise<GossipMessage | null> {
    const faults = localFaults.current;
    const there = passageOf(faults, this.#hub.region, region, faultDraws);
    const back = passageOf(faults, region, this.#hub.region, faultDraws);
    if (there.delayMs > 0) await pause(there.delayMs);
    if (!there.arrives) return null;
    if (there.twice) await answerWithin(PEER_TIMEOUT_MS, this.#stub(region).gossip(message));
    const reply = await answerWithin(PEER_TIMEOUT_MS, this.#stub(region).gossip(message));
    if (back.delayMs > 0) await pause(back.delayMs);
    // Old answers arrive after newer ones when they are delayed; they are merged all the same.
    return back.arrives ? reply : null;
  }

  /** A stub for each call: one that has failed stays broken. */
  #stub(region: string): PeerStub {
    const { HUB } = this.#bindings;
    const hint = isLocationHint(region) ? { locationHint: region } : {};
    return HUB.get(HUB.idFromName(hubName(region, this.#hub.shard)), hint);
  }
}

/** The name of the ledger of a limit and key. */
export function ledgerName(limit: string, key: string): string {
  return `${limit}:${key}`;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
