// A second opinion on which route a request takes, written from the documented rules and sharing nothing
// with the gateway: paths are refused or not, then the first route wins whose path, method, host and
// headers all match. Patterns: literals, `:name` for one segment, `/*` at the end for any rest or none.

export interface RouteRule {
  readonly path: string;
  readonly methods?: readonly string[];
  readonly hosts?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly encodedSlashes?: boolean;
  readonly auth?: boolean;
}

export interface Asked {
  readonly method: string;
  /** Raw path, without the query. */
  readonly path: string;
  readonly host: string;
  readonly headers: ReadonlyMap<string, string>;
}

export type Opinion<Rule> =
  /** Refused with one of these codes. */
  | { readonly kind: "refused"; readonly codes: readonly string[] }
  /** Taken by this route; `strict` where a gateway may refuse the path as ambiguous instead. */
  | { readonly kind: "route"; readonly rule: Rule; readonly mayRefuse: boolean };

const HOST = /^(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL_OR_BACKSLASH = /[\\\x00-\x1f\x7f]|%(?:[01][0-9a-f]|7f)/i;
const ENCODED_SLASH = /%(?:2f|5c)/i;

/** What the rules say about a request. */
export function opinionOn<Rule extends RouteRule>(rules: readonly Rule[], asked: Asked): Opinion<Rule> {
  const { path, host } = asked;
  if (!HOST.test(host)) return { kind: "refused", codes: ["bad_request"] };
  if (CONTROL_OR_BACKSLASH.test(path) || hasDotSegment(decodeOnce(path))) {
    return { kind: "refused", codes: ["bad_path"] };
  }
  if (isOwnPath(path)) return { kind: "refused", codes: ["unauthorized", "bad_path"] };
  const onPath = rules.filter(
    (rule) => takesPath(rule, path) && takesHost(rule, host) && takesHeaders(rule, asked.headers),
  );
  const rule = onPath.find(
    ({ methods }) => methods === undefined || methods.includes(methodOf(asked.method)),
  );
  if (ENCODED_SLASH.test(path) && rule?.encodedSlashes !== true) {
    return { kind: "refused", codes: ["bad_path"] };
  }
  const mayRefuse = isAmbiguous(path);
  if (rule === undefined) {
    const code = onPath.length === 0 ? "route_not_found" : "method_not_allowed";
    return { kind: "refused", codes: mayRefuse ? [code, "bad_path"] : [code] };
  }
  return { kind: "route", rule, mayRefuse };
}

function methodOf(method: string): string {
  return method === "HEAD" ? "GET" : method;
}

function decodeOnce(path: string): string {
  return path.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function hasDotSegment(path: string): boolean {
  return path.split(/[/\\]/).some((segment) => segment === "." || segment === "..");
}

/** An escape that is none, or something that a second decoding would turn into a dot segment or a slash. */
function isAmbiguous(path: string): boolean {
  if (/%(?![0-9a-f]{2})/i.test(path)) return true;
  const twice = decodeOnce(decodeOnce(path));
  return hasDotSegment(twice) || /(?:^|[/\\])\.\.?;/.test(twice) || /%c[01]|%e0|%f0/i.test(path);
}

function isOwnPath(path: string): boolean {
  const plain = decodeOnce(path).replaceAll(/\/{2,}/g, "/");
  return plain === "/_gateway" || plain.startsWith("/_gateway/");
}

/** Encoded letters, digits and -._~ are the characters themselves; other escapes stay what they are. */
function comparable(segment: string): string {
  return segment.replaceAll(/%([0-9a-f]{2})/gi, (escape) => {
    const character = decodeOnce(escape);
    return /[A-Za-z0-9._~-]/.test(character) ? character : escape.toUpperCase();
  });
}

function takesPath({ path: pattern }: RouteRule, path: string): boolean {
  const wanted = pattern.split("/").slice(1);
  const given = path.split("/").slice(1).map(comparable);
  if (wanted.at(-1) === "*") {
    wanted.pop();
    if (given.length < wanted.length) return false;
    given.length = wanted.length;
  }
  if (given.length !== wanted.length) return false;
  return wanted.every((segment, index) =>
    segment.startsWith(":") ? given[index] !== "" : segment === given[index],
  );
}

function takesHost({ hosts }: RouteRule, host: string): boolean {
  const name = host.replace(/:\d+$/, "").toLowerCase();
  return hosts === undefined || hosts.includes(name);
}

function takesHeaders({ headers = {} }: RouteRule, given: ReadonlyMap<string, string>): boolean {
  return Object.entries(headers).every(([name, value]) => given.get(name) === value);
}
