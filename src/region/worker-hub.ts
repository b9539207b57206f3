// The isolate's way to the objects around it: its hub and the ledgers. It turns the calls of HubLink into
// calls of Durable Objects, each with a deadline, and keeps what was begun, so that the request that began it
// can keep it alive (`takeBegun`): a runtime ends what belongs to no request.

import type { HubDescription } from "../hub/description.ts";
import type { Faults } from "../hub/faults.ts";
import type { ConsumeOutcome, ConsumeRequest } from "../hub/ledger-requests.ts";
import type { OverrideReading } from "../hub/overrides.ts";
import type {
  AddReply,
  OverrideReply,
  OverrideTerms,
  Snapshot,
  SyncReply,
  SyncRequest,
} from "../hub/protocol.ts";
import type { UsageReading } from "../hub/usage.ts";
import { HubLink } from "./hub-link.ts";
import { ledgerName } from "./hub-peers.ts";
import type { Namespace } from "./object-calls.ts";
import { answerWithin, isNamespace } from "./object-calls.ts";
import { hubName, isLocationHint } from "./placement.ts";
import { SYNC_MS, createReplica, hasPending } from "./replica.ts";

/** Deadline of a sync, and of an ask, after which both are failures. */
const SYNC_TIMEOUT_MS = 2_000;
const ASK_TIMEOUT_MS = 1_000;
/** Deadline of what the admin surface asks the hub. */
const ADMIN_TIMEOUT_MS = 5_000;
/** Longest wait for an exact limit's ledger, which may live on another continent. */
export const LEDGER_TIMEOUT_MS = 2_000;
/** So many syncs in a row may fail before the next one waits for a request. */
const MAX_LONE_SYNCS = 20;
const SHARD = 0;
const SETTLE_POLL_MS = 5;
/** Longest wait until the hub may be told something before its time. */
const TELL_WAIT_MS = 500;
/** Who reads the state waits this long for the hub to have heard of what has just moved. */
const NEWS_WAIT_MS = 500;
/** In local development an isolate goes on syncing for so long after its last request (see `linger`). */
const LINGER_MS = 20_000;

/** What an isolate calls on a hub. */
export interface HubStub {
  sync(request: SyncRequest): Promise<SyncReply>;
  add(counter: string, key: string, by: number): Promise<AddReply>;
  read(counter: string, key: string): Promise<UsageReading | null>;
  override(upstream: string, terms: OverrideTerms | null): Promise<OverrideReply>;
  overrides(): Promise<Record<string, OverrideReading>>;
  describe(session?: string): Promise<HubDescription>;
  metrics(): Promise<[series: string, value: number][]>;
  snapshot(): Promise<Snapshot>;
  setFaults(faults: Faults | object): Promise<boolean>;
  wake(): Promise<void>;
  abort(): Promise<void>;
}

interface LedgerStub {
  consume(request: ConsumeRequest): Promise<ConsumeOutcome>;
  giveBack(id: string): Promise<unknown>;
}

export interface ObjectBindings {
  readonly hubs: Namespace<HubStub>;
  /** null: no exact limits. */
  readonly ledgers: Namespace<LedgerStub> | null;
}

/** The namespaces among a Worker's bindings; null where there is no hub, as in a plain process. */
export function objectBindingsOf(bindings: Readonly<Record<string, unknown>>): ObjectBindings | null {
  const { HUB, LEDGER } = bindings;
  if (!isNamespace<HubStub>(HUB)) return null;
  return { hubs: HUB, ledgers: isNamespace<LedgerStub>(LEDGER) ? LEDGER : null };
}

export class WorkerHub {
  readonly region: string;
  readonly link: HubLink;
  readonly #objects: ObjectBindings;
  #begun: Promise<unknown>[] = [];
  #usedAt = Number.NEGATIVE_INFINITY;
  #isLingering = false;

  constructor(objects: ObjectBindings, region: string, session: string, config: string) {
    this.region = region;
    this.#objects = objects;
    this.link = new HubLink(createReplica(region, session, config, Date.now()), {
      now: () => Date.now(),
      send: (request, done) => this.#begin(this.#send(request, done)),
      startTimer: (ms, fire) => this.#startTimer(ms, fire),
      newSession: () => crypto.randomUUID(),
    });
  }

  /** The isolate runs under another configuration from now on. */
  configured(hash: string): void {
    this.link.replica.config = hash;
  }

  /** Has the runtime keep what was begun just now alive as part of the request that began it. */
  keepBegun(shell: { waitUntil(work: Promise<unknown>): void }): void {
    const begun = this.takeBegun();
    if (begun !== null) shell.waitUntil(begun);
  }

  /**
   * Goes on syncing for a while after a request. Deployed, an idle isolate says and hears nothing, because
   * each sync costs; on one's own machine the first request after a pause should see what was just forced.
   */
  linger(): void {
    this.#usedAt = Date.now();
    if (this.#isLingering) return;
    this.#isLingering = true;
    this.#begin(this.#lingerOn().finally(() => (this.#isLingering = false)));
  }

  async #lingerOn(): Promise<void> {
    while (Date.now() - this.#usedAt < LINGER_MS) {
      await new Promise((resolve) => setTimeout(resolve, SYNC_MS / 4));
      this.link.afterResponse();
      void this.takeBegun();
    }
  }

  /** What was begun since the last call; null: nothing. */
  takeBegun(): Promise<unknown> | null {
    if (this.#begun.length === 0) return null;
    const begun = this.#begun;
    this.#begun = [];
    return begun.length === 1 ? begun[0] : Promise.all(begun);
  }

  /** Asks the hub of this region something for the admin surface; null when it does not answer. */
  ask<Answer>(call: (hub: HubStub) => Promise<Answer>): Promise<Answer | null> {
    return answerWithin(ADMIN_TIMEOUT_MS, call(this.stub(this.region)));
  }

  /** Has the hub hear what was counted here before its time, for a reader of the region's sums. */
  async tell(): Promise<void> {
    await this.settled();
    // One that has failed goes again as it was; what was counted since is in the next one.
    const syncs = this.link.replica.frozen === null ? 1 : 2;
    for (let left = syncs; left > 0 && (await this.#syncNow()); left--);
  }

  /** Whether the hub has heard. */
  async #syncNow(): Promise<boolean> {
    const { link } = this;
    for (let waitedMs = 0; !link.syncEarly(); waitedMs += SETTLE_POLL_MS) {
      if (waitedMs >= TELL_WAIT_MS) return false;
      await new Promise((resolve) => setTimeout(resolve, SETTLE_POLL_MS));
    }
    // What follows a failure need not be waited for.
    void this.takeBegun();
    await this.settled();
    return link.replica.failures === 0;
  }

  /** Waits until no report is on its way, so that what it holds is neither missed nor counted twice. */
  async settled(withinMs = SYNC_TIMEOUT_MS): Promise<void> {
    const until = Date.now() + withinMs;
    while (this.link.replica.syncing && Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, SETTLE_POLL_MS));
    }
  }

  /** Tells the hub at once what it should hear before its time, so that what it is asked next has it. */
  async tellNews(shell: { waitUntil(work: Promise<unknown>): void }): Promise<void> {
    const { link } = this;
    if (!link.hasUrgentNews()) return;
    const { syncs } = link.tally;
    const until = Date.now() + NEWS_WAIT_MS;
    while (Date.now() < until && (link.tally.syncs === syncs || link.replica.syncing)) {
      if (link.tally.syncs === syncs && link.syncEarly()) this.keepBegun(shell);
      await new Promise((resolve) => setTimeout(resolve, SETTLE_POLL_MS));
    }
  }

  /** The hub of any region. A stub for each use: one that has failed stays broken. */
  stub(region: string): HubStub {
    const { hubs } = this.#objects;
    const hint = isLocationHint(region) ? { locationHint: region } : {};
    return hubs.get(hubs.idFromName(hubName(region, SHARD)), hint);
  }

  /**
   * Consumes units of an exact limit; null when the ledger cannot be asked or does not answer in time.
   * `late`: what becomes of units that are counted after that, by whether the request passes without them.
   */
  async consume(
    limit: string,
    key: string,
    request: ConsumeRequest,
    late: "keep" | "give-back",
  ): Promise<ConsumeOutcome | null> {
    const ledger = this.#ledger(limit, key);
    if (ledger === null) return null;
    const call = ledger.consume(request);
    const reply = await answerWithin(LEDGER_TIMEOUT_MS, call);
    if (reply === null && late === "give-back") this.#begin(giveBackLate(ledger, request.id, call));
    return reply;
  }

  /** Gives back what a request consumed that was refused for another reason. */
  giveBack(limit: string, key: string, id: string): void {
    const ledger = this.#ledger(limit, key);
    if (ledger !== null) this.#begin(answerWithin(LEDGER_TIMEOUT_MS, ledger.giveBack(id)));
  }

  #ledger(limit: string, key: string): LedgerStub | null {
    const { ledgers } = this.#objects;
    return ledgers === null ? null : ledgers.get(ledgers.idFromName(ledgerName(limit, key)));
  }

  #begin(work: Promise<unknown>): void {
    this.#begun.push(work);
  }

  async #send(request: SyncRequest, done: (reply: SyncReply | null) => void): Promise<void> {
    const timeoutMs = request.urgent ? ASK_TIMEOUT_MS : SYNC_TIMEOUT_MS;
    const reply = await answerWithin(timeoutMs, this.stub(this.region).sync(request));
    done(reply);
    if (reply === null && !request.urgent) await this.#goOnLater();
    // An answer may lead to the next ask; it belongs to the request that this one belongs to.
    await this.takeBegun();
  }

  /** A sync has failed: what it held must not have to wait for the next request, which may never come. */
  async #goOnLater(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, SYNC_MS));
    const { replica } = this.link;
    if (replica.failures > 0 && replica.failures <= MAX_LONE_SYNCS && hasPending(replica)) {
      this.link.afterResponse();
    }
  }

  #startTimer(ms: number, fire: () => void): () => void {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const timer = setTimeout(() => {
      fire();
      resolve(this.takeBegun());
    }, ms);
    this.#begin(promise);
    return () => {
      clearTimeout(timer);
      resolve(null);
    };
  }
}

/** Only what this very call took: a replayed id was counted for a request that has passed. */
async function giveBackLate(ledger: LedgerStub, id: string, call: Promise<ConsumeOutcome>): Promise<void> {
  try {
    const outcome = await call;
    if (outcome.kind === "taken" && !outcome.replayed) await ledger.giveBack(id);
  } catch {
    // Whether it was counted is not known, and nobody is left to ask.
  }
}
