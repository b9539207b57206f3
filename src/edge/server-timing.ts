// Where the time of a request went, for the operator who asks (https://www.w3.org/TR/server-timing/):
//
//   total    until the answer's fields
//   queue    in line for permits and for limits that must be asked for
//   upstream under way to targets, over all tries
//   tries    from the first try's start to the last one's end, pauses included; how many there were
//   gateway  the rest, without pauses between tries
//
// On Cloudflare the clock stands still while code runs: `gateway` is 0 there.

import type { RequestTrace } from "../telemetry/request-trace.ts";

/** The value of `server-timing`. */
export function serverTiming(trace: RequestTrace, startedAt: number, now: number): string {
  const { tries, waitedMs } = trace;
  const upstreamMs = tries.reduce((sum, { startMs, endMs }) => sum + (endMs ?? now) - startMs, 0);
  const triesMs = tries.length === 0 ? 0 : (tries.at(-1)?.endMs ?? now) - tries[0].startMs;
  const laterWaitsMs = tries.slice(1).reduce((sum, tried) => sum + tried.waitedMs, 0);
  const pausesMs = Math.max(0, triesMs - upstreamMs - laterWaitsMs);
  const totalMs = now - startedAt;
  const gatewayMs = Math.max(0, totalMs - waitedMs - upstreamMs - pausesMs);
  return [
    `total;dur=${totalMs}`,
    `queue;dur=${waitedMs}`,
    `upstream;dur=${upstreamMs}`,
    `tries;dur=${triesMs};desc="${tries.length}"`,
    `gateway;dur=${gatewayMs}`,
  ].join(", ");
}
