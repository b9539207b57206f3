// The end of a listener without cutting anything:
//
//   1  goes on as ever for a while, because whoever sends traffic has yet to hear that it ends
//   2  stops listening; what is connected is served on, each answer as the last one of its connection
//   3  closes the connections that are idle, once nothing is under way
//
// A connection is closed by the answer that says so, not under a client that is about to write.

import { Server as NetServer } from "node:net";
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import type { Listener } from "./listener.ts";

/** Step 1 lasts so long where there is traffic. */
export const LISTEN_ON_MS = 1_000;
/** There is traffic when the last request is no older. */
const TRAFFIC_MS = 5_000;
/** Step 2 lasts at least so long where there is traffic: a connection that is idle gets its last answer. */
const LAST_ANSWERS_MS = 1_000;
/** Whoever has just been answered asks again within this time, and waits for its answer then. */
const HOLD_MS = 20;
/** A moment without a new connection is waited for no longer, as answers wait meanwhile. */
const QUIET_WAIT_MS = 250;
const SHORT_TURN_MS = 0.05;
const POLL_MS = 20;

/** Whether it has traffic that does not know of its end yet. */
export function hasTraffic(listener: Listener): boolean {
  return Date.now() - listener.lastRequestAt < TRAFFIC_MS;
}

/** Steps 2 and 3; resolves once nothing is under way and nothing is connected. */
export async function drainListener(listener: Listener): Promise<void> {
  const lastUntil = Date.now() + (hasTraffic(listener) ? LAST_ANSWERS_MS : 0);
  listener.drain();
  const closed = closePort(listener);
  listener.holdAnswers(closed);
  await closed;
  while (listener.underWay > 0 || (Date.now() < lastUntil && (await connected(listener)) > 0)) {
    await pause(POLL_MS);
  }
  listener.server.closeIdleConnections();
}

/**
 * Whoever has connected and was not let in yet is cut off when the port closes. So it closes while answers
 * are held back, when those who ask again and again have all asked.
 */
async function closePort(listener: Listener): Promise<void> {
  if (hasTraffic(listener)) await pause(HOLD_MS);
  await quietMoment(listener);
  // Of the server's own `close`, only the part that stops listening: it would close idle connections too.
  NetServer.prototype.close.call(listener.server);
}

/** Right behind a look at the port that found nobody, in a turn of the event loop that was short. */
async function quietMoment({ server }: Listener): Promise<void> {
  let arrived = 0;
  const count = (): void => void arrived++;
  server.on("connection", count);
  for (const giveUpAt = performance.now() + QUIET_WAIT_MS; performance.now() < giveUpAt;) {
    const before = arrived;
    const turnAt = performance.now();
    await nextTurn();
    if (arrived === before && performance.now() - turnAt < SHORT_TURN_MS) break;
  }
  server.off("connection", count);
}

function connected({ server }: Listener): Promise<number> {
  return new Promise((resolve) => server.getConnections((_error, count) => resolve(count)));
}
