// Under which name a hub keeps each state. The key comes last, so whatever it holds it cannot be taken for
// another part. The length of a window's cells and of a quota's period belong to the name: states of
// different lengths must never meet.
//
//   u:<counter>:<key>                 usage counter           stored, sent to other regions
//   q:<periodMs>:<period>:<limit>:<key>  rights of a capped limit   stored, sent
//   o:<upstream>                      operator override       stored, sent
//   s:<upstream>                      breaker of each region  stored, sent
//   l:<upstream>                      load of each region     stored, sent
//   m                                 regions                 stored, sent
//   c:<upstream>                      calls by outcome        memory, sent
//   w:<cellMs>:<limit>:<key>          units used              memory, sent
//   k:<cellMs>:<limit>:<key>          units claimed           memory, sent
//   r:<cellMs>:<limit>:<key>          units used, regional    memory, stays here

import type { Replicated } from "../crdt/replicated.ts";
import { MAX_KEY_CHARS, MAX_NAME_CHARS } from "./protocol.ts";

export const MEMBERSHIP_NAME = "m";

const UPSTREAM_FAMILIES = { o: "override", s: "status", l: "load", c: "calls" } as const;
const PLAIN_NAME = /^[A-Za-z][A-Za-z0-9_-]*$/;
const WHOLE_NUMBER = /^(?:0|[1-9][0-9]{0,15})$/;

/** What a name says of the state that it stands for. */
export type StateName =
  | { readonly family: "usage"; readonly counter: string; readonly key: string }
  | {
      readonly family: "quota";
      readonly periodMs: number;
      readonly period: number;
      readonly limit: string;
      readonly key: string;
    }
  | { readonly family: "override" | "status" | "load" | "calls"; readonly upstream: string }
  | { readonly family: "membership" }
  | {
      readonly family: "used" | "claimed" | "regional";
      readonly cellMs: number;
      readonly limit: string;
      readonly key: string;
    };

/** The kind of state that each family is. */
export const KIND_OF_FAMILY: Readonly<Record<StateName["family"], Replicated["kind"]>> = {
  usage: "g-counter",
  quota: "bounded-counter",
  override: "lww-register",
  status: "lww-register",
  load: "lww-register",
  calls: "call-vectors",
  membership: "membership",
  used: "sliding-window",
  claimed: "sliding-window",
  regional: "sliding-window",
};

export function usageName(counter: string, key: string): string {
  return `u:${counter}:${key}`;
}

export function quotaName(periodMs: number, period: number, limit: string, key: string): string {
  return `q:${periodMs}:${period}:${limit}:${key}`;
}

export function overrideName(upstream: string): string {
  return `o:${upstream}`;
}

/** The breaker of an upstream, as each region's hub has it. */
export function statusName(upstream: string): string {
  return `s:${upstream}`;
}

/** The cursor and the limit of an upstream, as each region's hub has them. */
export function loadName(upstream: string): string {
  return `l:${upstream}`;
}

/** The calls of an upstream, as regions exchange them. */
export function callsName(upstream: string): string {
  return `c:${upstream}`;
}

export function usedName(cellMs: number, limit: string, key: string): string {
  return `w:${cellMs}:${limit}:${key}`;
}

export function claimedName(cellMs: number, limit: string, key: string): string {
  return `k:${cellMs}:${limit}:${key}`;
}

export function regionalName(cellMs: number, limit: string, key: string): string {
  return `r:${cellMs}:${limit}:${key}`;
}

/** The length of the cells of a window by its name. */
export function cellMsOf(name: string): number {
  return Number(name.slice(2, name.indexOf(":", 2)));
}

/** Whether a name is one that configurations give: of a counter, a limit, an upstream. */
export function isPlainName(text: unknown): text is string {
  return typeof text === "string" && text.length <= MAX_NAME_CHARS && PLAIN_NAME.test(text);
}

/** Whether a text may be what a limit or a counter counts apart. */
export function isKey(text: unknown): text is string {
  return typeof text === "string" && text !== "" && text.length <= MAX_KEY_CHARS && text.isWellFormed();
}

const DURABLE = new Set(["u", "q", "o", "s", "l", "m"]);

/** Whether a hub must not forget a state of this name. */
export function isDurable(name: string): boolean {
  const letter = name[0];
  return DURABLE.has(letter);
}

/** Whether other regions get a state of this name. */
export function isShared(name: string): boolean {
  return name[0] !== "r";
}

/** The parts of a name, or null for a text that is none. */
export function parseStateName(name: string): StateName | null {
  if (name === MEMBERSHIP_NAME) return { family: "membership" };
  const parts = name.split(":");
  switch (parts[0]) {
    case "u": {
      const key = parts.slice(2).join(":");
      return isPlainName(parts[1]) && isKey(key) ? { family: "usage", counter: parts[1], key } : null;
    }
    case "o":
    case "s":
    case "l":
    case "c": {
      const family = UPSTREAM_FAMILIES[parts[0]];
      return parts.length === 2 && isPlainName(parts[1]) ? { family, upstream: parts[1] } : null;
    }
    case "q": {
      const key = parts.slice(4).join(":");
      const [, periodMs, period, limit] = parts;
      if (!isWhole(periodMs) || !isWhole(period) || !isPlainName(limit) || !isKey(key)) return null;
      return { family: "quota", periodMs: Number(periodMs), period: Number(period), limit, key };
    }
    case "w":
    case "k":
    case "r": {
      const key = parts.slice(3).join(":");
      const [letter, cellMs, limit] = parts;
      if (!isWhole(cellMs) || !isPlainName(limit) || !isKey(key)) return null;
      const family = letter === "w" ? "used" : letter === "k" ? "claimed" : "regional";
      return { family, cellMs: Number(cellMs), limit, key };
    }
    default:
      return null;
  }
}

function isWhole(text: string | undefined): text is string {
  return text !== undefined && WHOLE_NUMBER.test(text) && Number(text) <= Number.MAX_SAFE_INTEGER;
}
