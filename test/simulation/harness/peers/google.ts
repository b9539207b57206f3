// Client-side adaptive throttling and criticality (Site Reliability Engineering, chapter 21,
// sre.google/sre-book/handling-overload).
//
//   p = max(0, (requests - K accepts) / (requests + 1)), K = 2, both over the last two minutes
//
// Requests count when they are made, with those that are refused here; accepts when the upstream has
// answered with success. At most 3 tries of a request, and retries at most a tenth of the requests.
//
// Criticality comes in two forms, because the chapter leaves the order of classes to a backend that knows
// them, and the upstream here does not:
//   byClass   statistics of each class, as the chapter says of the client: p for each class by itself
//   inOrder   in its favour, the rule that the chapter gives its backends: a class is refused only when all
//             less important ones already are. One p of all requests, spent from the least important class
//             upwards: with s the share of the requests, class c is refused with
//             clamp((p - sum of s below c) / s(c), 0, 1)

import type { Applicant, PeerAnswer, PeerRules } from "./peer.ts";
import { peer } from "./peer.ts";
import type { PolicyFactory, PolicyReading } from "../policy.ts";

const K = 2;
const HISTORY_SECONDS = 120;
const CLASSES = 4;
const RETRIES = { attempts: 3, share: 0.1 };

export function googleByClass(): PolicyFactory {
  return peer("Google throttling, each class", () => new Throttling("byClass"), RETRIES);
}

export function googleInOrder(): PolicyFactory {
  return peer("Google throttling, lowest first", () => new Throttling("inOrder"), RETRIES);
}

/** The probability of a refusal. */
export function refusalProbability(requests: number, accepts: number): number {
  return Math.max(0, (requests - K * accepts) / (requests + 1));
}

export class Throttling implements PeerRules {
  readonly refusal = "shed";
  readonly #order: "byClass" | "inOrder";
  readonly #requests = new RecentCounts();
  readonly #accepts = new RecentCounts();

  constructor(order: "byClass" | "inOrder") {
    this.#order = order;
  }

  advance(now: number): void {
    this.#requests.advance(now);
    this.#accepts.advance(now);
  }

  wouldPass({ trafficClass, draw }: Pick<Applicant, "trafficClass" | "draw">): boolean {
    return draw >= this.probability(trafficClass);
  }

  decided({ trafficClass }: Pick<Applicant, "trafficClass">): void {
    this.#requests.add(trafficClass);
  }

  answered({ trafficClass, answer, now }: Pick<PeerAnswer, "trafficClass" | "answer" | "now">): void {
    this.advance(now);
    if (answer === 200) this.#accepts.add(trafficClass);
  }

  /** Of a refusal of this class. */
  probability(trafficClass: number): number {
    const requests = this.#requests.sums;
    const accepts = this.#accepts.sums;
    if (this.#order === "byClass") {
      return refusalProbability(requests[trafficClass], accepts[trafficClass]);
    }
    const all = requests.reduce((sum, count) => sum + count, 0);
    const toRefuse = refusalProbability(
      all,
      accepts.reduce((sum, count) => sum + count, 0),
    );
    const below = requests.slice(trafficClass + 1).reduce((sum, count) => sum + count, 0);
    const left = toRefuse * all - below;
    // A class that nobody has asked for counts as one request.
    return Math.max(0, Math.min(1, left / Math.max(1, requests[trafficClass])));
  }

  read(): Pick<PolicyReading, "cursor" | "limit"> {
    return { cursor: 512, limit: Number.POSITIVE_INFINITY };
  }
}

/** Counts by class over the last two minutes, in slots of a second. */
class RecentCounts {
  readonly sums = [0, 0, 0, 0];
  readonly #slots = Array.from({ length: HISTORY_SECONDS }, () => [0, 0, 0, 0]);
  #second = Number.NaN;

  advance(now: number): void {
    const second = Math.floor(now / 1000);
    if (Number.isNaN(this.#second)) this.#second = second;
    const behind = Math.min(HISTORY_SECONDS, second - this.#second);
    for (let step = 0; step < behind; step++) this.#clear(second - step);
    this.#second = second;
  }

  add(trafficClass: number): void {
    this.#slots[this.#second % HISTORY_SECONDS][trafficClass]++;
    this.sums[trafficClass]++;
  }

  #clear(second: number): void {
    const slot = this.#slots[second % HISTORY_SECONDS];
    for (let trafficClass = 0; trafficClass < CLASSES; trafficClass++) {
      this.sums[trafficClass] -= slot[trafficClass];
      slot[trafficClass] = 0;
    }
  }
}
