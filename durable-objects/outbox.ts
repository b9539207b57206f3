// One outbox: an object, named `queue.<queue>.0`, `subscription.<subscription>.0` or `events.0`, around the
// pure core in src/delivery/core/. It answers what OutboxCalls asks; what callers may expect is a value,
// nothing is thrown at them. The outbox of the events hands them on to those of the subscriptions; jobs of
// the others are published as pointers, or pulled.
//
// Rows written (they are most of the cost): a job 3 in its life, 4 with an idempotency key, and its share
// of a claim (1 per call) and of the outbox's own row (at most 1 a second). Bodies and answers cost none.
// An event is 4 rows, and 4 for each of its subscriptions.

import { DurableObject } from "cloudflare:workers";
import { acceptBatch } from "../src/delivery/core/accept.ts";
import { claimJobs } from "../src/delivery/core/claim.ts";
import { checkClaim, checkRenew, checkSettle } from "../src/delivery/core/consumer-requests.ts";
import { describeOutbox } from "../src/delivery/core/describe.ts";
import type { EventReplayReply } from "../src/delivery/core/event-replay.ts";
import { enable } from "../src/delivery/core/endpoint.ts";
import type { EnableReply, Pending, PullReply, PullRequest } from "../src/delivery/core/event-protocol.ts";
import { claimFollowers } from "../src/delivery/core/follow.ts";
import { SECRET_BYTES, parseJobId, parseOutboxName, secretOf } from "../src/delivery/core/job-id.ts";
import { renewLeases } from "../src/delivery/core/leases.ts";
import { cancelJob, listDead, readResult, readStatus, skipDead } from "../src/delivery/core/operate.ts";
import type {
  AcceptReply,
  AcceptRequest,
  CancelReply,
  CancelRequest,
  ClaimReply,
  ClaimRequest,
  DeadReply,
  DeadRequest,
  OutboxCalls,
  OutboxDescription,
  RenewReply,
  RenewRequest,
  ReplayReply,
  ReplayRequest,
  ResultReply,
  ResultRequest,
  SettleReply,
  SettleRequest,
  SkipReply,
  StatusReply,
} from "../src/delivery/core/protocol.ts";
import { pullJobs } from "../src/delivery/core/pull.ts";
import { beginReplay } from "../src/delivery/core/replay.ts";
import {
  checkAccept,
  checkCancel,
  checkDead,
  checkPull,
  checkReplay,
  checkResult,
} from "../src/delivery/core/requests.ts";
import { addressEvents } from "../src/delivery/core/routes.ts";
import { settleJob } from "../src/delivery/core/settle.ts";
import type { Failpoint } from "./outbox/failpoints.ts";
import { Keeper, type OutboxBindings } from "./outbox/keeper.ts";

/** Of the 10 GB that an object may store: above, nothing more is taken in. */
export const MAX_DATABASE_BYTES = 8_000_000_000;

export class Outbox extends DurableObject<OutboxBindings> implements OutboxCalls {
  readonly #keeper: Keeper;

  constructor(ctx: DurableObjectState, env: OutboxBindings) {
    super(ctx, env);
    const name = parseOutboxName(ctx.id.name ?? "");
    if (name === null) throw new Error(`no outbox is named ${String(ctx.id.name)}`);
    this.#keeper = new Keeper(name, ctx, () => this.env);
  }

  /** Takes jobs in; see `AcceptOutcome`. What is `accepted` is stored when the answer leaves. */
  async accept(input: AcceptRequest): Promise<AcceptReply> {
    const checked = checkAccept(input);
    if (checked.kind === "malformed") return checked;
    const { book, reads, handOver, failpoints } = this.#keeper;
    const { request } = checked;
    const learnt = handOver?.learn(request.subscriptions, request.config) ?? [];
    const batch =
      handOver === null ? request : addressEvents(request, request.subscriptions ?? handOver.told);
    const { reply, writes } = acceptBatch(book, batch, {
      reads,
      now: Date.now(),
      makeSecret: () => secretOf(crypto.getRandomValues(new Uint8Array(SECRET_BYTES))),
      hasRoom: this.ctx.storage.sql.databaseSize < MAX_DATABASE_BYTES,
    });
    this.#keeper.commit([...learnt, ...writes]);
    failpoints.pass("after_commit");
    return reply;
  }

  /** Leases jobs to a consumer. */
  async claim(input: ClaimRequest): Promise<ClaimReply> {
    const checked = checkClaim(input);
    if (checked.kind === "malformed") return checked;
    const { book, reads } = this.#keeper;
    const { outcomes, writes } = claimJobs(book, checked.request, { reads, now: Date.now() });
    this.#keeper.commit(writes);
    return { kind: "answered", outcomes };
  }

  /** Leases the oldest events to whoever pulls. */
  async pull(input: PullRequest): Promise<PullReply> {
    const checked = checkPull(input);
    if (checked.kind === "malformed") return checked;
    const { book, reads } = this.#keeper;
    const { reply, writes } = pullJobs(book, checked.request, reads, Date.now());
    this.#keeper.commit(writes);
    return reply;
  }

  /** Prolongs the leases of whoever is not done yet. */
  async renew(input: RenewRequest): Promise<RenewReply> {
    const checked = checkRenew(input);
    if (checked.kind === "malformed") return checked;
    const { book, reads } = this.#keeper;
    const { held, writes } = renewLeases(book, checked.request, reads, Date.now());
    this.#keeper.commit(writes);
    return { kind: "answered", held };
  }

  /** Hears how deliveries went. */
  async settle(input: SettleRequest): Promise<SettleReply> {
    const checked = checkSettle(input);
    if (checked.kind === "malformed") return checked;
    const { book, reads, failpoints } = this.#keeper;
    const context = { reads, now: Date.now(), random: () => Math.random() };
    const { settlements, next } = checked.request;
    const settled = settlements.map((each) => settleJob(book, each, context));
    const outcomes = settled.map(({ outcome }) => outcome);
    const { jobs, writes } = claimFollowers(book, outcomes, next, context);
    this.#keeper.commit([...settled.flatMap((each) => each.writes), ...writes]);
    failpoints.pass("after_settle");
    return { kind: "answered", outcomes, next: jobs };
  }

  async status(id: string): Promise<StatusReply> {
    const { book, reads } = this.#keeper;
    return readStatus(book, reads, id, Date.now());
  }

  /** The upstream's answer, waiting for it if asked to. */
  async result(input: ResultRequest): Promise<ResultReply> {
    const checked = checkResult(input);
    if (checked.kind === "malformed") return checked;
    const { id, waitMs } = checked.request;
    const { book, reads, endings } = this.#keeper;
    const now = readResult(book, reads, id, Date.now());
    if (now.kind !== "none" || now.job.endedAt !== null || waitMs === 0) return now;
    await endings.changed(parseJobId(id)?.seq ?? 0, waitMs);
    return readResult(book, reads, id, Date.now());
  }

  async cancel(input: CancelRequest): Promise<CancelReply> {
    const checked = checkCancel(input);
    if (checked.kind === "malformed") return checked;
    const { book, reads } = this.#keeper;
    const { reply, writes } = cancelJob(book, reads, checked.request, Date.now());
    this.#keeper.commit(writes);
    return reply;
  }

  async skip(id: string): Promise<SkipReply> {
    const { book, reads } = this.#keeper;
    const { reply, writes } = skipDead(book, reads, id, Date.now());
    this.#keeper.commit(writes);
    return reply;
  }

  async dead(input: DeadRequest): Promise<DeadReply> {
    const checked = checkDead(input);
    if (checked.kind === "malformed") return checked;
    return listDead(this.#keeper.book, this.#keeper.reads, checked.request);
  }

  async replay(input: ReplayRequest): Promise<ReplayReply> {
    const checked = checkReplay(input);
    if (checked.kind === "malformed") return checked;
    const { book, reads } = this.#keeper;
    const { reply, writes } = beginReplay(book, reads, checked.request, Date.now());
    this.#keeper.commit(writes);
    return reply;
  }

  async replayEvents(subscription: string, input: ReplayRequest): Promise<EventReplayReply> {
    const checked = checkReplay(input);
    if (checked.kind === "malformed") return checked;
    const reply = this.#keeper.handOver?.replays.begin(subscription, checked.request);
    return reply ?? { kind: "no-events" };
  }

  /** Lets a webhook's receiver have events again; what it was disabled for, null: it was not. */
  async enable(): Promise<EnableReply> {
    const { book } = this.#keeper;
    const reply = { kind: "enabled" as const, was: book.endpoint.disabled, deadRows: book.deadRows };
    this.#keeper.commit(enable(book));
    return reply;
  }

  async describe(): Promise<OutboxDescription> {
    const { book, handOver, sequels } = this.#keeper;
    const described = describeOutbox(book, Date.now());
    if (sequels !== null) return { ...described, sequels: sequels.describe() };
    return handOver === null ? described : { ...described, pending: handOver.pending() };
  }

  async pending(subscription: string): Promise<Pending | null> {
    return this.#keeper.handOver?.pendingFor(subscription) ?? null;
  }

  async wake(): Promise<boolean> {
    return this.#keeper.watch();
  }

  /** Kills this object once it passes there (after `survived` times); only in local development. */
  async failAt(name: Failpoint, survived = 0): Promise<boolean> {
    return this.#keeper.failpoints.set(name, survived);
  }

  override async alarm(): Promise<void> {
    await this.#keeper.wake(true);
  }
}
