// A `regional` or `global` limit for one key, as the hub of one region keeps it: what was used, what its
// isolates have leased, and what the next one gets of the room that limit-room.ts finds.

import type { SlidingWindow } from "../crdt/sliding-window.ts";
import { addToWindow, expireWindow } from "../crdt/sliding-window.ts";
import { spanAt } from "../crdt/timed-cells.ts";
import type { Hub } from "./hub.ts";
import { MAX_STATES, nextVersion } from "./hub.ts";
import type { Holder, LimitBook, Room } from "./limit-room.ts";
import { FEW_UNITS, bidFor, claimFor, isWindow, roomOf, windowOf } from "./limit-room.ts";
import { cellMsOf, claimedName, regionalName, usedName } from "./names.ts";
import { arePeersNear } from "./peers.ts";
import type { LeaseAnswer, LeaseAsk, LimitTerms } from "./protocol.ts";
import { CELLS_KEPT, LATE_MS, SPANS_KEPT, cellsOf, totalsByCell, waitUntilAtMost } from "./window-cells.ts";

/** A lease that is not renewed ends by itself. */
export const LEASE_MS = 3_000;
/** Cells are kept this much longer than the window needs: clock skew that is borne, and three rounds. */
export const WINDOW_GRACE_MS = 8_000;
/** Isolates that hold or held units of one key, at most. */
export const MAX_HOLDERS = 5_000;
/** One isolate gets at most this part of what its region has left, unless it needs more for one request. */
const HOLDER_PART = 0.5;
/** Of what is left, an isolate of one of several regions is leased at most this part ahead of need. */
const AHEAD_PART = 0.1;
/** A claim that waits for peers to answer is tried again after this. */
const CLAIM_RETRY_MS = 50;

/** The book of a limit and key; null when the hub keeps too many states already. */
export function limitBookOf(hub: Hub, terms: LimitTerms): LimitBook | null {
  const cells = cellsOf(terms.windowMs);
  const { limit, key } = terms;
  const regional = terms.consistency === "regional";
  const used = (regional ? regionalName : usedName)(cells.cellMs, limit, key);
  const known = hub.limits.get(used);
  if (known !== undefined) return known;
  if (hub.states.size >= MAX_STATES) return null;
  const claimed = regional ? null : claimedName(cells.spanMs, limit, key);
  const book: LimitBook = {
    cells,
    used,
    claimed,
    holders: new Map(),
    claimCell: -1,
    claims: 0,
    won: 0,
    lost: 0,
    bid: null,
    waits: false,
    unheard: [],
    answers: 0,
  };
  hub.limits.set(used, book);
  return book;
}

/** Counts units that an isolate has used; they were leased, or are taken note of. */
export function noteUse(
  hub: Hub,
  terms: LimitTerms,
  session: string,
  at: number,
  units: number,
  now: number,
) {
  const book = limitBookOf(hub, terms);
  if (book === null) return;
  const { cellMs, spanMs } = book.cells;
  // Another clock may be ahead or behind: what it reports happened lately.
  const usedAt = Math.min(now, Math.max(now - Math.max(spanMs, LATE_MS), at));
  const cell = spanAt(usedAt, cellMs);
  const window = windowOf(hub, book.used);
  addToWindow(window, cell * cellMs, cellMs, hub.ephemeralSlot, units, nextVersion(hub, now));
  const holder = book.holders.get(session);
  // What has left the window was no part of what it said to hold.
  const isInside = usedAt > now - terms.windowMs;
  if (holder !== undefined && isInside) holder.units = Math.max(0, holder.units - units);
}

/**
 * Answers an isolate that asks for units: as many as it gets, or when to ask again. `begins`: it has waited
 * for other regions long enough.
 */
export function leaseUnits(
  hub: Hub,
  ask: LeaseAsk,
  session: string,
  now: number,
  begins = false,
): LeaseAnswer {
  const { terms, need } = ask;
  const answer = { limit: terms.limit, key: terms.key, forMs: LEASE_MS, period: 0 };
  const book = limitBookOf(hub, terms);
  // A key that cannot be followed is not counted: who makes up keys must not shut out everybody who is new.
  if (book === null) {
    const units = need > terms.units ? 0 : Math.max(need, Math.min(ask.want, terms.units));
    return { ...answer, units, used: 0, retryMs: units > 0 ? 0 : LEASE_MS, resetMs: LEASE_MS };
  }
  const others = reservedUnits(book, now, session);
  const holder = book.holders.get(session);
  const holding = ask.held + unreportedUnits(hub, ask, session) + unseenUnits(ask, holder);
  const room = roomOf(hub, book, terms, others + holding, begins || !arePeersNear(hub, now), now);
  const { view } = room;
  const holders = book.holders.size + Number(holder === undefined);
  const isShort = view.weight < 1 && room.left < FEW_UNITS * need;
  const part = Math.floor((room.units * (isShort ? 1 : HOLDER_PART)) / holders);
  // Where few are left, what one isolate holds and does not use is what another region is refused.
  const want = isShort ? wantOfFew(hub, ask, part, now) : wantAhead(ask, room);
  const fair = isShort && want === 0 ? 0 : Math.max(need, Math.min(want, part));
  const units = room.units < need ? 0 : Math.min(room.units, fair);
  const isWanted = fair > 0;
  if (isWanted) claimFor(hub, book, room, Math.max(units, need), now);
  book.waits = isWanted && units === 0 && (bidFor(hub, book, room, need, now) || room.later >= need);
  if (book.waits) hub.awaited = true;
  book.won = Math.max(0, book.won - units);
  book.answers++;
  if (holder !== undefined || book.holders.size < MAX_HOLDERS) {
    const until = now + LEASE_MS;
    book.holders.set(session, { units: holding + units, until, answer: book.answers, given: units });
  }
  hub.tally.leases++;
  const used = windowOf(hub, book.used);
  const totals = totalsByCell(used, book.cells, now);
  const inWindow = view.used;
  return {
    ...answer,
    units,
    answer: book.answers,
    used: inWindow,
    resetMs: inWindow < 1 ? 0 : waitUntilAtMost(totals, book.cells, now, Math.ceil(inWindow) - 1),
    retryMs: units > 0 || !isWanted ? 0 : retryAfter(room, totals, book, terms.units - need, now),
  };
}

/** Whether the last ask for the limit and key would have got more once peers have answered. */
export function waitsForPeers(hub: Hub, terms: LimitTerms): boolean {
  const cells = cellsOf(terms.windowMs);
  return hub.limits.get(usedName(cells.cellMs, terms.limit, terms.key))?.waits === true;
}

/** What is leased ahead of need: in several regions no more than a part of what is left for all. */
function wantAhead({ want, held, waiting = 0 }: LeaseAsk, { left, view }: Room): number {
  const most = view.weight < 1 ? Math.max(waiting, AHEAD_PART * left) : Number.POSITIVE_INFINITY;
  return Math.floor(Math.min(2 * want - held, most));
}

/**
 * Of few units: what requests wait for; and a little ahead where other regions are too far to be asked
 * again.
 */
function wantOfFew(hub: Hub, { need, waiting = need }: LeaseAsk, part: number, now: number): number {
  return waiting === 0 || arePeersNear(hub, now) ? waiting : Math.max(waiting, Math.floor(part / 2));
}

/** What the isolate used and no report that is applied has said. */
function unreportedUnits(hub: Hub, { unreported, seq, inFlight = 0 }: LeaseAsk, session: string): number {
  const applied = hub.sessions.get(session)?.seq ?? 0;
  if (seq === undefined || applied < seq) return unreported;
  // A report that is newer than the ask says all of it.
  return applied > seq ? 0 : Math.max(0, unreported - inFlight);
}

/** What the last answer gave, if it had not arrived when this was asked. */
function unseenUnits({ seen }: LeaseAsk, holder: Holder | undefined): number {
  return holder === undefined || seen === undefined || seen === holder.answer ? 0 : holder.given;
}

/** Forgets leases that ended and cells that are over, of limits used here or elsewhere. */
export function expireLimits(hub: Hub, now: number): void {
  for (const [name, state] of hub.states) {
    if (isWindow(state) && isEmptyAfter(state, name, now)) hub.states.delete(name);
  }
  for (const [name, book] of hub.limits) {
    for (const [session, holder] of book.holders) if (holder.until <= now) book.holders.delete(session);
    const isInUse = hub.states.has(name) || (book.claimed !== null && hub.states.has(book.claimed));
    if (!isInUse && book.holders.size === 0) hub.limits.delete(name);
  }
}

/** Cells of a window, by its name, that are kept before the current one. */
export function keptOf(name: string): number {
  return name.startsWith("k:") ? SPANS_KEPT : CELLS_KEPT;
}

/** Drops expired cells of a window that came from elsewhere or is kept here; whether nothing is left. */
export function isEmptyAfter(window: SlidingWindow, name: string, now: number): boolean {
  expireWindow(window, now, cellMsOf(name), WINDOW_GRACE_MS, keptOf(name));
  return window.timed.spans.length === 0;
}

/** Units that isolates other than `session` hold. */
function reservedUnits(book: LimitBook, now: number, session: string): number {
  let units = 0;
  for (const [id, holder] of book.holders) {
    if (holder.until <= now) book.holders.delete(id);
    else if (id !== session) units += holder.units;
  }
  return units;
}

function retryAfter(room: Room, totals: number[], book: LimitBook, units: number, now: number): number {
  if (book.waits) return CLAIM_RETRY_MS;
  // What others claimed counts as if it were used now.
  const unseen = room.view.foreign + room.view.own.past + room.view.own.current - room.view.used;
  const shown = totals.slice();
  shown[shown.length - 1] += Math.max(0, unseen);
  return Math.max(CLAIM_RETRY_MS, waitUntilAtMost(shown, book.cells, now, units));
}
