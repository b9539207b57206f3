// Whether one route takes every request that another one would take. It says yes only when that is sure:
// what depends on regular expressions counts as not covered unless both write the same.

import type { RoutePlan } from "./plan.ts";
import { patternSegments } from "./route-pattern.ts";
import type { PatternSegment } from "./route-pattern.ts";

/** Whether `first` leaves nothing to `second`, which is tried after it. */
export function coversRoute(first: RoutePlan, second: RoutePlan): boolean {
  return (
    coversSet(first.methods, second.methods) &&
    coversSet(first.hosts, second.hosts) &&
    coversHeaders(first.headers, second.headers) &&
    coversPath(patternSegments(first.path), patternSegments(second.path))
  );
}

function coversSet(first: ReadonlySet<string> | null, second: ReadonlySet<string> | null): boolean {
  return first === null || (second !== null && [...second].every((item) => first.has(item)));
}

/** What asks for fewer fields takes more requests. */
function coversHeaders(first: RoutePlan["headers"], second: RoutePlan["headers"]): boolean {
  return (first ?? []).every(([name, value]) =>
    (second ?? []).some(([otherName, otherValue]) => otherName === name && otherValue === value),
  );
}

function coversPath(first: readonly PatternSegment[], second: readonly PatternSegment[]): boolean {
  // Hono's routers have their own ideas about optional parameters beside empty segments: not sure.
  if (hasEmptySegment(first) || hasEmptySegment(second)) return false;
  return expandOptional(second).every((wanted) =>
    expandOptional(first).some((offered) => coversSegments(offered, wanted)),
  );
}

function hasEmptySegment(segments: readonly PatternSegment[]): boolean {
  return segments.slice(0, -1).some((segment) => segment.kind === "literal" && segment.text === "");
}

/** Only the last parameter of a pattern may be optional: with it, and without it. */
function expandOptional(segments: readonly PatternSegment[]): readonly (readonly PatternSegment[])[] {
  const last = segments.at(-1);
  if (last?.kind !== "param" || !last.optional) return [segments];
  return [segments.slice(0, -1), [...segments.slice(0, -1), { ...last, optional: false }]];
}

function coversSegments(first: readonly PatternSegment[], second: readonly PatternSegment[]): boolean {
  for (const [position, segment] of first.entries()) {
    const isLast = position === first.length - 1;
    // A final * matches any rest, also none: `/a/*` takes `/a`.
    if (segment.kind === "wildcard" && isLast) return second.length >= position;
    const other = second[position];
    if (other === undefined || !coversSegment(segment, other)) return false;
  }
  return first.length === second.length;
}

function coversSegment(first: PatternSegment, second: PatternSegment): boolean {
  if (first.kind === "literal") return second.kind === "literal" && second.text === first.text;
  // A final * may stand for many segments or none, an expression for many.
  if (second.kind === "wildcard") return false;
  if (first.kind === "param" && first.regex !== null) {
    return second.kind === "param" && second.regex === first.regex;
  }
  if (second.kind === "param") return second.regex === null;
  return second.text !== "";
}
