// What a replay is asked for: some by their ids, or all of a time at a rate.

import { MAX_PAGE_ROWS, type ReplayRequest } from "../delivery/core/protocol.ts";
import { MAX_REPLAY_RATE } from "../delivery/core/requests.ts";

/** Per second, of a replay by time that says nothing of its rate. */
const DEFAULT_REPLAY_RATE = 10;

export const REPLAY_RULE =
  `Send \`ids\` as a list of 1 to ${MAX_PAGE_ROWS} ids; or \`since\` and \`until\` as ms since 1970 or dates, ` +
  `\`until\` not before \`since\`, and \`rate\` per second, above 0 and at most ${MAX_REPLAY_RATE}.`;

/** What is left to the outbox's own checks: the length of the list, order and bounds of the numbers. */
export function parseReplay(body: unknown, now: number): ReplayRequest | null {
  const { ids, since, until, rate = DEFAULT_REPLAY_RATE } = fieldsOf(body);
  if (ids !== undefined) {
    if (since !== undefined || until !== undefined || !Array.isArray(ids) || ids.length === 0) return null;
    const texts = ids.filter((id): id is string => typeof id === "string");
    return texts.length === ids.length ? { ids: texts } : null;
  }
  const from = momentOf(since);
  const to = until === undefined ? now : momentOf(until);
  if (from === null || to === null || typeof rate !== "number") return null;
  return { since: from, until: to, rate };
}

function momentOf(value: unknown): number | null {
  const moment = typeof value === "string" ? Date.parse(value) : value;
  return typeof moment === "number" && Number.isSafeInteger(moment) ? moment : null;
}

export function fieldsOf(body: unknown): Record<string, unknown> {
  return typeof body === "object" && body !== null && !Array.isArray(body) ? { ...body } : {};
}
