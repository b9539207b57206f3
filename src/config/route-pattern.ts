// The pattern of a route's path: Hono's notation cut into segments, and the rules a pattern must keep.
// Hono's routers differ on a `*` that is not at the end and on what is a pattern within a segment; such
// patterns are refused, so that a route matches the same requests whatever else the file holds.

import { RegExpRouter } from "hono/router/reg-exp-router";
import { SmartRouter } from "hono/router/smart-router";
import { TrieRouter } from "hono/router/trie-router";
import { isGatewayPath, matchablePath } from "../http/paths.ts";
import type { Parsed } from "./fields.ts";

export type PatternSegment =
  | { readonly kind: "literal"; readonly text: string }
  | {
      readonly kind: "param";
      readonly name: string;
      readonly regex: string | null;
      readonly optional: boolean;
    }
  | { readonly kind: "wildcard" };

/** The segments of a pattern that `parseRoutePath` accepted. */
export function patternSegments(pattern: string): readonly PatternSegment[] {
  return splitPattern(pattern).map((part) => {
    if (part === "*") return { kind: "wildcard" };
    const param = PARAM_PATTERN.exec(part);
    if (param === null) return { kind: "literal", text: part };
    return { kind: "param", name: param[1], regex: param[2] ?? null, optional: param[3] === "?" };
  });
}

const PARAM_PATTERN = /^:([A-Za-z_][A-Za-z0-9_]*)(?:\{([^{}]+)\})?(\?)?$/;

/** Cuts at slashes, but not at those within the braces of a parameter's expression. */
function splitPattern(pattern: string): string[] {
  return pattern.slice(1).match(/(?:\{[^}]*\}|[^/])+|(?<=^|\/)(?=\/|$)/g) ?? [""];
}

/** A route's path with its percent-encodings as requests are matched, or the rule that it breaks. */
export function parseRoutePath(value: unknown): Parsed<string> {
  if (typeof value !== "string" || !value.startsWith("/")) {
    return { rule: 'must be a path that begins with "/"' };
  }
  const parts: string[] = [];
  for (const part of splitPattern(value)) {
    const segment = parseSegment(part);
    if ("rule" in segment) return segment;
    parts.push(segment.value);
  }
  if (parts.slice(0, -1).includes("*")) {
    return { rule: "may have * only at its end, use a :name parameter for one segment" };
  }
  const optionalAt = parts.findIndex((part) => part.startsWith(":") && part.endsWith("?"));
  if (optionalAt !== -1 && optionalAt !== parts.length - 1) {
    return { rule: "only the last parameter may be optional" };
  }
  if (isGatewayPath(literalPrefix(parts))) {
    return { rule: "cannot be under /_gateway, which is the gateway's own" };
  }
  const pattern = `/${parts.join("/")}`;
  return routerTakes(pattern) ? { value: pattern } : { rule: "is no pattern that Hono's router can take" };
}

/** What every matching path begins with. */
function literalPrefix(parts: readonly string[]): string {
  const open = parts.findIndex((part) => part === "*" || part.startsWith(":"));
  return `/${(open === -1 ? parts : parts.slice(0, open)).join("/")}`;
}

function parseSegment(part: string): Parsed<string> {
  if (part === "*") return { value: part };
  if (part.startsWith(":")) {
    return PARAM_PATTERN.test(part)
      ? { value: part }
      : { rule: "has a parameter that is not :name, :name{regex} or :name?" };
  }
  if (/[*{}]/.test(part)) {
    return { rule: "may hold * only as a whole segment, and braces only after a parameter" };
  }
  if (/[?#]/.test(part)) return { rule: "cannot hold a query or a fragment" };
  const matchable = matchablePath(`/${part}`);
  if (matchable === null) {
    return { rule: "can never match: it holds a dot segment, or a character that must be percent-encoded" };
  }
  return { value: matchable.slice(1) };
}

function routerTakes(pattern: string): boolean {
  const router = new SmartRouter<null>({ routers: [new RegExpRouter(), new TrieRouter()] });
  try {
    router.add("ALL", pattern, null);
    router.match("GET", "/");
    return true;
  } catch {
    return false;
  }
}
