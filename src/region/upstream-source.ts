// What the link to the hub needs of the isolate's upstreams: what they have seen, what they could use, and
// somebody who follows the hub's word. The edge provides it; a simulation may as well.

import type { BulkheadAnswer, BulkheadAsk, LoadAsk, LoadEntry, LoadVerdict } from "../hub/load-protocol.ts";
import type { CallsEntry, UpstreamAsk, UpstreamVerdict } from "../hub/upstream-protocol.ts";

export interface UpstreamSource {
  /** Takes what has not been reported: it is part of a batch from now on. */
  takeCalls(now: number): CallsEntry[];
  /** Upstreams that there is traffic for. */
  asks(now: number): UpstreamAsk[];
  follow(verdicts: readonly UpstreamVerdict[], now: number): void;
  /** The same of load. */
  takeLoads(now: number): LoadEntry[];
  loadAsks(now: number): LoadAsk[];
  followLoads(verdicts: readonly LoadVerdict[], now: number): void;
  /** Bulkheads of tenants and routes that are in use. */
  bulkheadAsks(): BulkheadAsk[];
  followBulkheads(answers: readonly BulkheadAnswer[], now: number): void;
  /** What the isolate's metrics have grown by, by series; part of a batch from now on. */
  takeMetrics(): (readonly [series: string, by: number])[];
  /** The hub has not answered: what it gave of bulkheads holds no longer. */
  standAlone(now: number): void;
  /**
   * Whether the hub should hear before its time: of a probe's result, of an opening on own evidence, of
   * requests in line while the region has permits to spare.
   */
  hasUrgentNews(now: number): boolean;
}
