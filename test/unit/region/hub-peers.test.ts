// A hub's calls to other hubs and to ledgers, over bindings in memory: one at a time, each with a deadline,
// and what fails changes nothing.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { rightsOf } from "../../../src/crdt/bounded-counter.ts";
import type { GossipMessage } from "../../../src/hub/gossip.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { NO_FAULTS } from "../../../src/hub/faults.ts";
import { quotaName } from "../../../src/hub/names.ts";
import { writeOverride } from "../../../src/hub/overrides.ts";
import { peerOf } from "../../../src/hub/peers.ts";
import { leaseRights } from "../../../src/hub/quota-book.ts";
import { hasUnstored } from "../../../src/hub/storage.ts";
import { addUsage } from "../../../src/hub/usage.ts";
import type { HubBindings } from "../../../src/region/hub-peers.ts";
import {
  EAGER_MS,
  HubPeers,
  PEER_TIMEOUT_MS,
  ledgerName,
  localFaults,
} from "../../../src/region/hub-peers.ts";
import { Rows, T0, contentOf, metHubs, newHub, termsOf, usedHub, valueIn } from "../hub/hubs.ts";

type Mint = Awaited<ReturnType<ReturnType<HubBindings["LEDGER"]["get"]>["mint"]>>;

/** Hubs that call each other by name. */
class Network {
  readonly peers = new Map<string, HubPeers>();
  readonly rows = new Map<string, Rows>();
  readonly calls: string[] = [];
  readonly kept: Promise<unknown>[] = [];
  /** What stands in the way of a call; null: nothing. */
  obstacle: (() => Promise<never>) | null = null;
  mint: (request: { want: number; seq: number }) => Promise<Mint> = () =>
    Promise.reject(new Error("no ledger"));

  add(hub: Hub): HubPeers {
    const rows = new Rows();
    const peers = new HubPeers(hub, this.#bindings(hub.region), {
      store: () => rows.store(hub),
      keep: (work) => this.kept.push(work),
    });
    this.peers.set(`hub:${hub.region}:0`, peers);
    this.rows.set(hub.region, rows);
    return peers;
  }

  count(call: string): number {
    return this.calls.filter((made) => made === call).length;
  }

  #bindings(from: string): HubBindings {
    const call = async <Answer>(name: unknown, method: string, answer: (peers: HubPeers) => Answer) => {
      this.calls.push(`${from} ${method} ${String(name)}`);
      if (this.obstacle !== null) return this.obstacle();
      const peers = this.peers.get(String(name));
      if (peers === undefined) throw new Error(`no object ${String(name)}`);
      return structuredClone(answer(peers));
    };
    return {
      HUB: {
        idFromName: (name) => name,
        get: (name) => ({
          gossip: (message: GossipMessage) =>
            call(name, "gossip", (peers) => peers.answer(message, Date.now())),
          give: (state, to, want) => call(name, "give", (peers) => peers.give(state, to, want, Date.now())),
        }),
      },
      LEDGER: {
        idFromName: (name) => name,
        get: (name) => ({
          mint: (request) => {
            this.calls.push(`${from} mint ${String(name)}`);
            return this.mint(request);
          },
        }),
      },
    };
  }
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

beforeEach(() => {
  vi.useFakeTimers({ now: T0 + 1_000 });
});
afterEach(() => {
  localFaults.current = NO_FAULTS;
  vi.useRealTimers();
});

async function settled(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}

describe("an exchange", () => {
  it("brings both up to date, and both have stored first what they tell", async () => {
    const network = new Network();
    const [weur, enam] = metHubs(["weur", "enam"]);
    const peers = network.add(weur);
    network.add(enam);
    addUsage(weur, "hits", "k", 1, T0);
    addUsage(enam, "hits", "k", 10, T0);
    peers.exchange("enam");
    await settled();
    expect([weur, enam].map((hub) => valueIn(hub, "hits", "k"))).toEqual([11, 11]);
    expect(hasUnstored(weur)).toBe(false);
    expect(peerOf(weur, "enam").failures).toBe(0);
    expect(network.kept).not.toEqual([]);
  });

  it("runs once at a time with one peer, and not sooner than EAGER_MS after the last", async () => {
    const network = new Network();
    const [weur, enam] = metHubs(["weur", "enam"]);
    const peers = network.add(weur);
    network.add(enam);
    for (let times = 0; times < 5; times++) peers.exchange("enam");
    await settled();
    expect(network.calls).toHaveLength(1);
    peers.exchange("enam");
    await vi.advanceTimersByTimeAsync(EAGER_MS - 1);
    expect(network.calls).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(network.calls).toHaveLength(2);
  });

  it("that fails is counted and changes nothing else", async () => {
    const network = new Network();
    const [weur] = metHubs(["weur", "enam"]);
    const peers = network.add(weur);
    const { states, version } = weur;
    const before = JSON.stringify([...states.keys()]);
    peers.exchange("enam");
    await settled();
    expect(peerOf(weur, "enam").failures).toBe(1);
    expect([JSON.stringify([...states.keys()]), weur.version]).toEqual([before, version]);
  });

  it("that is never answered fails after PEER_TIMEOUT_MS, and another one may begin", async () => {
    const network = new Network();
    const [weur] = metHubs(["weur", "enam"]);
    const peers = network.add(weur);
    network.obstacle = never;
    peers.exchange("enam");
    await vi.advanceTimersByTimeAsync(PEER_TIMEOUT_MS - 1);
    peers.exchange("enam");
    expect([peerOf(weur, "enam").failures, network.calls.length]).toEqual([0, 1]);
    await vi.advanceTimersByTimeAsync(1);
    expect(peerOf(weur, "enam").failures).toBe(1);
    peers.exchange("enam");
    await settled();
    expect(network.calls).toHaveLength(2);
  });

  it("follows a change that is urgent at once, with every peer", async () => {
    const network = new Network();
    const hubs = metHubs(["weur", "enam", "apac"]);
    const [peers] = hubs.map((hub) => network.add(hub));
    writeOverride(hubs[0], "up", { until: T0 + 60_000, cursor: 1 }, T0);
    peers.follow();
    peers.follow();
    await settled();
    expect(hubs.map((hub) => hub.states.has("o:up"))).toEqual([true, true, true]);
    expect(network.calls.toSorted()).toEqual(["weur gossip hub:apac:0", "weur gossip hub:enam:0"]);
  });
});

describe("a greeting", () => {
  it("makes a peer of a region that is in use, and exchanges with it", async () => {
    const network = new Network();
    const [weur, enam] = [usedHub("weur"), usedHub("enam")];
    const peers = network.add(weur);
    network.add(enam);
    addUsage(weur, "hits", "k", 1, T0);
    addUsage(enam, "hits", "k", 10, T0);
    peers.greet("enam");
    const waited = peers.settled(1000);
    await vi.advanceTimersByTimeAsync(EAGER_MS);
    await waited;
    expect([...weur.peers.keys()]).toEqual(["enam"]);
    expect([weur, enam].map((hub) => valueIn(hub, "hits", "k"))).toEqual([11, 11]);
  });

  it("of a region that is not in use, or not there, makes no peer of it", async () => {
    const network = new Network();
    const [weur, apac] = [usedHub("weur"), newHub("apac")];
    const peers = network.add(weur);
    network.add(apac);
    peers.greet("apac");
    peers.greet("sam");
    await settled();
    expect(weur.peers.size).toBe(0);
    expect(apac.unstored.size).toBe(0);
    expect(network.calls).toHaveLength(2);
  });

  it("is waited for no longer than was said", async () => {
    const network = new Network();
    const peers = network.add(usedHub("weur"));
    network.obstacle = never;
    peers.greet("enam");
    let isOver = false;
    const waited = peers.settled(500).then(() => (isOver = true));
    await vi.advanceTimersByTimeAsync(499);
    expect(isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await waited;
    expect(isOver).toBe(true);
  });
});

describe("faults that are set", () => {
  it("keep messages between groups from arriving, in either direction", async () => {
    const network = new Network();
    const hubs = metHubs(["weur", "enam", "apac"]);
    const peers = hubs.map((hub) => network.add(hub));
    localFaults.current = { ...NO_FAULTS, partition: [["weur"], ["enam"]] };
    for (const hub of hubs) addUsage(hub, "hits", "k", 1, T0);
    for (const [index, hub] of hubs.entries()) for (const to of hub.peers.keys()) peers[index].exchange(to);
    await settled();
    expect(network.calls.filter((call) => /weur.*enam|enam.*weur/.test(call))).toEqual([]);
    expect(hubs.map((hub) => valueIn(hub, "hits", "k"))).toEqual([2, 2, 3]);
    expect(peerOf(hubs[0], "enam").failures).toBe(1);
  });

  it("double and delay what is said, and the sums stay right", async () => {
    const network = new Network();
    const [weur, enam] = metHubs(["weur", "enam"]);
    const peers = network.add(weur);
    network.add(enam);
    localFaults.current = { ...NO_FAULTS, duplicate: 1, delayMs: 200 };
    addUsage(weur, "hits", "k", 3, T0);
    peers.exchange("enam");
    await vi.advanceTimersByTimeAsync(199);
    expect(network.calls).toEqual([]);
    await vi.advanceTimersByTimeAsync(300);
    expect(network.count("weur gossip hub:enam:0")).toBe(2);
    expect([weur, enam].map((hub) => valueIn(hub, "hits", "k"))).toEqual([3, 3]);
  });
});

describe("rights of a capped limit", () => {
  const terms = termsOf({ consistency: "capped", units: 100, windowMs: 3_600_000 });
  const name = quotaName(3_600_000, T0 / 3_600_000, "api", "k");

  function ask(hub: Hub, need: number): number {
    const request = { terms, need, want: need, held: 0, unreported: 0 };
    return leaseRights(hub, request, "s", Date.now()).units;
  }

  function rightsIn(hub: Hub): number {
    const state = hub.states.get(name);
    return state?.kind === "bounded-counter" ? rightsOf(state, hub.durableSlot) : 0;
  }

  it("are minted by the ledger of their key", async () => {
    const network = new Network();
    const weur = usedHub("weur");
    const peers = network.add(weur);
    const seqs: number[] = [];
    network.mint = ({ want, seq }) => {
      seqs.push(seq);
      return Promise.resolve({ kind: "minted", total: want, left: 100 - want });
    };
    expect(ask(weur, 2)).toBe(0);
    peers.follow();
    await peers.refilled(1000);
    expect(network.count(`weur mint ${ledgerName("api", "k")}`)).toBe(1);
    expect(seqs).toEqual([1]);
    expect(rightsIn(weur)).toBeGreaterThanOrEqual(2);
    expect(ask(weur, 2)).toBeGreaterThanOrEqual(2);
  });

  it("that a ledger does not give, or says in a way that is not understood, are asked for again", async () => {
    const network = new Network();
    const weur = usedHub("weur");
    const peers = network.add(weur);
    const replies: (() => Promise<Mint>)[] = [
      () => Promise.reject(new Error("down")),
      () => Promise.resolve({ kind: "invalid" }),
      () => Promise.resolve({ kind: "minted" }),
      never,
    ];
    for (const reply of replies) {
      network.mint = reply;
      ask(weur, 2);
      peers.follow();
      await vi.advanceTimersByTimeAsync(PEER_TIMEOUT_MS);
      expect(rightsIn(weur)).toBe(0);
    }
    expect(network.count(`weur mint ${ledgerName("api", "k")}`)).toBe(replies.length);
  });

  it("come from another region when the ledger has none left, which has stored them as given", async () => {
    const network = new Network();
    const [weur, enam] = metHubs(["weur", "enam"]);
    const [peers, others] = [network.add(weur), network.add(enam)];
    network.mint = ({ want }) => Promise.resolve({ kind: "minted", total: want, left: 0 });
    ask(enam, 20);
    others.follow();
    await settled();
    const had = rightsIn(enam);
    expect(had).toBeGreaterThan(0);
    others.exchange("weur");
    await settled();
    vi.setSystemTime(Date.now() + 5_000);
    network.mint = () => Promise.resolve({ kind: "minted", total: 0, left: 0 });
    for (let times = 0; times < 2; times++) {
      ask(weur, 2);
      peers.follow();
      await settled();
    }
    expect(network.count("weur give hub:enam:0")).toBe(1);
    expect(rightsIn(weur)).toBeGreaterThan(0);
    expect(rightsIn(weur) + rightsIn(enam)).toBe(had);
    const stored = network.rows.get("enam")?.start("enam", T0);
    expect(stored === undefined ? null : rightsIn(stored)).toBe(rightsIn(enam));
  });

  it("are given to nobody who asks for them in a way that is not understood", () => {
    const hub = usedHub("weur");
    const peers = new Network().add(hub);
    const before = contentOf(hub);
    const wrong = [
      [undefined, "enam.0.0.0", 1],
      [name, 7, 1],
      [name, "enam.0.0.0", "1"],
      [name, "enam.0.0.0", 1],
      ["m", "enam.0.0.0", 1],
    ];
    expect(wrong.map(([state, to, want]) => peers.give(state, to, want, T0))).toEqual(wrong.map(() => null));
    expect(contentOf(hub)).toBe(before);
  });
});
