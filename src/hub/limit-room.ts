// How much of a limit a region may still lease out, and what it claims for that. Soft: close to the limit
// regions may pass it by what they claimed at the same time.
//
//   est      = sum over regions of past + max(current, claimed + late)
//   own room = claimed + late - current - leased out
//   a claim  <= min(units - est,  SPREAD * w * (units - est + unheard) - unheard)
//
// A claim announces use before it happens and is sent to all peers at once; `unheard` is what has been
// claimed since they last answered, so a region does not claim again on numbers that its own claim made
// old. w is the region's part of what is used (flow-proportional shares, Raghavan et al., SIGCOMM 2007),
// never below FLOOR; a region that cannot be heard is taken to use its part. Without peers w is 1, and a
// regional limit has none. What is open and in no region's part is bid for (limit-bids.ts).

import type { SlidingWindow } from "../crdt/sliding-window.ts";
import { addToWindow, createSlidingWindow } from "../crdt/sliding-window.ts";
import { spanAt } from "../crdt/timed-cells.ts";
import type { Hub } from "./hub.ts";
import { nextVersion } from "./hub.ts";
import type { Bid } from "./limit-bids.ts";
import { isGranted } from "./limit-bids.ts";
import { isNewcomer } from "./membership.ts";
import { isFresh, isGone, isIdle, versionHeardByAll } from "./peers.ts";
import type { LimitTerms } from "./protocol.ts";
import { weightsOf } from "./region-weights.ts";
import type { Cells, RegionUse } from "./window-cells.ts";
import { committedUnits, usesByRegion } from "./window-cells.ts";

/** Units that others use may turn out less than their part: claims may add up to this much. */
const SPREAD = 1.1;
/** With fewer left they add up to what there is, as good as whole units can: the rest is bid for. */
export const FEW_UNITS = 32;
const ROUNDED_UP = 0.25;
/** The part of a region that does not know yet which others there are. */
const NEWCOMER_PART = 0.1;
/** What others claim is known here after this; earlier, an own claim does not show that they are idle. */
const CLAIM_TRAVEL_MS = 130;
/** Peers hear of a claim at once when this part of what is left is unheard. */
const URGENT_PART = 0.1;

export interface Holder {
  /** Leased and not reported as used. */
  units: number;
  until: number;
  /** The number of the last answer, and what it gave. */
  answer: number;
  given: number;
}

export interface LimitBook {
  readonly cells: Cells;
  readonly used: string;
  /** null: regional. */
  readonly claimed: string | null;
  readonly holders: Map<string, Holder>;
  /** Own claims of the cell `claimCell`; what of them was won by bids and not leased, and bid in vain. */
  claimCell: number;
  claims: number;
  won: number;
  lost: number;
  /** Under way, in `claims` already. */
  bid: Bid | null;
  /** Whether the last ask got nothing that it may get once peers have answered. */
  waits: boolean;
  /** Own claims, of whichever cell, that not every peer has heard of. */
  unheard: { readonly version: number; readonly units: number; readonly at: number }[];
  /** Asks answered so far: an answer's number. */
  answers: number;
}

export interface View {
  readonly own: RegionUse;
  /** Units in the window over all regions, used ones alone. */
  readonly used: number;
  /** Of other regions, the same with what they have claimed, or may use without being heard. */
  readonly foreign: number;
  /** Of that, what regions may use that have had nothing to say for a while. */
  readonly idle: number;
  /** The same as `foreign` by region, without what is not heard. */
  readonly others: ReadonlyMap<string, number>;
  readonly weight: number;
  /** Whether there may be regions that have not been met yet. */
  readonly isNewcomer: boolean;
}

export interface Room {
  /** Units that could be leased out, with all that may be claimed. */
  readonly units: number;
  /** Units used or leased in the current cell that are not covered by the claims of the one before. */
  readonly covered: number;
  readonly claimed: number;
  /** Left of the limit for this region, claimed or not. */
  readonly left: number;
  /** Claimed by nobody. */
  readonly open: number;
  /** What could be had once peers have answered, `units` included. */
  readonly later: number;
  readonly view: View;
}

/**
 * How much the region may lease out now, beside the `reserved` units that isolates hold. `begins`: it has
 * waited for what other regions know, and does not wait any longer.
 */
export function roomOf(
  hub: Hub,
  book: LimitBook,
  terms: LimitTerms,
  reserved: number,
  begins: boolean,
  now: number,
): Room {
  const claimed = book.claimed === null ? 0 : takeClaims(hub, book, now);
  const view = viewOf(hub, book, terms, now);
  const { own } = view;
  const left = terms.units - view.foreign - own.past - own.current - reserved;
  const regional = { covered: 0, claimed: 0, left, open: 0, later: 0, view };
  if (book.claimed === null) return { ...regional, units: wholeUnits(left) };
  settleBid(hub, book, view, now);
  // Bids that are under way or lost are announced and nobody's to lease.
  const aside = book.lost + (book.bid?.units ?? 0);
  const covered = aside + own.current + reserved - own.late;
  // What is in use already is announced, whether there was room for it or not.
  const total = Math.max(claimed, covered);
  const open = terms.units - view.foreign - own.past - own.late - total;
  const unheard = view.isNewcomer ? total + own.late : unheardUnits(book) + total - claimed;
  const even = view.weight * (open + unheard);
  const share = left < FEW_UNITS ? even + ROUNDED_UP : SPREAD * even;
  const part = view.weight >= 1 ? open : share - unheard;
  const isBehind = view.isNewcomer || view.idle > 0;
  // Who does not know the others (yet, or any more) may begin: it has nothing that they do not know of.
  const least = begins && isBehind && unheard < 1 && open + view.idle >= 1 ? 1 : 0;
  const more = Math.max(least, wholeUnits(Math.min(open, part)));
  // What was won is there, whatever others have bid in vain.
  const units = wholeUnits(Math.min(total - covered + more, Math.max(left, book.won, least)));
  const isAnswerDue = view.weight < 1 && (unheard > 0 || isBehind);
  const bid = book.bid?.units ?? 0;
  const later = isAnswerDue ? Math.max(bid, total - covered + open + view.idle + bid) : units;
  return { units, covered, claimed, left, open, later, view };
}

/** Bids for `units`, if nothing stands against it but that they are in nobody's part. */
export function bidFor(hub: Hub, book: LimitBook, room: Room, units: number, now: number): boolean {
  const { claimed, covered, open, view } = room;
  if (book.claimed === null || book.bid !== null || book.unheard.length > 0 || view.isNewcomer) return false;
  if (view.weight >= 1 || open < units) return false;
  const version = announce(hub, book, book.claimed, Math.max(claimed, covered) + units - claimed, now);
  book.bid = { version, units, open, others: view.others };
  return true;
}

/** Claims what is needed for leasing out `units` more, as far as there is room. */
export function claimFor(hub: Hub, book: LimitBook, room: Room, units: number, now: number): void {
  if (book.claimed === null) return;
  const { claimed, covered } = room;
  const total = Math.max(claimed, covered + Math.min(units, Math.max(0, room.units)));
  if (total <= claimed) return;
  announce(hub, book, book.claimed, total - claimed, now);
  const isMuch = unheardUnits(book) >= URGENT_PART * Math.max(1, room.left);
  if (hub.peers.size > 0 && isMuch) hub.urgent = true;
}

/** Adds to the own claims; gives the version by which peers can hear of it. */
function announce(hub: Hub, book: LimitBook, name: string, units: number, now: number): number {
  const version = nextVersion(hub, now);
  addToWindow(windowOf(hub, name), now, book.cells.spanMs, hub.ephemeralSlot, units, version);
  book.claims += units;
  book.unheard.push({ version, units, at: now });
  return version;
}

function settleBid(hub: Hub, book: LimitBook, { others }: View, now: number): void {
  const { bid } = book;
  if (bid === null || bid.version > versionHeardByAll(hub, now)) return;
  if (isGranted(bid, hub.region, others)) book.won += bid.units;
  else book.lost += bid.units;
  book.bid = null;
}

/** A book's window of what was used, made if there was none. */
export function windowOf(hub: Hub, name: string): SlidingWindow {
  const known = windowIfAny(hub, name);
  if (known !== null) return known;
  const window = createSlidingWindow();
  hub.states.set(name, window);
  return window;
}

export function isWindow(state: unknown): state is SlidingWindow {
  return typeof state === "object" && state !== null && "kind" in state && state.kind === "sliding-window";
}

function viewOf(hub: Hub, book: LimitBook, terms: LimitTerms, now: number): View {
  const claims = book.claimed === null ? null : windowIfAny(hub, book.claimed);
  const uses = usesByRegion(windowOf(hub, book.used), claims, book.cells, now);
  const own = uses.get(hub.region) ?? { past: 0, current: 0, claimed: 0, late: 0 };
  const weights = weightsOf(hub, terms, uses, unheardUnits(book, now - CLAIM_TRAVEL_MS), now);
  let used = own.past + own.current;
  let foreign = 0;
  let idle = 0;
  const others = new Map<string, number>();
  for (const [region, use] of uses) {
    if (region === hub.region) continue;
    used += use.past + use.current;
    const units = committedUnits(use);
    foreign += units;
    others.set(region, units);
  }
  for (const peer of book.claimed === null ? [] : hub.peers.values()) {
    if (isFresh(peer, now) || isGone(peer, now)) continue;
    const known = uses.get(peer.region);
    const counted = known === undefined ? 0 : committedUnits(known);
    const reserved = Math.max(0, (weights.get(peer.region) ?? 0) * terms.units - counted);
    foreign += reserved;
    if (isIdle(peer, now)) idle += reserved;
  }
  const weight = weights.get(hub.region) ?? 1;
  const isAlone = book.claimed === null || !isNewcomer(hub, now);
  return {
    own,
    used,
    foreign,
    idle,
    others,
    weight: isAlone ? weight : Math.min(weight, NEWCOMER_PART),
    isNewcomer: !isAlone,
  };
}

/** Own claims in the current cell; forgets which of them are unheard once every peer has heard of them. */
function takeClaims(hub: Hub, book: LimitBook, now: number): number {
  const cell = spanAt(now, book.cells.spanMs);
  if (book.claimCell !== cell) {
    book.claimCell = cell;
    book.claims = 0;
    book.won = 0;
    book.lost = 0;
    book.bid = null;
  }
  const heardVersion = versionHeardByAll(hub, now);
  while (book.unheard.length > 0 && book.unheard[0].version <= heardVersion) book.unheard.shift();
  return book.claims;
}

/** Of the own claims that were made after `since`, those that not every peer has heard of. */
function unheardUnits(book: LimitBook, since = Number.NEGATIVE_INFINITY): number {
  return book.unheard.reduce((sum, { units, at }) => sum + (at > since ? units : 0), 0);
}

function windowIfAny(hub: Hub, name: string): SlidingWindow | null {
  const state = hub.states.get(name);
  return isWindow(state) ? state : null;
}

function wholeUnits(units: number): number {
  return Math.max(0, Math.floor(units));
}
