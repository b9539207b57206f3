// Which regions are in use, and what a hub does about it round by round.

import { describe, expect, it } from "vitest";
import { composeHello, composeMessage, receiveMessage } from "../../../src/hub/gossip.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { announceUse, isInUse, regionsInUse } from "../../../src/hub/membership.ts";
import { peerOf } from "../../../src/hub/peers.ts";
import {
  IDLE_MS,
  KEEPALIVE_ROUNDS,
  MAX_BACKOFF_ROUNDS,
  SEARCH_MS,
  beginRound,
  nextRoundMs,
  noteFailure,
} from "../../../src/hub/rounds.ts";
import { addUsage } from "../../../src/hub/usage.ts";
import { snapshotOf } from "../../../src/hub/sync.ts";
import { takeCommit } from "../../../src/hub/storage.ts";
import { ROUND_MS, Rows, T0, contentOf, exchange, messageTo, metHubs } from "./hubs.ts";
import { newHub, settle, usedHub } from "./hubs.ts";

const UNIVERSE = ["weur", "enam", "apac"];

function begin(hub: Hub, now: number) {
  return beginRound(hub, UNIVERSE, ROUND_MS, now);
}

describe("a region", () => {
  it("appears by being used, once", () => {
    const hub = newHub("weur");
    expect([isInUse(hub), regionsInUse(hub)]).toEqual([false, []]);
    expect(announceUse(hub, T0)).toBe(true);
    expect([isInUse(hub), regionsInUse(hub)]).toEqual([true, ["weur"]]);
    const { version } = hub;
    expect(announceUse(hub, T0 + 1)).toBe(false);
    expect(hub.version).toBe(version);
    expect(hub.usedAt).toBe(T0 + 1);
  });

  it("stays in use over restarts without a new row", () => {
    const rows = new Rows();
    const hub = rows.start("weur", T0);
    announceUse(hub, T0);
    rows.store(hub);
    const again = rows.start("weur", T0 + 1);
    expect(isInUse(again)).toBe(true);
    expect(announceUse(again, T0 + 2)).toBe(false);
  });

  it("is a peer of all that hear of it, whoever tells them", () => {
    const [weur, enam, apac] = [usedHub("weur"), usedHub("enam"), usedHub("apac")];
    settle([weur, enam], T0);
    settle([enam, apac], T0);
    settle([weur, enam, apac], T0);
    expect([weur, enam, apac].map((hub) => regionsInUse(hub).length)).toEqual([3, 3, 3]);
    expect([...weur.peers.keys()].toSorted()).toEqual(["apac", "enam"]);
    expect(snapshotOf(weur, T0).regions).toBe(3);
  });

  it("that nobody uses is greeted and stays unknown: its answer changes nothing", () => {
    const [weur, apac] = [usedHub("weur"), newHub("apac")];
    const before = contentOf(weur);
    expect(receiveMessage(apac, composeHello(weur), T0).kind).toBe("merged");
    const answer = composeMessage(apac, peerOf(apac, "weur"), T0);
    expect(answer.inUse).toBe(false);
    expect(receiveMessage(weur, answer, T0).kind).toBe("refused");
    expect(contentOf(weur)).toBe(before);
    expect(isInUse(apac)).toBe(false);
    expect(apac.unstored.size).toBe(0);
    expect(begin(apac, T0)).toEqual({ exchange: [], greet: [] });
    expect(nextRoundMs(apac, ROUND_MS, T0)).toBeNull();
  });

  it("looks at the first round for those it does not know, and every SEARCH_MS for who is not in use", () => {
    const hub = usedHub("weur");
    expect(begin(hub, T0).greet).toEqual(["enam", "apac"]);
    peerOf(hub, "enam");
    receiveMessage(hub, composeHello(newHub("apac")), T0);
    expect(begin(hub, T0 + SEARCH_MS / 2).greet).toEqual([]);
    expect(begin(hub, T0 + SEARCH_MS).greet).toEqual(["apac"]);
    receiveMessage(hub, composeHello(newHub("apac")), T0 + SEARCH_MS);
    expect(begin(hub, T0 + SEARCH_MS + 5 * ROUND_MS).greet).toEqual([]);
  });

  it("that does not answer a greeting gets one again after 1, 1, 1, 2, 4 .. MAX_BACKOFF_ROUNDS rounds", () => {
    const hub = usedHub("weur");
    const greeted: number[] = [];
    for (let round = 0; round <= 125; round++) {
      if (begin(hub, T0 + round * ROUND_MS).greet.includes("apac")) greeted.push(round);
    }
    expect(greeted).toEqual([0, 1, 2, 3, 5, 9, 17, 33, 63, 93, 123]);
    expect(nextRoundMs(hub, ROUND_MS, T0 + 1_000_000)).toBe(MAX_BACKOFF_ROUNDS * ROUND_MS);
    receiveMessage(hub, messageTo(usedHub("apac"), "weur", T0), T0);
    receiveMessage(hub, messageTo(usedHub("enam"), "weur", T0), T0);
    expect([...hub.peers.keys()].toSorted()).toEqual(["apac", "enam"]);
    expect(begin(hub, T0 + 10 * SEARCH_MS).greet).toEqual([]);
  });
});

describe("a round", () => {
  it("speaks to a peer that lacks something, and keeps the others alive every other round", () => {
    const [weur, enam] = metHubs(["weur", "enam", "apac"]);
    for (const peer of weur.peers.values()) peer.askedAt = T0;
    expect(begin(weur, T0 + ROUND_MS).exchange).toEqual([]);
    expect(begin(weur, T0 + KEEPALIVE_ROUNDS * ROUND_MS).exchange).toEqual(["enam", "apac"]);
    addUsage(weur, "hits", "k", 1, T0);
    const next = T0 + (KEEPALIVE_ROUNDS + 1) * ROUND_MS;
    expect(begin(weur, next).exchange).toEqual(["enam", "apac"]);
    exchange(weur, enam, next);
    expect(begin(weur, next + ROUND_MS).exchange).toEqual(["apac"]);
  });

  it("that comes a little early still speaks to its peers, one that comes at once does not", () => {
    const [weur] = metHubs(["weur", "enam"]);
    addUsage(weur, "hits", "k", 1, T0);
    peerOf(weur, "enam").askedAt = T0;
    expect(begin(weur, T0 + 100).exchange).toEqual([]);
    expect(begin(weur, T0 + 0.8 * ROUND_MS).exchange).toEqual(["enam"]);
  });

  it("asks a peer that does not answer after 1, 1, 1, 2, 4 .. rounds, MAX_BACKOFF_ROUNDS at most", () => {
    const [weur] = metHubs(["weur", "enam"]);
    const peer = peerOf(weur, "enam");
    const asked: number[] = [];
    peer.askedAt = T0;
    for (let round = 1; round <= 130; round++) {
      addUsage(weur, "hits", "k", 1, T0);
      const now = T0 + round * ROUND_MS;
      if (!begin(weur, now).exchange.includes("enam")) continue;
      asked.push(round);
      peer.askedAt = now;
      noteFailure(peer);
    }
    const gaps = asked.slice(1).map((round, index) => round - asked[index]);
    expect(gaps).toEqual([1, 1, 1, 2, 4, 8, 16, ...Array.from({ length: 3 }, () => MAX_BACKOFF_ROUNDS)]);
  });

  it("is asked for as usual again by the first answer", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    const peer = peerOf(weur, "enam");
    for (let times = 0; times < 9; times++) noteFailure(peer);
    addUsage(weur, "hits", "k", 1, T0);
    exchange(enam, weur, T0);
    peer.askedAt = T0;
    addUsage(weur, "hits", "k", 1, T0);
    expect(begin(weur, T0 + ROUND_MS).exchange).toEqual(["enam"]);
  });
});

describe("rounds", () => {
  it("stop when nothing has changed for IDLE_MS and everybody has everything", () => {
    const [weur] = metHubs(["weur", "enam"]);
    takeCommit(weur, true);
    expect(nextRoundMs(weur, ROUND_MS, T0 + IDLE_MS - 1)).toBe(ROUND_MS);
    expect(nextRoundMs(weur, ROUND_MS, T0 + IDLE_MS)).toBeNull();
    announceUse(weur, T0 + IDLE_MS);
    expect(nextRoundMs(weur, ROUND_MS, T0 + IDLE_MS)).toBe(ROUND_MS);
    expect(nextRoundMs(weur, ROUND_MS, T0 + 2 * IDLE_MS)).toBeNull();
  });

  it("go on until what came from other regions is stored", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    takeCommit(weur, true);
    addUsage(enam, "hits", "k", 1, T0);
    settle([weur, enam], T0);
    expect(nextRoundMs(weur, ROUND_MS, T0 + IDLE_MS)).toBe(ROUND_MS);
    takeCommit(weur, true);
    expect(nextRoundMs(weur, ROUND_MS, T0 + IDLE_MS)).toBeNull();
  });

  it("go on for a peer that lacks something, ever more slowly", () => {
    const [weur] = metHubs(["weur", "enam"]);
    takeCommit(weur, true);
    addUsage(weur, "hits", "k", 1, T0);
    const waits = Array.from({ length: 9 }, () => {
      noteFailure(peerOf(weur, "enam"));
      return (nextRoundMs(weur, ROUND_MS, T0 + IDLE_MS) ?? 0) / ROUND_MS;
    });
    expect(waits).toEqual([1, 1, 1, 2, 4, 8, 16, 30, 30]);
  });

  it("between idle hubs end on both sides: a keepalive is no change", () => {
    const hubs = metHubs(["weur", "enam", "apac"]);
    let now = T0;
    let spoken = 0;
    for (let round = 1; round < 60; round++) {
      now = T0 + round * ROUND_MS;
      for (const hub of hubs) {
        takeCommit(hub, true);
        if (nextRoundMs(hub, ROUND_MS, now) === null) continue;
        for (const region of begin(hub, now).exchange) {
          const peer = hubs.find((other) => other.region === region);
          peerOf(hub, region).askedAt = now;
          if (peer !== undefined) exchange(hub, peer, now);
          spoken++;
        }
      }
    }
    expect(spoken).toBeGreaterThan(3);
    expect(hubs.map((hub) => nextRoundMs(hub, ROUND_MS, now))).toEqual([null, null, null]);
  });
});
