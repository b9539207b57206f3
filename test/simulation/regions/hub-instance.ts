// One life of a hub object: the hub in memory, what it still has to answer, and its calls to others. Plays
// the shell around `src/hub`: nothing leaves that depends on what is not stored, at most one exchange with a
// peer at a time, rounds by alarm or, when that is overdue, by whoever calls.

import { decodeStates } from "../../../src/crdt/decode.ts";
import { encodeStates } from "../../../src/crdt/encode.ts";
import { regionOf } from "../../../src/crdt/slot-id.ts";
import { stateSince } from "../../../src/crdt/replicated.ts";
import type { GossipMessage } from "../../../src/hub/gossip.ts";
import { composeHello, composeMessage, receiveMessage } from "../../../src/hub/gossip.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { mergeIncoming } from "../../../src/hub/incoming.ts";
import { isInUse } from "../../../src/hub/membership.ts";
import { noteTrip } from "../../../src/hub/peers.ts";
import type { SyncReply, SyncRequest } from "../../../src/hub/protocol.ts";
import type { Refill } from "../../../src/hub/quota-book.ts";
import { acceptMint, endRefill, giveRights, takeRefills } from "../../../src/hub/quota-book.ts";
import { beginRound, nextRoundMs, noteFailure } from "../../../src/hub/rounds.ts";
import { hasUnstored, takeCommit } from "../../../src/hub/storage.ts";
import {
  HOLD_MS,
  leaseAfterWord,
  leaseAgain,
  serveSync,
  waitsForRights,
  waitsForWord,
} from "../../../src/hub/sync.ts";
import type { HubNode } from "./hub-node.ts";
import type { MintAnswer } from "./ledger-model.ts";

/** A peer hears at most so often from a hub that has something urgent to say. */
const EXCHANGE_GAP_MS = 50;
const CALL_TIMEOUT_MS = 5_000;
/** An exchange that is lost must not keep the next round from being used. */
const EXCHANGE_TIMEOUT_MS = 900;

export interface GiveAsk {
  readonly name: string;
  readonly slot: string;
  readonly want: number;
}

/** An encoded state, for the one who was given something. */
export interface GiveAnswer {
  readonly gave: number;
  readonly bytes: Uint8Array | null;
}

export class HubInstance {
  readonly hub: Hub;
  readonly id: number;
  isDead = false;
  /** Fault: the next commit ends this life, before or after it is written. */
  diesAt: "before commit" | "after commit" | null = null;
  readonly #node: HubNode;
  readonly #exchanges = new Map<
    string,
    { isUnderWay: boolean; at: number; again: boolean; awaited: boolean }
  >();
  #waiting: (() => void)[] = [];
  /** Answers that rights are on their way for. */
  #held: (() => void)[] = [];
  /** Answers that wait for the word of peers; each goes on at once when it has waited long enough. */
  #unheard = new Set<(isOver: boolean) => void>();
  #roundAt: number;

  constructor(node: HubNode, id: number, hub: Hub) {
    this.#node = node;
    this.id = id;
    this.hub = hub;
    this.#roundAt = node.now();
  }

  now(): number {
    return this.#node.now();
  }

  sync(request: SyncRequest, answer: (reply: SyncReply | null) => void): void {
    const { hub } = this;
    const { flaws } = this.#node.world;
    const serve = (asked: SyncRequest): SyncReply => serveSync(hub, asked, this.#node.now());
    const reply = flaws.sync === undefined ? serve(request) : flaws.sync(hub, request, serve);
    this.#node.world.witness.served(this.hub);
    this.#afterWork();
    if (flaws.answersEarly === true) answer(reply);
    else if (waitsForRights(hub, request, reply, this.#node.now())) {
      this.#held.push(() => {
        const again = leaseAgain(hub, request, reply, this.#node.now());
        this.#afterCommit(true, () => answer(again));
      });
    } else if (waitsForWord(hub, request, reply, this.#node.now())) this.#holdForWord(request, reply, answer);
    else this.#afterCommit(request.urgent, () => answer(reply));
  }

  #holdForWord(request: SyncRequest, first: SyncReply, answer: (reply: SyncReply | null) => void): void {
    let reply = first;
    const goOn = (isOver: boolean): void => {
      reply = leaseAfterWord(this.hub, request, reply, isOver, this.#node.now());
      if (!isOver && waitsForWord(this.hub, request, reply, this.#node.now())) return;
      if (this.#unheard.delete(goOn)) this.#afterCommit(true, () => answer(reply));
    };
    this.#unheard.add(goOn);
    this.#node.world.queue.after(HOLD_MS, () => {
      if (!this.isDead && this.#unheard.has(goOn)) goOn(true);
    });
  }

  exchange(message: GossipMessage, answer: (reply: GossipMessage | null) => void): void {
    const now = this.#node.now();
    this.#receive(message);
    const peer = this.hub.peers.get(message.from);
    const reply = peer === undefined ? composeHello(this.hub) : composeMessage(this.hub, peer, now);
    this.#afterCommit(true, () => answer(reply));
    this.#afterWork();
  }

  give(ask: GiveAsk, answer: (reply: GiveAnswer | null) => void): void {
    const gave = giveRights(this.hub, ask.name, ask.slot, ask.want, this.#node.now());
    const state = this.hub.states.get(ask.name);
    const delta =
      state === undefined
        ? null
        : stateSince(state, 0, (writer) => regionOf(writer) === this.hub.region || writer === "mint");
    const encoded = delta === null ? null : encodeStates([{ name: ask.name, state: delta }]);
    const bytes = encoded?.kind === "encoded" ? encoded.bytes : null;
    this.#afterCommit(true, () => answer({ gave, bytes }));
    this.#afterWork();
  }

  /** Reads what only a stored number may show. */
  read<Value>(look: (hub: Hub, now: number) => Value): Value | null {
    return this.commit(true) ? look(this.hub, this.#node.now()) : null;
  }

  alarm(): void {
    this.#round();
    this.#afterWork();
  }

  /** Stores what has changed; false when that ended this life. */
  commit(foreign: boolean): boolean {
    if (this.isDead) return false;
    const commit = takeCommit(this.hub, foreign);
    if (commit === null) return true;
    if (this.diesAt === "before commit" || !this.#node.store.write(this.id, commit)) {
      this.#node.end(this);
      return false;
    }
    if (this.diesAt === "after commit") {
      this.#node.end(this);
      return false;
    }
    return true;
  }

  #afterCommit(urgent: boolean, leave: () => void): void {
    const { queue, chance } = this.#node.world;
    if (this.isDead) return;
    if (!hasUnstored(this.hub)) leave();
    else if (urgent) {
      if (this.commit(false)) leave();
    } else {
      this.#waiting.push(leave);
      if (this.#waiting.length > 1) return;
      queue.after(chance.within([0, 20]), () => {
        const leaving = this.#waiting;
        this.#waiting = [];
        if (this.commit(false)) for (const answer of leaving) answer();
      });
    }
  }

  #afterWork(): void {
    if (this.isDead) return;
    const { roundMs } = this.#node.world;
    const now = this.#node.now();
    // The first round is at once: a region that is new must not count alone for longer than it takes.
    const isNew = !this.hub.hasGreeted && isInUse(this.hub);
    if (isNew || Math.abs(now - this.#roundAt) > 3 * roundMs) this.#round();
    else this.#node.setAlarm(this, nextRoundMs(this.hub, roundMs, now), false);
    for (const refill of takeRefills(this.hub, now)) this.#refill(refill);
    if (this.hub.urgent || this.hub.awaited) {
      const gapMs = this.hub.awaited ? 0 : EXCHANGE_GAP_MS;
      this.hub.urgent = false;
      this.hub.awaited = false;
      for (const region of this.hub.peers.keys()) this.#exchangeWith(region, gapMs);
    }
    this.#node.world.witness.looked(this.hub, this.#node.store);
  }

  #round(): void {
    const { universe, roundMs, flaws } = this.#node.world;
    const now = this.#node.now();
    this.#roundAt = now;
    const { exchange, greet } = beginRound(this.hub, universe, roundMs, now);
    flaws.round?.(this.hub, now);
    if (!this.commit(true)) return;
    for (const region of exchange) this.#exchangeWith(region);
    for (const region of greet) this.#send(region, composeHello(this.hub), () => {});
    this.#node.setAlarm(this, nextRoundMs(this.hub, roundMs, now), true);
  }

  #exchangeWith(region: string, gapMs = EXCHANGE_GAP_MS): void {
    const { queue } = this.#node.world;
    const known = this.#exchanges.get(region) ?? {
      isUnderWay: false,
      at: Number.NEGATIVE_INFINITY,
      again: false,
      awaited: false,
    };
    this.#exchanges.set(region, known);
    const waitMs = known.at + gapMs - queue.now;
    if (gapMs === 0) known.awaited = true;
    if (known.isUnderWay || waitMs > 0) {
      if (known.again) return;
      known.again = true;
      if (!known.isUnderWay) queue.after(waitMs, () => this.#exchangeAgain(region));
      return;
    }
    const peer = this.hub.peers.get(region);
    if (peer === undefined || !this.commit(false)) return;
    known.isUnderWay = true;
    known.again = false;
    known.awaited = false;
    known.at = queue.now;
    const now = this.#node.now();
    peer.askedAt = now;
    this.#send(region, composeMessage(this.hub, peer, now), (isHeard) => {
      if (isHeard) noteTrip(peer, queue.now - known.at);
      else noteFailure(peer);
      known.isUnderWay = false;
      if (known.again) {
        const pauseMs = known.awaited ? 0 : known.at + EXCHANGE_GAP_MS - queue.now;
        queue.after(Math.max(0, pauseMs), () => this.#exchangeAgain(region));
      }
    });
  }

  #exchangeAgain(region: string): void {
    const known = this.#exchanges.get(region);
    if (this.isDead || known === undefined || !known.again || known.isUnderWay) return;
    known.again = false;
    this.#exchangeWith(region, known.awaited ? 0 : EXCHANGE_GAP_MS);
  }

  #send(region: string, message: GossipMessage, done: (isHeard: boolean) => void): void {
    const { world } = this.#node;
    world.witness.gossiped(message);
    world.network.call<GossipMessage>({
      from: this.hub.region,
      to: region,
      delayMs: world.worldMs,
      timeoutMs: EXCHANGE_TIMEOUT_MS,
      serve: (answer) => world.hub(region).reach((instance) => instance.exchange(message, answer), answer),
      done: (reply) => {
        if (this.isDead) return;
        done(reply !== null && this.#receive(reply));
        for (const goOn of this.#unheard) goOn(false);
        this.#afterWork();
      },
    });
  }

  #endRefill(refill: Refill, gave: boolean): void {
    endRefill(this.hub, refill, gave, this.#node.now());
    for (const lease of this.#held.splice(0)) lease();
    // What the ledger has given is stored before it is asked again.
    if (this.commit(false)) this.#afterWork();
  }

  #receive(message: GossipMessage): boolean {
    const { world } = this.#node;
    const taken = world.flaws.received?.(this.hub, message) ?? message;
    return receiveMessage(this.hub, taken, this.#node.now()).kind === "merged";
  }

  #refill(refill: Refill): void {
    const { world } = this.#node;
    const { name, terms, want, slot, minted } = refill;
    const call = { from: this.hub.region, delayMs: world.worldMs, timeoutMs: CALL_TIMEOUT_MS };
    if (refill.from === "ledger") {
      world.network.call<MintAnswer>({
        ...call,
        to: "ledger",
        serve: (answer) => answer(world.ledger.mint({ name, slot, want, minted, cap: terms.units })),
        done: (reply) => {
          if (this.isDead) return;
          if (reply !== null) acceptMint(this.hub, refill, reply.total, reply.left, this.#node.now());
          this.#endRefill(refill, reply !== null);
        },
      });
      return;
    }
    const { region } = refill;
    world.network.call<GiveAnswer>({
      ...call,
      to: region,
      serve: (answer) =>
        world.hub(region).reach((instance) => instance.give({ name, slot, want }, answer), answer),
      done: (reply) => {
        if (this.isDead) return;
        const decoded = reply === null || reply.bytes === null ? null : decodeStates(reply.bytes);
        if (decoded?.kind === "decoded") mergeIncoming(this.hub, region, decoded.entries, this.#node.now());
        this.#endRefill(refill, reply !== null && reply.gave > 0);
      },
    });
  }
}
