// Paths: what is cut out, what is refused, and the law that what is matched is what is sent.

import * as fc from "fast-check";
import { describe, it } from "vitest";
import {
  gatewayPath,
  hasEncodedSlash,
  isGatewayPath,
  matchablePath,
  splitTarget,
} from "../../../src/http/paths.ts";

/** Pieces that make paths hostile: dots, slashes, escapes and nested escapes, overlong UTF-8, parameters. */
const HOSTILE_PIECES = [
  ..."/.;%\\?#a_~|'\"<>^`{}[]".split(""),
  ..."..|//|%2e|%2E|%252e|%25252E|%25%32%65|%2|%zz|%2f|%2F|%252f|%5c|%5C|%255C|%3b|%3B".split("|"),
  ..."%3f|%23|%00|%1f|%7f|%c0%ae|%C0%AF|%c1%9c|%e0%80%ae|%E0%80%AF|%f0%80%80%ae|%c0%a5".split("|"),
  ..."%25c0%25ae|%61|%C3%A9|%20|%25|%22|%7b|_gateway|%5fgateway|v1|pay".split("|"),
  " ",
  "\t",
  "\u007f",
  "é",
];

const hostilePath = fc
  .array(fc.constantFrom(...HOSTILE_PIECES), { maxLength: 14 })
  .map((pieces) => `/${pieces.join("")}`);

/** One decoding as a lenient server does it: bytes, overlong sequences read as the ASCII they spell. */
function decodeOnce(path: string): string {
  const bytes = path.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return bytes
    .replaceAll(/(?:\xc0|\xe0\x80|\xf0\x80\x80)\xae/g, ".")
    .replaceAll(/(?:\xc0|\xe0\x80|\xf0\x80\x80)\xaf/g, "/")
    .replaceAll(/(?:\xc0|\xe0\x80|\xf0\x80\x80)\xa5/g, "%")
    .replaceAll(/\xc1\x9c/g, "\\");
}

function hasDotSegment(path: string): boolean {
  return path.split(/[/\\]/).some((segment) => /^\.\.?$/.test(segment.split(";")[0]));
}

function encodeAsUrl(path: string): string {
  return path.replaceAll(/["<>^`{}]/g, (character) => encodeURIComponent(character));
}

function recognises(rawPath: string): boolean {
  const matchable = matchablePath(rawPath);
  return matchable !== null && isGatewayPath(matchable);
}

describe("splitTarget", () => {
  it("cuts path and query out as they came", ({ expect }) => {
    expect(splitTarget("http://h:80/a/../%zz//b?x='%27?y")).toEqual({
      path: "/a/../%zz//b",
      query: "?x='%27?y",
    });
    expect(splitTarget("https://h/")).toEqual({ path: "/", query: "" });
    expect(splitTarget("http://h/a?")).toEqual({ path: "/a", query: "?" });
    expect(splitTarget("http://h/a?b=/c://d")).toEqual({ path: "/a", query: "?b=/c://d" });
  });

  it("refuses what has no path after its authority, and every fragment", ({ expect }) => {
    for (const url of [
      "http://h*",
      "http://h",
      "http://h?a=/b",
      "http:///a",
      "/a",
      "://h/a",
      "http://h/a#b",
      "",
    ]) {
      expect(splitTarget(url), url).toBeNull();
    }
  });

  it("gives back all that follows the authority", ({ expect }) => {
    fc.assert(
      fc.property(hostilePath, (path) => {
        const target = splitTarget(`http://host:1${path}`);
        if (path.includes("#")) expect(target).toBeNull();
        else expect(`${target?.path}${target?.query}`).toBe(path);
      }),
    );
  });
});

describe("matchablePath", () => {
  it("returns ordinary paths unchanged", ({ expect }) => {
    for (const path of ["/", "//", "/a/b.c/d..e", "/a//b/", "/a;x=1/b,c", "/a:b@c!$&'()*+,=~-_", "/a|b[c]"]) {
      expect(matchablePath(path)).toBe(path);
    }
  });

  it("decodes escapes of unreserved characters and writes the others in upper case", ({ expect }) => {
    expect(matchablePath("/v1/p%61yments/%7euser%2D%5f")).toBe("/v1/payments/~user-_");
    expect(matchablePath("/caf%c3%a9%2fa%5cb%20%25")).toBe("/caf%C3%A9%2Fa%5Cb%20%25");
    expect(matchablePath("/a%2eb/v%31%2e0")).toBe("/a.b/v1.0");
  });

  it("writes what fetch would encode as fetch does", ({ expect }) => {
    expect(matchablePath('/"<>^`{}')).toBe("/%22%3C%3E%5E%60%7B%7D");
  });

  it("accepts names that begin with dots or hold them", ({ expect }) => {
    for (const path of ["/...", "/..a", "/.well-known/x", "/a..", "/a/.b;..", "/%2e%2e%2e", "/..%C3%A9"]) {
      expect(matchablePath(path), path).not.toBeNull();
    }
  });

  it("refuses a path that does not begin with a slash", ({ expect }) => {
    for (const path of ["", "a", "*", "%2Fa", "\\a"]) expect(matchablePath(path), path).toBeNull();
  });

  it("refuses control characters, raw or encoded", ({ expect }) => {
    for (let code = 0; code < 0x20; code++) {
      expect(matchablePath(`/a${String.fromCharCode(code)}`)).toBeNull();
      expect(matchablePath(`/a%${code.toString(16).padStart(2, "0")}`)).toBeNull();
    }
    expect(matchablePath("/a\u007f")).toBeNull();
    expect(matchablePath("/a%7F")).toBeNull();
    expect(matchablePath("/a%20")).toBe("/a%20");
  });

  it("refuses backslashes, spaces, characters beyond ASCII, and what ends a path", ({ expect }) => {
    for (const path of ["/a\\b", "/a b", "/é", "/\u{1f600}", "/a?b", "/a#b"]) {
      expect(matchablePath(path), path).toBeNull();
    }
  });

  it("refuses a percent sign without two hex digits", ({ expect }) => {
    for (const path of ["/%", "/%z", "/%zz", "/%2", "/%2g", "/%%41", "/a%u002e", "/%2/e"]) {
      expect(matchablePath(path), path).toBeNull();
    }
  });

  it("refuses dot segments in every encoding", ({ expect }) => {
    const dots = [
      ".",
      "..",
      "%2e",
      "%2E.",
      ".%2e",
      "%252e%252E",
      "%25252e.",
      "%25%32%65",
      "%c0%ae.",
      "%E0%80%AE",
    ];
    dots.push(
      "%f0%80%80%ae",
      "%25c0%25ae",
      "%c0%a52e",
      "..;x",
      "..;",
      "..%3bx",
      "..%253Bx",
      "..%3fx",
      "..%23x",
    );
    for (const segment of dots) {
      for (const slash of [
        "/",
        "%2f",
        "%2F",
        "%5c",
        "%5C",
        "%252f",
        "%255c",
        "%c0%af",
        "%c1%9c",
        "%e0%81%9c",
      ]) {
        expect(matchablePath(`/a${slash}${segment}`), `/a${slash}${segment}`).toBeNull();
        expect(matchablePath(`/a${slash}${segment}/b`), `/a${slash}${segment}/b`).toBeNull();
        expect(matchablePath(`/${segment}${slash}b`), `/${segment}${slash}b`).toBeNull();
      }
    }
  });

  it("takes time in proportion to the length of nested escapes", ({ expect }) => {
    expect(matchablePath(`/${"%25".repeat(5000)}2e`)).not.toBeNull();
    expect(matchablePath(`/%${"25".repeat(5000)}2e`)).toBeNull();
  });

  it("accepts only what a URL sends as it is matched", ({ expect }) => {
    fc.assert(
      fc.property(hostilePath, (path) => {
        const matchable = matchablePath(path);
        if (matchable === null) return;
        const sent = new URL(`http://h${path}`).pathname;
        expect(sent).toBe(encodeAsUrl(path));
        expect(matchablePath(sent)).toBe(matchable);
      }),
      { numRuns: 5000 },
    );
  });

  it("accepts nothing that one, two or three decodings turn into a dot segment", ({ expect }) => {
    fc.assert(
      fc.property(hostilePath, (path) => {
        let decoded = matchablePath(path);
        if (decoded === null) return;
        for (let times = 0; times <= 3; times++) {
          expect(hasDotSegment(decoded), `${path} -> ${decoded}`).toBe(false);
          decoded = decodeOnce(decoded);
        }
      }),
      { numRuns: 5000 },
    );
  });

  it("is idempotent and spells the same resource", ({ expect }) => {
    fc.assert(
      fc.property(hostilePath, (path) => {
        const matchable = matchablePath(path);
        if (matchable === null) return;
        expect(matchablePath(matchable)).toBe(matchable);
        expect(decodeOnce(matchable)).toBe(decodeOnce(path));
      }),
      { numRuns: 5000 },
    );
  });

  it("refuses no path of plain segments", ({ expect }) => {
    const name = fc.stringMatching(/^[A-Za-z0-9_~-][A-Za-z0-9._~!$&'()*+,;=:@-]{0,12}$/);
    fc.assert(
      fc.property(fc.array(name), (segments) => {
        const path = `/${segments.join("/")}`;
        expect(matchablePath(path)).toBe(path);
      }),
    );
  });
});

describe("hasEncodedSlash", () => {
  it("sees encoded slashes and backslashes only", ({ expect }) => {
    expect(hasEncodedSlash("/a%2Fb")).toBe(true);
    expect(hasEncodedSlash("/a%5Cb")).toBe(true);
    expect(hasEncodedSlash("/a/b")).toBe(false);
    expect(hasEncodedSlash("/a%20b%252F")).toBe(false);
  });
});

describe("isGatewayPath", () => {
  it("recognises the gateway's paths in every spelling", ({ expect }) => {
    const spellings = ["/_gateway", "/_gateway/", "/_gateway/state", "//_gateway//state", "/%5Fgatew%61y/x"];
    spellings.push("/%2F_gateway", "/%2f%2F/_gateway%2Fstate", "///_gateway");
    for (const path of spellings) expect(recognises(path), path).toBe(true);
  });

  it("leaves all other paths to the routes", ({ expect }) => {
    const others = [
      "/",
      "/_gatewayx",
      "/_gateway;x",
      "/a/_gateway",
      "/_GATEWAY",
      "/_gateway%5Cstate",
      "/%255Fgateway",
    ];
    for (const path of others) expect(recognises(path), path).toBe(false);
  });

  it("agrees with the decoded and collapsed path", ({ expect }) => {
    fc.assert(
      fc.property(hostilePath, (path) => {
        const matchable = matchablePath(path);
        if (matchable === null) return;
        const decoded = gatewayPath(matchable);
        expect(decoded).not.toContain("//");
        expect(isGatewayPath(matchable)).toBe(/^\/_gateway(?:\/|$)/.test(decoded));
      }),
      { numRuns: 3000 },
    );
  });

  it("decodes once and leaves bytes that are no UTF-8", ({ expect }) => {
    expect(gatewayPath("/_gateway%2Fjobs//caf%C3%A9%252F")).toBe("/_gateway/jobs/café%2F");
    expect(gatewayPath("/_gateway/%FF%20")).toBe("/_gateway/%FF%20");
  });
});
