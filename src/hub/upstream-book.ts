// One upstream as the hub of a region keeps it: its breaker, the calls that go to other regions, and what the
// isolates hold of it at the moment.
//
// A region's verdict is its own. What others count only lowers the number of calls that it takes to open
// here, and only while there is no good evidence of its own:
//
//   suspect  =  two regions or more, and half of those with enough calls, see it fail on the far side
//
// (failures on the near side of the wire never vote). Phase, open time and strikes are stored with each
// change, as this region's row of a register that every region gets: so they survive a deploy, and all
// regions see them.

import { addCalls, createCallVectors, expireCalls, sumCalls } from "../crdt/call-vectors.ts";
import type { CallCounts, CallVectors } from "../crdt/call-vectors.ts";
import { nextStamp } from "../crdt/hybrid-clock.ts";
import type { LwwRegister } from "../crdt/lww-register.ts";
import { createLwwRegister, writeRegister } from "../crdt/lww-register.ts";
import { regionOf } from "../crdt/slot-id.ts";
import { compareStamps } from "../crdt/hybrid-clock.ts";
import { createRamp } from "../resilience/breaker-ramp.ts";
import { createProbeLeases } from "../resilience/probe-leases.ts";
import type { BreakerState } from "../resilience/breaker-state.ts";
import { nextRandom } from "../resilience/random.ts";
import type { Hub } from "./hub.ts";
import { MAX_STATES, markChanged, nextVersion, putState } from "./hub.ts";
import { callsName, statusName } from "./names.ts";
import { SESSION_PRESENT_MS, countIsolates } from "./sessions.ts";
import type { RegionBreaker } from "./region-breaker.ts";
import {
  PROBE_NEWS_MS,
  PROBE_START_MS,
  advanceRegionBreaker,
  createRegionBreaker,
  isHealthyHere,
  leaseProbe,
  noteCalls,
  noteIsolates,
  noteProbe,
  noteProbeStart,
  promiseProbe,
} from "./region-breaker.ts";
import { verdictOf } from "./region-verdict.ts";
import type {
  BreakerStatus,
  CallsEntry,
  UpstreamAsk,
  UpstreamGauges,
  UpstreamTerms,
  UpstreamVerdict,
} from "./upstream-protocol.ts";

/** Regions exchange calls in slots of a second, over the last ten. */
export const CALL_SLOT_MS = 1_000;
export const CALL_SLOTS = 10;
/** Slots are kept this much longer: clock skew that is borne, and three rounds. */
const CALL_GRACE_MS = 8_000;
/** Calls of a region that make its word about an upstream count. */
const VOTING_CALLS = 20;
const BAD_RATE = 0.5;
/** Upstreams that one hub follows, at most. */
export const MAX_UPSTREAMS = 1_000;

export interface UpstreamBook {
  terms: UpstreamTerms;
  region: RegionBreaker;
  readonly gauges: Map<string, { readonly at: number; readonly gauges: UpstreamGauges }>;
  /** The generation that is stored, and until when it is open; null: it is not. */
  storedGeneration: number;
  storedUntil: number | null;
}

/** Takes what an isolate reports of its calls. Part of applying a batch: once. */
export function noteReportedCalls(hub: Hub, session: string, entry: CallsEntry, now: number): void {
  const book = upstreamBookOf(hub, entry.terms, now);
  if (book === null) return;
  shareCalls(hub, entry, now);
  const random = nextRandom(hub.random);
  noteIsolates(book.region, countIsolates(hub, now));
  noteCalls(book.region, session, entry, isSuspect(hub, book, now), now, random);
  // A probe is one of the generation that leased it.
  const { generation, started, terms } = entry;
  if (started !== 0) noteProbeStart(book.region, generation, started, terms.probeMs + PROBE_NEWS_MS, now);
  for (const { lease, good } of entry.probes) {
    noteProbe(book.region, generation, lease, good, now, random);
  }
  storeStatus(hub, book, now);
}

/** What an isolate is told about an upstream that it has traffic for. */
export function answerUpstreamAsk(
  hub: Hub,
  session: string,
  ask: UpstreamAsk,
  now: number,
): UpstreamVerdict | null {
  const book = upstreamBookOf(hub, ask.terms, now);
  if (book === null) return null;
  book.gauges.set(session, { at: now, gauges: ask.gauges });
  advanceRegionBreaker(book.region, now);
  const lease = ask.wantsLease ? leaseTo(book.region, now) : 0;
  storeStatus(hub, book, now);
  const verdict = verdictOf(book.region, lease, PROBE_START_MS, now);
  const leaseMs = lease === 0 ? 0 : verdict.openForMs + PROBE_START_MS;
  return { upstream: ask.terms.upstream, ...verdict, leaseMs };
}

function leaseTo(region: RegionBreaker, now: number): number {
  return promiseProbe(region, now) || leaseProbe(region, PROBE_START_MS + PROBE_NEWS_MS, now);
}

/** Moves on what only time moves, and forgets what is over. */
export function expireUpstreams(hub: Hub, now: number): void {
  for (const [upstream, book] of hub.upstreams) {
    advanceRegionBreaker(book.region, now);
    storeStatus(hub, book, now);
    for (const [session, { at }] of book.gauges) {
      if (now - at > SESSION_PRESENT_MS) book.gauges.delete(session);
    }
    const vectors = hub.states.get(callsName(upstream));
    if (vectors?.kind === "call-vectors") expireCalls(vectors, now, CALL_SLOT_MS, CALL_SLOTS, CALL_GRACE_MS);
  }
}

/** Calls of the last ten seconds by region. */
export function callsByRegion(hub: Hub, upstream: string, now: number): Map<string, CallCounts> {
  const vectors = hub.states.get(callsName(upstream));
  const sums = new Map<string, CallCounts>();
  if (vectors?.kind !== "call-vectors") return sums;
  const regions = new Set(vectors.timed.spans.flatMap((span) => span.cells.ids.map(regionOf)));
  for (const region of regions) {
    sums.set(
      region,
      sumCalls(vectors, now, CALL_SLOT_MS, CALL_SLOTS, (writer) => regionOf(writer) === region),
    );
  }
  return sums;
}

/** The breaker of each region, as far as this one has heard. */
export function statusByRegion(hub: Hub, upstream: string): Map<string, BreakerStatus> {
  const statuses = new Map<string, BreakerStatus>();
  const register = hub.states.get(statusName(upstream));
  if (register?.kind !== "lww-register") return statuses;
  const writes = [...register.writes].toSorted(([, left], [, right]) =>
    compareStamps(left.stamp, right.stamp),
  );
  for (const [writer, { value }] of writes) {
    const status = value === null ? null : parseStatus(value);
    if (status !== null) statuses.set(regionOf(writer), status);
  }
  return statuses;
}

/** Whether other regions see an upstream fail that this one has no good evidence of its own about. */
export function isSuspect(hub: Hub, { terms, region }: UpstreamBook, now: number): boolean {
  if (isHealthyHere(region, now)) return false;
  let seen = 0;
  let bad = 0;
  for (const { ok, failRemote, failLocal } of callsByRegion(hub, terms.upstream, now).values()) {
    const calls = ok + failRemote + failLocal;
    if (calls < VOTING_CALLS) continue;
    seen++;
    if (failRemote >= BAD_RATE * calls) bad++;
  }
  return bad >= 2 && bad >= seen / 2;
}

function upstreamBookOf(hub: Hub, terms: UpstreamTerms, now: number): UpstreamBook | null {
  const known = hub.upstreams.get(terms.upstream);
  if (known !== undefined) {
    // Two configurations may be in force for a while; the breaker's numbers are those heard last.
    if (!sameOptions(known.terms, terms)) changeTerms(known, terms);
    return known;
  }
  if (hub.upstreams.size >= MAX_UPSTREAMS || hub.states.size >= MAX_STATES) return null;
  const region = createRegionBreaker(terms.breaker);
  const stored = statusByRegion(hub, terms.upstream).get(hub.region);
  if (stored !== undefined) restore(region, stored, now);
  const book: UpstreamBook = {
    terms,
    region,
    gauges: new Map(),
    storedGeneration: region.breaker.state.generation,
    storedUntil: stored?.openUntil ?? null,
  };
  hub.upstreams.set(terms.upstream, book);
  return book;
}

function changeTerms(book: UpstreamBook, terms: UpstreamTerms): void {
  const { state, strikes } = book.region.breaker;
  book.terms = terms;
  book.region = createRegionBreaker(terms.breaker);
  book.region.breaker.state = state;
  book.region.breaker.strikes = strikes;
}

/** Goes on where the stored breaker was; probes that were out are taken for lost. */
function restore({ breaker }: RegionBreaker, status: BreakerStatus, now: number): void {
  breaker.strikes = status.strikes;
  breaker.downSince = status.since;
  breaker.state = stateOf(status, now);
}

function stateOf({ phase, generation, openUntil, since }: BreakerStatus, now: number): BreakerState {
  switch (phase) {
    case "open":
      return { phase, generation, openUntil: openUntil ?? now };
    case "half-open":
      return { phase, generation, leases: createProbeLeases(), good: 0 };
    case "ramp":
      return createRamp(generation, now - since, 1, now);
    case "closed":
      return { phase, generation, since, consecutive: 0 };
  }
}

function storeStatus(hub: Hub, book: UpstreamBook, now: number): void {
  const { state, strikes, lastTransition } = book.region.breaker;
  const openUntil = state.phase === "open" ? Math.ceil(state.openUntil) : null;
  const hasMoved = state.generation !== book.storedGeneration;
  // A late `Retry-After` makes the time longer that it stays open.
  if (!hasMoved && openUntil === book.storedUntil) return;
  book.storedGeneration = state.generation;
  book.storedUntil = openUntil;
  const name = statusName(book.terms.upstream);
  const register = registerOf(hub, name);
  hub.clock = nextStamp(hub.clock, now);
  const status: BreakerStatus = {
    phase: state.phase,
    generation: state.generation,
    openUntil,
    strikes,
    since: "since" in state && Number.isFinite(state.since) ? state.since : now,
  };
  const value = JSON.stringify({ ...status, why: lastTransition });
  writeRegister(register, hub.durableSlot, hub.clock, value, nextVersion(hub, now));
  putState(hub, name, register);
  markChanged(hub, name);
  if (hasMoved) hub.transitions.push({ upstream: book.terms.upstream, ...lastTransition });
}

function shareCalls(hub: Hub, { terms, ok, failRemote, failLocal, slow }: CallsEntry, now: number): void {
  if (ok + failRemote + failLocal === 0) return;
  const name = callsName(terms.upstream);
  const vectors = vectorsOf(hub, name);
  const counts = { ok, failRemote, failLocal, slow };
  addCalls(vectors, now, CALL_SLOT_MS, hub.ephemeralSlot, counts, nextVersion(hub, now));
}

function parseStatus(text: string): BreakerStatus | null {
  try {
    const value: unknown = JSON.parse(text);
    return isStatus(value) ? value : null;
  } catch {
    return null;
  }
}

function isStatus(value: unknown): value is BreakerStatus {
  if (typeof value !== "object" || value === null) return false;
  const { phase, generation, openUntil, strikes, since }: Record<string, unknown> = { ...value };
  return (
    (phase === "closed" || phase === "open" || phase === "half-open" || phase === "ramp") &&
    typeof generation === "number" &&
    typeof strikes === "number" &&
    typeof since === "number" &&
    (openUntil === null || typeof openUntil === "number")
  );
}

function vectorsOf(hub: Hub, name: string): CallVectors {
  const known = hub.states.get(name);
  if (known?.kind === "call-vectors") return known;
  const vectors = createCallVectors();
  hub.states.set(name, vectors);
  return vectors;
}

function registerOf(hub: Hub, name: string): LwwRegister {
  const known = hub.states.get(name);
  return known?.kind === "lww-register" ? known : createLwwRegister();
}

function sameOptions(left: UpstreamTerms, right: UpstreamTerms): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
