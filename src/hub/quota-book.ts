// A `capped` limit for one key and period, as the hub of one region keeps it: escrow. The region spends
// rights that it holds, on its own stored state, so no loss, duplicate, order or partition can make all
// regions together spend more than was minted. What an isolate leases counts as spent before it gets it.
//
// Rights come from the key's ledger as long as it has any, then from the region that has most left. Both are
// asked for before they are needed, and never by a request that waits.

import type { BoundedCounter } from "../crdt/bounded-counter.ts";
import {
  MINT,
  createBoundedCounter,
  returnRights,
  rightsOf,
  spendRights,
  takerOf,
  transferId,
  transferRights,
  usedRights,
} from "../crdt/bounded-counter.ts";
import { addToRow, cellAt } from "../crdt/cells.ts";
import type { SlotId } from "../crdt/slot-id.ts";
import { isSlotId, regionOf } from "../crdt/slot-id.ts";
import { spanAt } from "../crdt/timed-cells.ts";
import type { Demand } from "./demand.ts";
import { createDemand, demandPerSecond, noteDemand } from "./demand.ts";
import type { Hub } from "./hub.ts";
import { MAX_STATES, markChanged, nextVersion } from "./hub.ts";
import { quotaName } from "./names.ts";
import type { LeaseAnswer, LeaseAsk, LimitTerms } from "./protocol.ts";

/** Periods before the current one that are kept, for what comes late. */
export const PERIODS_KEPT = 1;
/** The next period's rights are asked for this long before it begins, at most a quarter of the period. */
export const NEXT_PERIOD_LEAD_MS = 3_000;
/** One isolate gets at most this part of its region's rights, unless it needs more for one request. */
const HOLDER_PART = 0.5;
/** A region asks for at most this part of the cap at a time, divided among the regions. */
const REFILL_PART = 0.25;
/** A region asks for more when it has less than its demand in so many seconds, and then for so much. */
const LOW_WATER_S = 2;
const HIGH_WATER_S = 8;
/** An isolate gets as much as it would use in so many seconds, if that is within its part. */
const LEASE_S = 4;
/** An isolate counts as interested for this long. */
const HOLDER_MS = 3_000;
const RETRY_MS = 100;
const SECOND_MS = 1_000;

export interface QuotaBook {
  /** Of the configuration with the greatest cap that asked in this period: rights are never taken back. */
  terms: LimitTerms;
  readonly period: number;
  /** When each isolate last asked. */
  readonly holders: Map<string, number>;
  /** Units asked for within the running second, and in the one before. */
  demand: Demand;
  /** The ledger has none left, as of this boot. */
  mintedOut: boolean;
  /** No region that could be asked had any to give; asked again after this. */
  givenUpUntil: number;
  refilling: boolean;
}

/** What a hub needs from outside so that a quota's next request finds rights. */
export type Refill = {
  readonly name: string;
  readonly terms: LimitTerms;
  readonly period: number;
  readonly slot: SlotId;
  readonly want: number;
  /** Rights minted to this slot so far, as the hub knows: the ledger tells a repeated request by it. */
  readonly minted: number;
} & ({ readonly from: "ledger" } | { readonly from: "peer"; readonly region: string });

/** Leases rights to an isolate; the state is stored before the answer leaves. */
export function leaseRights(hub: Hub, ask: LeaseAsk, session: string, now: number): LeaseAnswer {
  const { terms, need } = ask;
  const period = spanAt(now, terms.windowMs);
  const endsMs = (period + 1) * terms.windowMs - now;
  const book = quotaBookOf(hub, terms, period, now);
  const answer = { limit: terms.limit, key: terms.key, period, forMs: endsMs, resetMs: Math.ceil(endsMs) };
  if (book === null) return { ...answer, units: 0, used: terms.units, retryMs: endsMs };
  book.holders.set(session, now);
  noteDemand(book.demand, Math.max(need, ask.want), now);
  const name = nameOf(book);
  const counter = quotaOf(hub, name);
  const rights = rightsOf(counter, hub.durableSlot);
  const part = Math.floor((rights * HOLDER_PART) / Math.max(1, countHolders(book, now)));
  const fair = Math.max(need, Math.min(LEASE_S * ask.want - ask.held, part));
  const units = rights < need ? 0 : Math.min(rights, fair);
  if (units > 0) {
    spendRights(counter, hub.durableSlot, units, nextVersion(hub, now));
    markChanged(hub, name);
    hub.tally.leases++;
  }
  const isOver = book.mintedOut && book.givenUpUntil > now;
  return {
    ...answer,
    units,
    used: usedRights(counter),
    retryMs: units > 0 ? 0 : isOver ? Math.ceil(endsMs) : RETRY_MS,
  };
}

/** Takes back what an isolate leased and did not use. Called once per report. */
export function takeBackRights(
  hub: Hub,
  terms: LimitTerms,
  period: number,
  units: number,
  now: number,
): boolean {
  const name = quotaName(terms.windowMs, period, terms.limit, terms.key);
  const counter = hub.states.get(name);
  if (counter?.kind !== "bounded-counter") return false;
  const outcome = returnRights(counter, hub.durableSlot, units, nextVersion(hub, now));
  if (outcome === "added") markChanged(hub, name);
  return outcome === "added";
}

/** What is to be asked for now; each is marked as under way until `endRefill`. */
export function takeRefills(hub: Hub, now: number): Refill[] {
  const refills: Refill[] = [];
  // The next period's book, where one is opened on the way, is met later in the same walk.
  for (const [name, book] of hub.quotas) {
    addRefill(hub, name, book, now, refills);
    const next = (book.period + 1) * book.terms.windowMs;
    const leadMs = Math.min(NEXT_PERIOD_LEAD_MS, book.terms.windowMs / 4);
    if (now < next - leadMs || now >= next || countHolders(book, now) === 0) continue;
    const following = quotaBookOf(hub, book.terms, book.period + 1, now);
    if (following === null) continue;
    if (following.demand.units === 0) following.demand = { ...book.demand };
    if (!following.refilling) addRefill(hub, nameOf(following), following, now, refills);
  }
  return refills;
}

/** Whether rights of the current period are on their way. */
export function isRefilling(hub: Hub, terms: LimitTerms, now: number): boolean {
  const name = quotaName(terms.windowMs, spanAt(now, terms.windowMs), terms.limit, terms.key);
  return hub.quotas.get(name)?.refilling === true;
}

/** The ledger has answered: `total` rights minted to the slot in all, `left` still there. */
export function acceptMint(hub: Hub, refill: Refill, total: number, left: number, now: number): void {
  const counter = quotaOf(hub, refill.name);
  const row = transferId(MINT, refill.slot);
  const known = cellAt(counter.transfers, row, 0);
  if (total > known) {
    addToRow(counter.transfers, row, [total - known], nextVersion(hub, now));
    markChanged(hub, refill.name);
  }
  const book = hub.quotas.get(refill.name);
  if (book !== undefined && left <= 0) book.mintedOut = true;
}

/** A refill has ended, well or not. A peer that gave nothing is not asked again at once. */
export function endRefill(hub: Hub, refill: Refill, gave: boolean, now: number): void {
  const book = hub.quotas.get(refill.name);
  if (book === undefined) return;
  book.refilling = false;
  if (refill.from === "peer" && !gave) book.givenUpUntil = now + SECOND_MS;
}

/** Gives rights to another region's slot: half of what is not needed here. Stored before it is sent. */
export function giveRights(hub: Hub, name: string, to: string, want: number, now: number): number {
  const counter = hub.states.get(name);
  if (counter?.kind !== "bounded-counter" || !isSlotId(to) || to === hub.durableSlot) return 0;
  if (!Number.isSafeInteger(want) || want < 1) return 0;
  const rights = rightsOf(counter, hub.durableSlot);
  const book = hub.quotas.get(name);
  const needed = book === undefined ? 0 : demandPerSecond(book.demand, now);
  const spare = rights - Math.min(needed, Math.ceil(rights / 2));
  const units = Math.min(want, spare);
  if (units < 1) return 0;
  transferRights(counter, hub.durableSlot, to, units, nextVersion(hub, now));
  markChanged(hub, name);
  return units;
}

/** Forgets periods that are over. */
export function expireQuotas(hub: Hub, now: number): void {
  for (const name of hub.states.keys()) {
    if (!name.startsWith("q:") || !isOldQuota(name, now)) continue;
    hub.states.delete(name);
    hub.quotas.delete(name);
    hub.unstoredForeign.add(name);
  }
}

/** Whether the period of a quota, by its name, is over for longer than anything may come late. */
export function isOldQuota(name: string, now: number): boolean {
  const [, periodMs, period] = name.split(":", 3);
  return Number(period) < spanAt(now, Number(periodMs)) - PERIODS_KEPT;
}

function addRefill(hub: Hub, name: string, book: QuotaBook, now: number, refills: Refill[]): void {
  if (book.refilling || (book.mintedOut && book.givenUpUntil > now)) return;
  const counter = quotaOf(hub, name);
  const rights = rightsOf(counter, hub.durableSlot);
  const demand = demandPerSecond(book.demand, now);
  if (demand === 0 || rights >= LOW_WATER_S * demand + countHolders(book, now)) return;
  const regions = hub.peers.size + 1;
  const most = Math.max(1, Math.ceil((book.terms.units * REFILL_PART) / regions));
  const want = Math.min(most, Math.max(1, HIGH_WATER_S * demand - rights));
  const minted = cellAt(counter.transfers, transferId(MINT, hub.durableSlot), 0);
  const refill = { name, terms: book.terms, period: book.period, slot: hub.durableSlot, want, minted };
  if (!book.mintedOut) refills.push({ ...refill, from: "ledger" });
  else {
    const region = richestRegion(hub, counter);
    if (region === null) {
      book.givenUpUntil = now + SECOND_MS;
      return;
    }
    refills.push({ ...refill, from: "peer", region });
  }
  book.refilling = true;
}

/** The other region whose slots have most rights left, as far as is known here. */
function richestRegion(hub: Hub, counter: BoundedCounter): string | null {
  const holders = new Set([...counter.uses.ids, ...counter.transfers.ids.map(takerOf)]);
  const rights = new Map<string, number>();
  for (const holder of holders) {
    const region = regionOf(holder);
    if (!isSlotId(holder) || region === hub.region) continue;
    rights.set(region, (rights.get(region) ?? 0) + Math.max(0, rightsOf(counter, holder)));
  }
  const [richest] = [...rights].toSorted(([, left], [, right]) => right - left);
  return richest === undefined || richest[1] < 1 ? null : richest[0];
}

function quotaBookOf(hub: Hub, terms: LimitTerms, period: number, now: number): QuotaBook | null {
  const name = quotaName(terms.windowMs, period, terms.limit, terms.key);
  const known = hub.quotas.get(name);
  if (known !== undefined) {
    if (terms.units > known.terms.units) {
      known.terms = terms;
      known.mintedOut = false;
    }
    return known;
  }
  if (hub.states.size >= MAX_STATES) return null;
  const book: QuotaBook = {
    terms,
    period,
    holders: new Map(),
    demand: createDemand(now),
    mintedOut: false,
    givenUpUntil: Number.NEGATIVE_INFINITY,
    refilling: false,
  };
  hub.quotas.set(name, book);
  return book;
}

function nameOf({ terms, period }: QuotaBook): string {
  return quotaName(terms.windowMs, period, terms.limit, terms.key);
}

function quotaOf(hub: Hub, name: string): BoundedCounter {
  const known = hub.states.get(name);
  if (known?.kind === "bounded-counter") return known;
  const counter = createBoundedCounter();
  hub.states.set(name, counter);
  return counter;
}

function countHolders(book: QuotaBook, now: number): number {
  for (const [session, at] of book.holders) if (now - at > HOLDER_MS) book.holders.delete(session);
  return book.holders.size;
}
