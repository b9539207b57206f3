// The hub of one region (and shard): one object, named `hub:<region>:<shard>`, around the pure core in
// src/hub/. It owns what only an object can: its SQLite rows, its alarm, the calls to other hubs and ledgers.
//
//   an answer leaves after what it acknowledges is stored; syncs share a transaction (COMMIT_DELAY_MS)
//   memory that could not be stored is given up: the object is aborted and starts from its rows
//   rounds run by alarm; an alarm that is late is made up for by the next call
//   what callers may expect is a value; nothing is thrown at them

import { DurableObject } from "cloudflare:workers";
import { LOCATION_HINTS, parseHubName } from "../src/region/placement.ts";
import { NO_FAULTS, parseFaults } from "../src/hub/faults.ts";
import type { GossipMessage } from "../src/hub/gossip.ts";
import type { Hub, StoredHub } from "../src/hub/hub.ts";
import { NOTHING_STORED, bootHub } from "../src/hub/hub.ts";
import { describeHub, type HubDescription } from "../src/hub/description.ts";
import { isInUse, announceUse } from "../src/hub/membership.ts";
import { readOverrides, toOverrideTerms, writeOverride, type OverrideReading } from "../src/hub/overrides.ts";
import type { AddReply, OverrideReply, OverrideTerms, Snapshot, SyncReply } from "../src/hub/protocol.ts";
import { isKey, isPlainName } from "../src/hub/names.ts";
import { beginRound, forgetFailures, nextRoundMs } from "../src/hub/rounds.ts";
import type { Commit } from "../src/hub/storage.ts";
import { hasUnstored, readStoredHub, takeCommit } from "../src/hub/storage.ts";
import { isSession } from "../src/hub/sessions.ts";
import { isSyncRequest } from "../src/hub/report.ts";
import { leasesProbe, serveSync, snapshotOf } from "../src/hub/sync.ts";
import { addUsage, readUsage, type UsageReading } from "../src/hub/usage.ts";
import { holdAnswer } from "../src/region/held-answers.ts";
import { logLoadChanges, logTransitions, report } from "../src/region/hub-log.ts";
import { HubPeers, localFaults, type HubBindings } from "../src/region/hub-peers.ts";

/** A round of gossip. Deployed objects are spread over the world; a second is far above their distances. */
export const ROUND_MS = 1_000;
/** Rounds of different hubs drift apart, so that they do not all speak at once. */
const ROUND_JITTER_MS = 100;
/** Syncs that come within this time are stored together. */
export const COMMIT_DELAY_MS = 20;
/** What came from other regions is stored at most this often: it can be had from them again. */
const FOREIGN_COMMIT_MS = 60_000;
/** The first isolate of a region waits this long for what other regions know, of the 20 ms that it has. */
const FIRST_SYNC_WAIT_MS = 10;
/** The first to read in a region waits at most this long for what other regions know. */
const JOIN_WAIT_MS = 500;
/** An alarm that is late by so many rounds is made up for. */
const LATE_ROUNDS = 3;

const TABLES = `
  CREATE TABLE IF NOT EXISTS identity (only INTEGER PRIMARY KEY CHECK (only = 1), boot INTEGER, epoch INTEGER);
  CREATE TABLE IF NOT EXISTS states (name TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
`;

export class RegionHub extends DurableObject<HubBindings> {
  readonly #hub: Hub;
  readonly #peers: HubPeers;
  #committing: Promise<void> | null = null;
  #foreignStoredAt = Date.now();
  /** When the next round is due; null: no alarm is set that this boot knows of. */
  #alarmAt: number | null = null;

  constructor(ctx: DurableObjectState, env: HubBindings) {
    super(ctx, env);
    const name = parseHubName(ctx.id.name ?? "");
    if (name === null) throw new Error(`a hub is named hub:<region>:<shard>, not ${String(ctx.id.name)}`);
    this.#hub = bootHub(name.region, name.shard, this.#readRows(), Date.now());
    this.#peers = new HubPeers(this.#hub, env, {
      store: () => this.#store(false),
      keep: (work) => ctx.waitUntil(work),
    });
  }

  /** An isolate's report and asks. */
  async sync(request: unknown): Promise<SyncReply> {
    if (!isSyncRequest(request) || request.region !== this.#hub.region) {
      return this.#withNewestSnapshot(serveSync(this.#hub, request, Date.now()));
    }
    if (!isInUse(this.#hub)) await this.#join(FIRST_SYNC_WAIT_MS);
    const mayWait = (answer: SyncReply): boolean => !request.urgent && !leasesProbe(answer);
    const reply = await this.#serve(mayWait, (hub, now) => serveSync(hub, request, now));
    const serve = (act: (hub: Hub, now: number) => SyncReply) => this.#serve(false, act);
    return this.#withNewestSnapshot(await holdAnswer(this.#hub, this.#peers, request, reply, serve));
  }

  /** What was forced while an answer waited for storage must not be undone by it in the isolate. */
  #withNewestSnapshot(reply: SyncReply): SyncReply {
    return reply.kind === "synced" ? { ...reply, snapshot: snapshotOf(this.#hub, Date.now()) } : reply;
  }

  /** Adds to a usage counter; answered once it is stored. */
  async add(counter: unknown, key: unknown, by: unknown): Promise<AddReply> {
    if (!isPlainName(counter) || !isKey(key) || !isAmount(by)) return { kind: "malformed" };
    return await this.#serve(true, (hub, now) => {
      announceUse(hub, now);
      return { kind: addUsage(hub, counter, key, by, now) };
    });
  }

  async read(counter: unknown, key: unknown): Promise<UsageReading | null> {
    if (!isPlainName(counter) || !isKey(key)) return null;
    await this.#join(JOIN_WAIT_MS);
    // What is read must not fall after a restart, so what came from other regions is stored first.
    this.#store(true);
    return await this.#serve(false, (hub, now) => readUsage(hub, counter, key, ROUND_MS, now));
  }

  /** Forces something on an upstream for a time; null clears it. */
  async override(upstream: unknown, terms: OverrideTerms | null | undefined): Promise<OverrideReply> {
    const checked = terms === null || terms === undefined ? null : toOverrideTerms(terms, terms.until);
    if (!isPlainName(upstream) || (terms !== null && checked === null)) return { kind: "malformed" };
    return await this.#serve(false, (hub, now) => {
      announceUse(hub, now);
      return { kind: writeOverride(hub, upstream, checked, now) ? "written" : "malformed" };
    });
  }

  async overrides(): Promise<Record<string, OverrideReading>> {
    await this.#join(JOIN_WAIT_MS);
    return await this.#serve(false, readOverrides);
  }

  async describe(asks?: unknown): Promise<HubDescription> {
    await this.#join(JOIN_WAIT_MS);
    return await this.#serve(false, (hub, now) => describeHub(hub, now, isSession(asks) ? asks : null));
  }

  /** The counters of all isolates of the region, by series. */
  async metrics(): Promise<[series: string, value: number][]> {
    return await this.#serve(false, (hub) => [...hub.metrics]);
  }

  /** What isolates get with each sync. */
  async snapshot(): Promise<Snapshot> {
    return await this.#serve(false, snapshotOf);
  }

  /** A peer's message; the answer is ours to it, or null when it cannot be taken. */
  async gossip(message: unknown): Promise<GossipMessage | null> {
    return await this.#serve(false, (_hub, now) => this.#peers.answer(message, now));
  }

  /** Gives rights of a capped limit to another region; the answer holds the state that proves it. */
  async give(name: unknown, to: unknown, want: unknown): Promise<Uint8Array | null> {
    return await this.#serve(false, (_hub, now) => this.#peers.give(name, to, want, now));
  }

  /** Looks for peers and catches up with them at once. */
  async wake(): Promise<void> {
    forgetFailures(this.#hub);
    await this.#serve(false, () => {
      this.#round();
      for (const region of this.#hub.peers.keys()) this.#peers.exchange(region);
    });
    await this.#peers.settled(JOIN_WAIT_MS);
  }

  /** Faults between the hubs of this machine; refused anywhere else. */
  async setFaults(faults: unknown): Promise<boolean> {
    if (this.env.TIDEGATE_LOCAL !== "1") return false;
    const parsed = parseFaults(faults);
    if (parsed.kind === "faults") localFaults.current = isNone(faults) ? NO_FAULTS : parsed.faults;
    return parsed.kind === "faults";
  }

  /** Kills this object once, as a fault; refused anywhere but in local development. */
  async abort(): Promise<void> {
    if (this.env.TIDEGATE_LOCAL === "1") this.ctx.abort("a fault that was asked for");
  }

  override async alarm(): Promise<void> {
    this.#alarmAt = null;
    try {
      this.#round();
      this.#store(Date.now() - this.#foreignStoredAt >= FOREIGN_COMMIT_MS);
    } catch (error) {
      report(this.#hub, "round-failed", error);
    } finally {
      this.#arm();
    }
  }

  /** A region appears by being used, also by an operator who reads: who waits for what others know. */
  async #join(ms: number): Promise<void> {
    const hub = this.#hub;
    if (isInUse(hub) && hub.usedAt >= hub.bootedAt) return;
    await this.#serve(false, (_hub, now) => {
      announceUse(hub, now);
      this.#round();
    });
    await this.#peers.settled(ms);
  }

  /** Does something with the hub, stores what must be stored, and lets follow what follows. */
  async #serve<Answer>(shared: boolean | ((to: Answer) => boolean), act: (hub: Hub, now: number) => Answer) {
    const answer = act(this.#hub, Date.now());
    if (isInUse(this.#hub)) {
      // A hub that has just started again asks its peers at once.
      if (this.#isRoundLate() || !this.#hub.hasGreeted) this.#round();
      this.#peers.follow();
      logTransitions(this.#hub);
      logLoadChanges(this.#hub);
      const isShared = typeof shared === "function" ? shared(answer) : shared;
      if (hasUnstored(this.#hub)) await (isShared ? this.#storeTogether() : this.#store(false));
      if (this.#alarmAt === null) this.#arm();
    }
    return answer;
  }

  #round(): void {
    const { exchange, greet } = beginRound(this.#hub, this.#universe(), ROUND_MS, Date.now());
    for (const region of exchange) this.#peers.exchange(region);
    for (const region of greet) this.#peers.greet(region);
    this.#peers.follow();
  }

  #universe(): readonly string[] {
    return this.env.TIDEGATE_REGIONS?.split(",") ?? LOCATION_HINTS;
  }

  #isRoundLate(): boolean {
    return this.#alarmAt !== null && Date.now() - this.#alarmAt > LATE_ROUNDS * ROUND_MS;
  }

  /** Sets the alarm of the next round, if one is needed. Never for now: such an alarm may not fire. */
  #arm(): void {
    const now = Date.now();
    const waitMs = nextRoundMs(this.#hub, ROUND_MS, now);
    if (waitMs === null) {
      this.#store(true);
      return;
    }
    this.#alarmAt = now + waitMs + Math.random() * ROUND_JITTER_MS;
    void this.ctx.storage.setAlarm(this.#alarmAt);
  }

  #storeTogether(): Promise<void> {
    this.#committing ??= new Promise<void>((resolve) => setTimeout(resolve, COMMIT_DELAY_MS)).then(() => {
      this.#committing = null;
      this.#store(false);
    });
    return this.#committing;
  }

  #store(foreign: boolean): void {
    const commit = takeCommit(this.#hub, foreign);
    if (foreign) this.#foreignStoredAt = Date.now();
    if (commit === null) return;
    try {
      this.ctx.storage.transactionSync(() => this.#write(commit));
    } catch (error) {
      report(this.#hub, "store-failed", error);
      this.ctx.abort("what was changed could not be stored");
    }
  }

  // Tables come with the first row: a hub that was only asked whether its region is in use stores nothing.
  #write({ boot, durableEpoch, meta, states, sessions, droppedSessions }: Commit): void {
    const { sql } = this.ctx.storage;
    if (meta) sql.exec(TABLES);
    if (meta) sql.exec("INSERT OR REPLACE INTO identity VALUES (1, ?, ?)", boot, durableEpoch);
    for (const [name, bytes] of states) {
      if (bytes === null) sql.exec("DELETE FROM states WHERE name = ?", name);
      else sql.exec("INSERT OR REPLACE INTO states VALUES (?, ?)", name, bytes);
    }
    for (const id of droppedSessions) sql.exec("DELETE FROM sessions WHERE id = ?", id);
    for (const [id, seq] of sessions) sql.exec("INSERT OR REPLACE INTO sessions VALUES (?, ?)", id, seq);
  }

  #readRows(): StoredHub {
    const { sql } = this.ctx.storage;
    const [table] = sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'identity'").toArray();
    if (table === undefined) return NOTHING_STORED;
    const [identity] = sql
      .exec<{ boot: number; epoch: number }>("SELECT boot, epoch FROM identity")
      .toArray();
    const states = sql.exec<{ name: string; bytes: ArrayBuffer }>("SELECT name, bytes FROM states").toArray();
    const sessions = sql.exec<{ id: string; seq: number }>("SELECT id, seq FROM sessions").toArray();
    return readStoredHub({
      boot: identity?.boot ?? 0,
      durableEpoch: identity?.epoch ?? 0,
      states: states.map(({ name, bytes }) => [name, new Uint8Array(bytes)] as const),
      sessions: sessions.map(({ id, seq }) => [id, seq] as const),
    });
  }
}

function isAmount(value: unknown): value is number {
  return (
    typeof value === "number" && Number.isSafeInteger(value) && value >= 1 && value <= Number.MAX_SAFE_INTEGER
  );
}

function isNone(faults: unknown): boolean {
  return typeof faults === "object" && faults !== null && Object.keys(faults).length === 0;
}
