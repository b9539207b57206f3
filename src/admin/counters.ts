// `/_gateway/counters/<name>`: usage counters, as the hub of this region knows them. A value is approximate
// by its type: it says how old it can be.

import type { Exchange } from "../edge/exchange.ts";
import { MAX_KEY_CHARS } from "../hub/protocol.ts";
import type { UsageReading } from "../hub/usage.ts";
import { notAnswered, problem, readJson } from "./answers.ts";

/** A counter's value over all regions: what others have counted since they were last heard is not in it. */
export interface ApproximateCount {
  readonly value: number;
  /** Who counted how much: `region.shard.sub.epoch`. */
  readonly slots: Readonly<Record<string, number>>;
  readonly consistency: "eventual";
  /** Ms since the region heard from longest ago was heard. */
  readonly ageMs: number;
  /** Ms that `ageMs` does not pass while all regions answer; null: one does not. */
  readonly bound: number | null;
}

export async function readCounter(x: Exchange, name: string, key: string | undefined): Promise<Response> {
  const refused = checkCounter(x, name, key);
  if (refused !== null || key === undefined) return refused ?? missingKey(x);
  const reading = (await x.engine.hub?.ask((hub) => hub.read(name, key))) ?? null;
  return reading === null ? notAnswered(x) : Response.json(approximate(reading));
}

export async function addToCounter(x: Exchange, name: string, request: Request): Promise<Response> {
  const body = await readJson(request);
  const { key, by }: Record<string, unknown> = typeof body === "object" && body !== null ? { ...body } : {};
  const refused = checkCounter(x, name, key);
  if (refused !== null || typeof key !== "string") return refused ?? missingKey(x);
  if (typeof by !== "number" || !Number.isSafeInteger(by) || by < 1) {
    return problem(x, "bad_request", "Send `by` as a whole number from 1 to 2^53 - 1.");
  }
  const reply = (await x.engine.hub?.ask((hub) => hub.add(name, key, by))) ?? null;
  if (reply === null) return notAnswered(x);
  if (reply.kind !== "added") {
    return problem(x, "bad_request", "The counter would pass 2^53 - 1: count on under another key.");
  }
  const reading = (await x.engine.hub?.ask((hub) => hub.read(name, key))) ?? null;
  return reading === null
    ? Response.json({ added: by })
    : Response.json({ added: by, ...approximate(reading) });
}

function approximate({ value, slots, ageMs, boundMs }: UsageReading): ApproximateCount {
  return { value, slots, consistency: "eventual", ageMs, bound: boundMs };
}

/** null when the counter exists and the key can be one. */
function checkCounter(x: Exchange, name: string, key: unknown): Response | null {
  if (!x.engine.plan.counters.some((counter) => counter.name === name)) {
    const known = x.engine.plan.counters.map((counter) => counter.name).join(", ") || "none";
    return problem(x, "route_not_found", `There is no counter of this name; there are: ${known}.`);
  }
  return typeof key === "string" && key !== "" && key.length <= MAX_KEY_CHARS && key.isWellFormed()
    ? null
    : missingKey(x);
}

function missingKey(x: Exchange): Response {
  return problem(x, "bad_request", `Send \`key\` as a text of 1 to ${MAX_KEY_CHARS} characters.`);
}
