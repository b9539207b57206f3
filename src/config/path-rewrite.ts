// `request.path`: how the path that goes upstream is made from the request's own, compiled to pieces.
// Pieces count segments of the raw path, so everything in front of a piece must be one segment wide.

import { matchablePath } from "../http/paths.ts";
import type { Parsed } from "./fields.ts";
import type { PathRewrite } from "./plan.ts";
import { patternSegments } from "./route-pattern.ts";
import type { PatternSegment } from "./route-pattern.ts";

type Piece = PathRewrite[number];

/** Expressions that cannot match a slash: digits, letters, `\d`, `\w` and classes of them. */
const WITHIN_SEGMENT = /^(?:(?:\[(?:[A-Za-z0-9]-[A-Za-z0-9]|\w)+-?\]|\\[dw]|[\w-])[+*?]?)+$/;

/** The pieces of `template` (`/charge/:id/*`) for a route whose path is `routePath`, or the broken rule. */
export function compileRewrite(routePath: string, template: string): Parsed<PathRewrite> {
  const route = patternSegments(routePath);
  const parts = template.slice(1).split("/");
  const pieces: Piece[] = [];
  for (const [position, part] of parts.entries()) {
    const piece = part === "*" ? restPiece(route, position === parts.length - 1) : segmentPiece(route, part);
    if ("rule" in piece) return piece;
    pieces.push({ kind: "literal", text: "/" }, piece.value);
  }
  return { value: joinLiterals(pieces) };
}

/** Rules of the template alone; the route is looked at by `compileRewrite`. */
export function parseRewriteTemplate(value: unknown): Parsed<string> {
  if (typeof value !== "string" || !value.startsWith("/")) {
    return { rule: 'must be a path that begins with "/"' };
  }
  if (!/^[\x21-\x7e]+$/.test(value)) return { rule: "must be visible ASCII: percent-encode the rest" };
  if (/[?#{}]/.test(value)) return { rule: "must be literal text, :name parameters and a final *" };
  if (matchablePath(value) === null) {
    return { rule: "cannot be sent: it holds a dot segment, a backslash or a bad percent-encoding" };
  }
  return { value };
}

function restPiece(route: readonly PatternSegment[], isLast: boolean): Parsed<Piece> {
  if (!isLast) return { rule: "may have * only at its end" };
  const from = route.length - 1;
  if (route[from].kind !== "wildcard") return { rule: "has a * that the route's path does not end with" };
  return widthRule(route.slice(0, from)) ?? { value: { kind: "rest", from } };
}

function segmentPiece(route: readonly PatternSegment[], part: string): Parsed<Piece> {
  if (part.includes("*")) return { rule: "may have * only as its last segment" };
  if (!part.startsWith(":")) return { value: { kind: "literal", text: part } };
  const index = route.findIndex((segment) => segment.kind === "param" && segment.name === part.slice(1));
  if (index === -1) return { rule: `has the parameter ${part} that the route's path does not have` };
  return widthRule(route.slice(0, index + 1)) ?? { value: { kind: "segment", index } };
}

/** Segments in front of a piece must each stand for exactly one segment of a request. */
function widthRule(segments: readonly PatternSegment[]): { readonly rule: string } | null {
  for (const segment of segments) {
    if (segment.kind !== "param") continue;
    if (segment.optional) return { rule: `depends on the optional parameter :${segment.name}` };
    if (segment.regex !== null && !WITHIN_SEGMENT.test(segment.regex)) {
      return { rule: `depends on :${segment.name}, whose expression may match more than one segment` };
    }
  }
  return null;
}

function joinLiterals(pieces: readonly Piece[]): PathRewrite {
  const joined: Piece[] = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    if (piece.kind === "literal" && last?.kind === "literal") {
      joined[joined.length - 1] = { kind: "literal", text: last.text + piece.text };
    } else if (piece.kind !== "literal" || piece.text !== "") joined.push(piece);
  }
  return joined;
}
