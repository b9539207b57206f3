// DAGOR, WeChat's overload control (Zhou et al., SoCC 2018, arXiv 1806.04075, section 4).
//
//   window        1 s or 2,000 requests, whichever ends first
//   overloaded    the window's mean queuing time at the server is above 20 ms
//   level         (class, hash of the user in 128), smaller is more important; the hash changes every hour
//   N'            0.95 N_adm when overloaded, else N_adm + 0.01 N, with N requests and N_adm admitted ones
//   cursor        level by level from where it stands: down until those below had at most N' requests in the
//                 window, or up until they had at least as many
//
// So halving what is admitted takes 14 windows (0.95^14 = 0.49), and nothing waits.
//
// In its favour: a gateway does not see how long requests stand in the server's queue, so it gets the true
// value, at once; and its windows count all arrivals, so that they are shortest when most arrives. An
// upstream that refuses has no queue: there, a refusal counts as having queued for 500 ms, the time after
// which a task is given up in WeChat, so that a window with more than 4 % refusals is overloaded.

import { LEVEL_COUNT, levelOfUser } from "../../../../src/resilience/level.ts";
import type { Applicant, PeerRules } from "./peer.ts";
import { peer } from "./peer.ts";
import type { PolicyFactory, PolicyReading } from "../policy.ts";
import type { UpstreamModel } from "../upstream-model.ts";

const WINDOW_MS = 1000;
const WINDOW_REQUESTS = 2000;
const OVERLOADED_ABOVE_MS = 20;
const DECREASE = 0.05;
const INCREASE = 0.01;
const REFUSED_AS_MS = 500;

export function dagor(): PolicyFactory {
  return peer("DAGOR", ({ upstream }) => new Dagor(queuingTimeOf(upstream)));
}

/** What has queued since the last call, on average, in ms. */
export type MeanQueuingMs = () => number;

export class Dagor implements PeerRules {
  readonly refusal = "shed";
  readonly #queuingMs: MeanQueuingMs;
  readonly #histogram = new Float64Array(LEVEL_COUNT);
  #requests = 0;
  #admitted = 0;
  #endsAt = Number.NaN;
  #cursor = LEVEL_COUNT;

  constructor(queuingMs: MeanQueuingMs) {
    this.#queuingMs = queuingMs;
  }

  advance(now: number): void {
    if (Number.isNaN(this.#endsAt)) this.#endsAt = now + WINDOW_MS;
    if (now < this.#endsAt && this.#requests < WINDOW_REQUESTS) return;
    this.#endsAt = now + WINDOW_MS;
    const isOverloaded = this.#queuingMs() > OVERLOADED_ABOVE_MS;
    this.#cursor = isOverloaded
      ? cursorDown(this.#histogram, this.#admitted * (1 - DECREASE))
      : cursorUp(this.#histogram, this.#admitted + this.#requests * INCREASE);
    this.#histogram.fill(0);
    this.#requests = 0;
    this.#admitted = 0;
  }

  wouldPass(applicant: Applicant): boolean {
    return levelOf(applicant) < this.#cursor;
  }

  decided(applicant: Applicant, passed: boolean): void {
    this.#histogram[levelOf(applicant)]++;
    this.#requests++;
    if (passed) this.#admitted++;
  }

  answered(): void {}

  read(): Pick<PolicyReading, "cursor" | "limit"> {
    return { cursor: this.#cursor, limit: Number.POSITIVE_INFINITY };
  }
}

function levelOf({ trafficClass, user, now }: Applicant): number {
  return levelOfUser(trafficClass, user, now);
}

/** The largest cursor below which the histogram counts at most `expected`. */
export function cursorDown(histogram: Float64Array, expected: number): number {
  let sum = 0;
  for (let level = 0; level < histogram.length; level++) {
    sum += histogram[level];
    if (sum > expected) return level;
  }
  return histogram.length;
}

/** The smallest cursor below which it counts at least `expected`, or all levels. */
export function cursorUp(histogram: Float64Array, expected: number): number {
  let sum = 0;
  for (let level = 0; level < histogram.length; level++) {
    sum += histogram[level];
    if (sum >= expected && sum > 0) return level + 1;
  }
  return histogram.length;
}

function queuingTimeOf(upstream: UpstreamModel): MeanQueuingMs {
  let [begun, queuedMs, refused] = [0, 0, 0];
  return () => {
    const newRefused = upstream.refused - refused;
    const requests = upstream.begun - begun + newRefused;
    const totalMs = upstream.queuedMs - queuedMs + newRefused * REFUSED_AS_MS;
    [begun, queuedMs, refused] = [upstream.begun, upstream.queuedMs, upstream.refused];
    return requests === 0 ? 0 : totalMs / requests;
  };
}
