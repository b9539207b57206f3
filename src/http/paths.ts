// The path of a request: cut out as it came, checked, made comparable, rewritten. A request is matched on
// the very path that is sent, so what `fetch` would resolve or turn around is refused before the match.
//
// What `matchablePath` accepts goes upstream byte for byte but for the characters " < > ^ ` { } which `fetch`
// sends as %22 %3C %3E %5E %60 %7B %7D (https://url.spec.whatwg.org/#path-percent-encode-set). They are
// matched in that form, so that writing them raw does not lead to another route.

import { hexValue, hidesDotSegment } from "./decoded-path.ts";

const SLASH = 0x2f;
const PERCENT = 0x25;
const BACKSLASH = 0x5c;
const DELETE = 0x7f;

/** Nothing to check or to decode: pchar (RFC 3986 3.3) without escapes, and no segment begins with a dot. */
const PLAIN_PATH = /^(?:\/(?!\.)[A-Za-z0-9\-._~!$&'()*+,;=:@]*)+$/;
/** What `fetch` percent-encodes in a path, of the characters that are not forbidden. */
const ENCODED_BY_FETCH = /["<>^`{}]/g;
const ENCODED_RUN = /(?:%[0-9A-Fa-f]{2})+/g;
const SLASH_RUN = /\/{2,}/g;
const GATEWAY_ROOT = "/_gateway";

/** Literal text and pieces of the raw path: one segment (counted from 0), or all from a segment on. */
export type PathRewrite = readonly (
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "segment"; readonly index: number }
  | { readonly kind: "rest"; readonly from: number }
)[];

export interface Target {
  /** As it came, from its first "/" on. */
  readonly path: string;
  /** As it came, with its "?"; or "". */
  readonly query: string;
}

/**
 * Path and query of an absolute URL, untouched. null when no path follows the authority (`OPTIONS *`
 * gives `http://h*`), when the authority is empty, and when a "#" is anywhere.
 */
export function splitTarget(url: string): Target | null {
  const authority = url.indexOf("://") + 3;
  if (authority < 4 || url.includes("#")) return null;
  const start = url.indexOf("/", authority);
  if (start <= authority) return null;
  const question = url.indexOf("?", authority);
  if (question === -1) return { path: url.slice(start), query: "" };
  if (question < start) return null;
  return { path: url.slice(start, question), query: url.slice(question) };
}

/** Characters that never stand raw in a path: controls, space, "#", "?", "\", DEL and all beyond ASCII. */
function isForbiddenRaw(code: number): boolean {
  return code <= 0x20 || code >= DELETE || code === BACKSLASH || code === 0x23 || code === 0x3f;
}

/** Letters, digits and "-._~": an escape of these means the character itself (RFC 3986 2.3, 6.2.2.2). */
function isUnreserved(code: number): boolean {
  const lower = code | 0x20;
  if (lower >= 0x61 && lower <= 0x7a) return true;
  return (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x2e || code === 0x5f || code === 0x7e;
}

/** The byte that the escape at this place stands for, or -1 when it is no escape. */
function escapedByte(path: string, percentAt: number): number {
  const high = hexValue(path.charCodeAt(percentAt + 1));
  const low = hexValue(path.charCodeAt(percentAt + 2));
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/** Escapes of unreserved characters decoded, the others in upper case; null for a bad character or escape. */
function normaliseEscapes(path: string): string | null {
  let result = "";
  let copied = 0;
  for (let index = 0; index < path.length; index++) {
    const code = path.charCodeAt(index);
    if (isForbiddenRaw(code)) return null;
    if (code !== PERCENT) continue;
    const byte = escapedByte(path, index);
    if (byte < 0x20 || byte === DELETE) return null;
    const escape = path.slice(index, index + 3);
    const normal = isUnreserved(byte) ? String.fromCharCode(byte) : escape.toUpperCase();
    if (normal !== escape) {
      result += path.slice(copied, index) + normal;
      copied = index + 3;
    }
    index += 2;
  }
  return copied === 0 ? path : result + path.slice(copied);
}

function encodeCharacter(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}

/**
 * The path to match routes on, or null for a path that must be refused: a control character (also
 * encoded), a space, a backslash, a character beyond ASCII, a "%" without two hex digits, or a dot segment
 * in any encoding. Escapes of unreserved characters are decoded, other escapes get upper-case digits, what
 * `fetch` would encode is encoded. All else stays: "%2F" and "%5C" stay encoded, "//" is not collapsed.
 */
export function matchablePath(rawPath: string): string | null {
  if (PLAIN_PATH.test(rawPath)) return rawPath;
  if (rawPath.charCodeAt(0) !== SLASH) return null;
  const normal = normaliseEscapes(rawPath);
  if (normal === null || hidesDotSegment(normal)) return null;
  return normal.replace(ENCODED_BY_FETCH, encodeCharacter);
}

/** Whether a matchable path holds an encoded slash or backslash. */
export function hasEncodedSlash(matchable: string): boolean {
  if (!matchable.includes("%")) return false;
  return matchable.includes("%2F") || matchable.includes("%5C");
}

function decodeRun(run: string): string {
  try {
    return decodeURIComponent(run);
  } catch {
    return run;
  }
}

/** A matchable path decoded once, runs of slashes made one. Escapes that are no UTF-8 stay as they are. */
export function gatewayPath(matchable: string): string {
  const decoded = matchable.includes("%") ? matchable.replace(ENCODED_RUN, decodeRun) : matchable;
  return decoded.replace(SLASH_RUN, "/");
}

/** Whether a matchable path is `/_gateway` or under it, once it is decoded and its slashes collapsed. */
export function isGatewayPath(matchable: string): boolean {
  const first = matchable[1];
  // An escape here can only be a slash: an encoded "_" is already decoded.
  if (first !== "_" && first !== "/" && first !== "%") return false;
  const path = gatewayPath(matchable);
  return path === GATEWAY_ROOT || path.startsWith(`${GATEWAY_ROOT}/`);
}

/** Where a segment begins, counted from 0; -1 when the path has fewer. */
function segmentStart(path: string, index: number): number {
  let start = 1;
  for (let count = 0; count < index; count++) {
    const slash = path.indexOf("/", start);
    if (slash === -1) return -1;
    start = slash + 1;
  }
  return start;
}

/** Text of a segment or of all from it on; null when the path ends before it. */
function textFrom(path: string, index: number, toTheEnd: boolean): string | null {
  const start = segmentStart(path, index);
  if (start === -1) return null;
  if (toTheEnd) return path.slice(start);
  const end = path.indexOf("/", start);
  return end === -1 ? path.slice(start) : path.slice(start, end);
}

/**
 * The path that goes upstream, made of literals and raw pieces of the request's path; it begins with "/".
 *
 * A piece that the path does not have takes the slash before it along: `/charge/*` is `/charge` for
 * `/v1/payments` and `/charge/` for `/v1/payments/`. A literal that follows an empty piece adds no second
 * slash. A "//" that the client wrote inside a piece stays.
 */
export function rewritePath(rewrite: PathRewrite, rawPath: string): string {
  let result = "";
  let afterEmpty = false;
  for (const piece of rewrite) {
    if (piece.kind === "literal") {
      const doubled = afterEmpty && result.endsWith("/") && piece.text.startsWith("/");
      result += doubled ? piece.text.slice(1) : piece.text;
      afterEmpty = false;
      continue;
    }
    const rest = piece.kind === "rest";
    const text = textFrom(rawPath, rest ? piece.from : piece.index, rest);
    if (text === null && result.endsWith("/")) result = result.slice(0, -1);
    result += text ?? "";
    afterEmpty = text === null || text === "";
  }
  return result.startsWith("/") ? result : `/${result}`;
}
