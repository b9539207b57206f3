// A `regional` or `global` limit for one key, as the hub of one region keeps it: what its isolates have
// leased, and what the region may lease out. Soft: close to the limit regions may pass it by what they
// claimed at the same time.
//
//   est      = sum over regions of past + max(current, claimed)
//   own room = claimed - current - leased out
//   a claim  <= min(units - est,  SPREAD * w * (units - est + unheard) - unheard)
//
// A claim announces use before it happens and is sent to all peers at once; `unheard` is what has been
// claimed since they last answered, so a region does not claim again on numbers that its own claim made
// old. w is the region's part of what is used (flow-proportional shares, Raghavan et al., SIGCOMM 2007),
// never below FLOOR; a region that cannot be heard is taken to use its part. Without peers w is 1, and a
// regional limit has none.

import type { SlidingWindow } from "../crdt/sliding-window.ts";
import { addToWindow, createSlidingWindow, expireWindow } from "../crdt/sliding-window.ts";
import { spanAt } from "../crdt/timed-cells.ts";
import type { Hub } from "./hub.ts";
import { MAX_STATES, nextVersion } from "./hub.ts";
import { cellMsOf, claimedName, regionalName, usedName } from "./names.ts";
import { PEER_GONE_MS, isFresh, versionHeardByAll } from "./peers.ts";
import { isNewcomer } from "./membership.ts";
import type { LeaseAnswer, LeaseAsk, LimitTerms } from "./protocol.ts";
import { weightsOf } from "./region-weights.ts";
import type { Cells, RegionUse } from "./window-cells.ts";
import { CELLS_KEPT, cellsOf, totalsByCell, usesByRegion, waitUntilAtMost } from "./window-cells.ts";

/** A lease that is not renewed ends by itself. */
export const LEASE_MS = 3_000;
/** Cells are kept this much longer than the window needs: clock skew that is borne, and three rounds. */
export const WINDOW_GRACE_MS = 8_000;
/** Isolates that hold or held units of one key, at most. */
export const MAX_HOLDERS = 5_000;
/** Units that others use may turn out less than their part: claims may add up to this much. */
const SPREAD = 1.1;
/** The part of a region that does not know yet which others there are. */
const NEWCOMER_PART = 0.2;
/** Peers hear of a claim at once when this part of what is left is unheard. */
const URGENT_PART = 0.1;
/** One isolate gets at most this part of what its region has left, unless it needs more for one request. */
const HOLDER_PART = 0.5;
/** A claim that waits for peers to answer is tried again after this. */
const CLAIM_RETRY_MS = 50;

interface Holder {
  /** Leased and not reported as used. */
  units: number;
  until: number;
}

export interface LimitBook {
  readonly cells: Cells;
  readonly used: string;
  /** null: regional. */
  readonly claimed: string | null;
  readonly holders: Map<string, Holder>;
  /** The cell that `claims` are of. */
  claimCell: number;
  /** Own claims in it that not every peer has heard of: version and total after it. */
  claims: { readonly version: number; readonly total: number }[];
  heard: number;
}

/** The book of a limit and key; null when the hub keeps too many states already. */
export function limitBookOf(hub: Hub, terms: LimitTerms): LimitBook | null {
  const cells = cellsOf(terms.windowMs);
  const { limit, key } = terms;
  const regional = terms.consistency === "regional";
  const used = (regional ? regionalName : usedName)(cells.cellMs, limit, key);
  const known = hub.limits.get(used);
  if (known !== undefined) return known;
  if (hub.states.size >= MAX_STATES) return null;
  const claimed = regional ? null : claimedName(cells.cellMs, limit, key);
  const book: LimitBook = { cells, used, claimed, holders: new Map(), claimCell: -1, claims: [], heard: 0 };
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
  const { cellMs } = book.cells;
  const current = spanAt(now, cellMs);
  // Another clock may be ahead or behind: what it reports happened in this cell or in the one before.
  const cell = Math.min(current, Math.max(current - 1, spanAt(at, cellMs)));
  const window = windowOf(hub, book.used);
  addToWindow(window, cell * cellMs, cellMs, hub.ephemeralSlot, units, nextVersion(hub, now));
  const holder = book.holders.get(session);
  if (holder !== undefined) holder.units = Math.max(0, holder.units - units);
}

/** Answers an isolate that asks for units: as many as it gets, or when to ask again. */
export function leaseUnits(hub: Hub, ask: LeaseAsk, session: string, now: number): LeaseAnswer {
  const { terms, need } = ask;
  const answer = { limit: terms.limit, key: terms.key, forMs: LEASE_MS, period: 0 };
  const book = limitBookOf(hub, terms);
  if (book === null) return { ...answer, units: 0, used: terms.units, retryMs: LEASE_MS, resetMs: LEASE_MS };
  const others = reservedUnits(book, now, session);
  const holding = ask.held + ask.unreported;
  const room = makeRoom(hub, book, terms, others + holding, Math.max(need, 2 * ask.want), now);
  const { view } = room;
  const holders = book.holders.size + Number(!book.holders.has(session));
  const part = Math.floor((room.units * HOLDER_PART) / holders);
  const fair = Math.max(need, Math.min(2 * ask.want - ask.held, part));
  const units = room.units < need ? 0 : Math.max(0, Math.min(room.units, fair));
  if (book.holders.size < MAX_HOLDERS || book.holders.has(session)) {
    book.holders.set(session, { units: holding + units, until: now + LEASE_MS });
  }
  hub.tally.leases++;
  const used = windowOf(hub, book.used);
  const totals = totalsByCell(used, book.cells, now);
  const inWindow = view.used;
  return {
    ...answer,
    units,
    used: inWindow,
    resetMs: inWindow < 1 ? 0 : waitUntilAtMost(totals, book.cells, now, Math.ceil(inWindow) - 1),
    retryMs: units > 0 ? 0 : retryAfter(room, totals, book, terms.units - need, now),
  };
}

/** Forgets leases that ended and cells that are over, of limits used here or elsewhere. */
export function expireLimits(hub: Hub, now: number): void {
  for (const [name, state] of hub.states) {
    if (isWindow(state) && isEmptyAfter(state, cellMsOf(name), now)) hub.states.delete(name);
  }
  for (const [name, book] of hub.limits) {
    for (const [session, holder] of book.holders) if (holder.until <= now) book.holders.delete(session);
    const isInUse = hub.states.has(name) || (book.claimed !== null && hub.states.has(book.claimed));
    if (!isInUse && book.holders.size === 0) hub.limits.delete(name);
  }
}

/** Drops expired cells of a window that came from elsewhere or is kept here; whether nothing is left. */
export function isEmptyAfter(window: SlidingWindow, cellMs: number, now: number): boolean {
  expireWindow(window, now, cellMs, WINDOW_GRACE_MS, CELLS_KEPT);
  return window.timed.spans.length === 0;
}

interface View {
  readonly own: RegionUse;
  /** Units in the window over all regions, used ones alone. */
  readonly used: number;
  /** The same with what others have claimed, or may use without being heard. */
  readonly foreign: number;
  readonly weight: number;
  /** Whether there may be regions that have not been met yet. */
  readonly isNewcomer: boolean;
}

interface Room {
  readonly units: number;
  /** Whether more could be had once peers have answered. */
  readonly waitsForPeers: boolean;
  readonly view: View;
}

/** How much the region may lease out now; claims up to `goal` where it has too little. */
function makeRoom(
  hub: Hub,
  book: LimitBook,
  terms: LimitTerms,
  reserved: number,
  goal: number,
  now: number,
): Room {
  const view = viewOf(hub, book, terms, now);
  const { own } = view;
  const left = terms.units - view.foreign - own.past - own.current - reserved;
  if (book.claimed === null) return { units: wholeUnits(left), waitsForPeers: false, view };
  const claimed = takeClaims(hub, book, now);
  const covered = own.current + reserved;
  let total = claimed;
  // What is in use already is announced, whether there was room for it or not.
  if (covered > total) total = covered;
  let waitsForPeers = false;
  if (total - covered < goal) {
    const open = terms.units - view.foreign - own.past - total;
    const unheard = view.isNewcomer ? total : Math.max(0, total - book.heard);
    const part = view.weight >= 1 ? open : SPREAD * view.weight * (open + unheard) - unheard;
    const more = Math.floor(Math.min(goal - (total - covered), open, part));
    if (more > 0) total += more;
    waitsForPeers = open >= 1 && unheard > 0 && view.weight < 1;
  }
  if (total > claimed) claimUnits(hub, book, claimed, total, left, now);
  return { units: wholeUnits(Math.min(total - covered, left)), waitsForPeers, view };
}

function viewOf(hub: Hub, book: LimitBook, terms: LimitTerms, now: number): View {
  const claims = book.claimed === null ? null : windowIfAny(hub, book.claimed);
  const uses = usesByRegion(windowOf(hub, book.used), claims, book.cells, hub.region, now);
  const own = uses.get(hub.region) ?? { past: 0, current: 0, claimed: 0 };
  const weights = weightsOf(hub, terms, uses, now);
  let used = own.past + own.current;
  let foreign = 0;
  for (const [region, use] of uses) {
    if (region === hub.region) continue;
    used += use.past + use.current;
    foreign += use.past + Math.max(use.current, use.claimed);
  }
  for (const peer of book.claimed === null ? [] : hub.peers.values()) {
    if (isFresh(peer, now) || now - peer.heardAt > PEER_GONE_MS) continue;
    const known = uses.get(peer.region);
    const counted = known === undefined ? 0 : known.past + Math.max(known.current, known.claimed);
    foreign += Math.max(0, (weights.get(peer.region) ?? 0) * terms.units - counted);
  }
  const weight = weights.get(hub.region) ?? 1;
  const isAlone = book.claimed === null || !isNewcomer(hub, now);
  return {
    own,
    used,
    foreign,
    weight: isAlone ? weight : Math.min(weight, NEWCOMER_PART),
    isNewcomer: !isAlone,
  };
}

/** Own claims in the current cell; forgets those that every peer has heard of. */
function takeClaims(hub: Hub, book: LimitBook, now: number): number {
  const cell = spanAt(now, book.cells.cellMs);
  if (book.claimCell !== cell) {
    book.claimCell = cell;
    book.claims = [];
    book.heard = 0;
  }
  const heardVersion = versionHeardByAll(hub, now);
  while (book.claims.length > 0 && book.claims[0].version <= heardVersion) {
    book.heard = book.claims[0].total;
    book.claims.shift();
  }
  return book.claims.at(-1)?.total ?? book.heard;
}

function claimUnits(
  hub: Hub,
  book: LimitBook,
  before: number,
  total: number,
  left: number,
  now: number,
): void {
  if (book.claimed === null) return;
  const version = nextVersion(hub, now);
  const { cellMs } = book.cells;
  addToWindow(windowOf(hub, book.claimed), now, cellMs, hub.ephemeralSlot, total - before, version);
  book.claims.push({ version, total });
  if (hub.peers.size > 0 && total - book.heard >= URGENT_PART * Math.max(1, left)) hub.urgent = true;
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
  if (room.waitsForPeers) return CLAIM_RETRY_MS;
  // What others claimed counts as if it were used now.
  const unseen = room.view.foreign + room.view.own.past + room.view.own.current - room.view.used;
  const shown = totals.slice();
  shown[shown.length - 1] += Math.max(0, unseen);
  return Math.max(CLAIM_RETRY_MS, waitUntilAtMost(shown, book.cells, now, units));
}

function wholeUnits(units: number): number {
  return Math.max(0, Math.floor(units));
}

function windowOf(hub: Hub, name: string): SlidingWindow {
  const known = windowIfAny(hub, name);
  if (known !== null) return known;
  const window = createSlidingWindow();
  hub.states.set(name, window);
  return window;
}

function windowIfAny(hub: Hub, name: string): SlidingWindow | null {
  const state = hub.states.get(name);
  return isWindow(state) ? state : null;
}

function isWindow(state: unknown): state is SlidingWindow {
  return typeof state === "object" && state !== null && "kind" in state && state.kind === "sliding-window";
}
