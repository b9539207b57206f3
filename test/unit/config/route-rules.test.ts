// Every rule of routes: the bad value, and the exact line that it gives.

import { describe } from "vitest";
import {
  NAME_RULE,
  DURATION_RULE,
  VALUE_RULE,
  RESERVED_RULE,
  NEVER_MATCHES_RULE,
  HIDDEN,
  expectLines,
} from "./rule-lines.ts";
import { minimalConfig, withRoute } from "./sample.ts";

describe("routes: what matches", () => {
  expectLines([
    [`routes[0].name: ${NAME_RULE} (got "/pay")`, withRoute({ name: "/pay" })],
    ["routes[0].path: is required", withRoute({ path: undefined })],
    ['routes[0].path: must be a path that begins with "/" (got "v1")', withRoute({ path: "v1" })],
    ['routes[0].path: must be a path that begins with "/" (got 1)', withRoute({ path: 1 })],
    [`routes[0].path: ${NEVER_MATCHES_RULE} (got "/a/../b")`, withRoute({ path: "/a/../b" })],
    [`routes[0].path: ${NEVER_MATCHES_RULE} (got "/a/%2e%2E/b")`, withRoute({ path: "/a/%2e%2E/b" })],
    [`routes[0].path: ${NEVER_MATCHES_RULE} (got "/a b")`, withRoute({ path: "/a b" })],
    [`routes[0].path: ${NEVER_MATCHES_RULE} (got "/caf\u00e9")`, withRoute({ path: "/caf\u00e9" })],
    ['routes[0].path: cannot hold a query or a fragment (got "/a?b=1")', withRoute({ path: "/a?b=1" })],
    [
      'routes[0].path: holds an encoded slash, so the route needs encodedSlashes: true (got "/a%2Fb")',
      withRoute({ path: "/a%2Fb" }),
    ],
    [
      `routes[0].path: cannot be under /_gateway, which is the gateway's own (got "/_gateway/health")`,
      withRoute({ path: "/_gateway/health" }),
    ],
    [
      `routes[0].path: cannot be under /_gateway, which is the gateway's own (got "//_gatew%61y/:x")`,
      withRoute({ path: "//_gatew%61y/:x" }),
    ],
    [
      'routes[0].path: may hold * only as a whole segment, and braces only after a parameter (got "/a*")',
      withRoute({ path: "/a*" }),
    ],
    [
      'routes[0].path: has a parameter that is not :name, :name{regex} or :name? (got "/:")',
      withRoute({ path: "/:" }),
    ],
    [
      'routes[0].path: may have * only at its end, use a :name parameter for one segment (got "/a/*/b")',
      withRoute({ path: "/a/*/b" }),
    ],
    ['routes[0].path: only the last parameter may be optional (got "/:a?/b")', withRoute({ path: "/:a?/b" })],
    [
      'routes[0].path: is no pattern that Hono\'s router can take (got "/:a{[}")',
      withRoute({ path: "/:a{[}" }),
    ],
    [
      "routes[0].methods: must be a list of at least one method (got an empty list)",
      withRoute({ methods: [] }),
    ],
    [
      'routes[0].methods[0]: must be a method like GET or POST (got "FETCH")',
      withRoute({ methods: ["FETCH"] }),
    ],
    [
      'routes[0].methods[1]: must be a method like GET or POST (got "CONNECT")',
      withRoute({ methods: ["GET", "CONNECT"] }),
    ],
    [
      'routes[0].hosts[0]: must be a host name, without wildcards (got "*.a.test")',
      withRoute({ hosts: ["*.a.test"] }),
    ],
    [
      'routes[0].hosts[0]: must be a host name, without wildcards (got "https://a.test")',
      withRoute({ hosts: ["https://a.test"] }),
    ],
    [
      `routes[0].headers["a b"]: must be a header field's name ${HIDDEN}`,
      withRoute({ headers: { "a b": "1" } }),
    ],
    [`routes[0].headers.x-v: ${VALUE_RULE} (got 2)`, withRoute({ headers: { "x-v": 2 } })],
    [`routes[0].headers.X-V: is given twice ${HIDDEN}`, withRoute({ headers: { "x-v": "1", "X-V": "2" } })],
    [`routes[0].headers.x-v: cannot be a secret here ${HIDDEN}`, withRoute({ headers: { "x-v": "env:V" } })],
    ['routes[0].encodedSlashes: must be true or false (got "yes")', withRoute({ encodedSlashes: "yes" })],
    [
      'routes[1].name: is already the name of routes[0] (got "n")',
      minimalConfig({
        routes: [
          { name: "n", path: "/a", upstream: "a" },
          { name: "n", path: "/b", upstream: "a" },
        ],
      }),
    ],
  ]);
});

describe("routes: what they refer to", () => {
  expectLines([
    [
      "routes[0].upstream: is required, or a queue, saga or event in its place",
      withRoute({ upstream: undefined }),
    ],
    ['routes[0].upstream: is no upstream (got "b")', withRoute({ upstream: "b" })],
    ['routes[0].upstream: is no upstream (got "toString")', withRoute({ upstream: "toString" })],
    ["routes[0].upstream: must be the name of an upstream (got 5)", withRoute({ upstream: 5 })],
    ['routes[0].limits[0]: is no limit (got "l")', withRoute({ limits: ["l"] })],
    ['routes[0].limits: must be a list of limits (got "l")', withRoute({ limits: "l" })],
    ['routes[0].auth[0]: is no consumer (got "acme")', withRoute({ auth: ["acme"] })],
    [
      "routes[0].auth: must be true, false or a list of at least one consumer (got an empty list)",
      withRoute({ auth: [] }),
    ],
    [
      'routes[0].auth: must be true, false or a list of at least one consumer (got "acme")',
      withRoute({ auth: "acme" }),
    ],
    ['routes[0].priority: must be "P0", "P1", "P2" or "P3" (got "P4")', withRoute({ priority: "P4" })],
  ]);
});

describe("routes: what they change and bound", () => {
  const rewriteRule = 'must be a path that begins with "/"';

  expectLines([
    [`routes[0].request.path: ${rewriteRule} (got "charge")`, withRoute({ request: { path: "charge" } })],
    [
      'routes[0].request.path: must be visible ASCII: percent-encode the rest (got "/a b")',
      withRoute({ request: { path: "/a b" } }),
    ],
    [
      'routes[0].request.path: must be literal text, :name parameters and a final * (got "/a?b=1")',
      withRoute({ request: { path: "/a?b=1" } }),
    ],
    [
      'routes[0].request.path: cannot be sent: it holds a dot segment, a backslash or a bad percent-encoding (got "/%2e%2e/*")',
      withRoute({ request: { path: "/%2e%2e/*" } }),
    ],
    [
      'routes[0].request.path: has the parameter :id that the route\'s path does not have (got "/:id")',
      withRoute({ request: { path: "/:id" } }),
    ],
    [
      'routes[0].request.path: has a * that the route\'s path does not end with (got "/b/*")',
      withRoute({ path: "/a", request: { path: "/b/*" } }),
    ],
    [
      `routes[0].request.set.via: ${RESERVED_RULE} ${HIDDEN}`,
      withRoute({ request: { set: { via: "1.1 x" } } }),
    ],
    [
      `routes[0].request.set.Host: ${RESERVED_RULE} ${HIDDEN}`,
      withRoute({ request: { set: { Host: "x" } } }),
    ],
    [
      `routes[0].request.set.connection: ${RESERVED_RULE} ${HIDDEN}`,
      withRoute({ request: { set: { connection: "x" } } }),
    ],
    [
      `routes[0].request.set.X-Tidegate-Class: x-tidegate-* is the gateway's own and cannot be edited ${HIDDEN}`,
      withRoute({ request: { set: { "X-Tidegate-Class": "P0" } } }),
    ],
    [
      `routes[0].request.set.x-a: ${VALUE_RULE} ${HIDDEN}`,
      withRoute({ request: { set: { "x-a": "1\r\nx-b: 2" } } }),
    ],
    [
      `routes[0].request.set.x-a: ${VALUE_RULE} ${HIDDEN}`,
      withRoute({ request: { set: { "x-a": "a\0b" } } }),
    ],
    [
      `routes[0].request.set.x-a: must be "env:NAME" with the name of a secret ${HIDDEN}`,
      withRoute({ request: { set: { "x-a": "env:a b" } } }),
    ],
    [
      "routes[0].request.set: must be an object of header fields (got a list)",
      withRoute({ request: { set: ["x"] } }),
    ],
    [
      `routes[0].request.remove[0]: ${RESERVED_RULE} (got "content-length")`,
      withRoute({ request: { remove: ["content-length"] } }),
    ],
    [
      'routes[0].request.remove[0]: must be a header field\'s name (got "a:b")',
      withRoute({ request: { remove: ["a:b"] } }),
    ],
    [
      `routes[0].response.set.transfer-encoding: ${RESERVED_RULE} ${HIDDEN}`,
      withRoute({ response: { set: { "transfer-encoding": "x" } } }),
    ],
    ["routes[0].response.path: unknown key", withRoute({ response: { path: "/x" } })],
    [`routes[0].deadline: ${DURATION_RULE} (got null)`, withRoute({ deadline: null })],
    [
      'routes[0].bodyLimit: must be bytes or a size like "64KiB" "10MiB" (got "10MB")',
      withRoute({ bodyLimit: "10MB" }),
    ],
    ["routes[0].concurrency.max: is required", withRoute({ concurrency: {} })],
    ["routes[0].concurrency.adaptive: unknown key", withRoute({ concurrency: { max: 1, adaptive: true } })],
    [
      "routes[0].fallback.status: must be a whole number from 200 to 599 (got 100)",
      withRoute({ fallback: { status: 100 } }),
    ],
    ["routes[0].fallback.body: must be text (got an object)", withRoute({ fallback: { body: {} } })],
    [
      'routes[0].fallback.body: must be empty: an answer with status 204 has no body (got "x")',
      withRoute({ fallback: { status: 204, body: "x" } }),
    ],
    [
      `routes[0].fallback.headers.content-length: ${RESERVED_RULE} ${HIDDEN}`,
      withRoute({ fallback: { headers: { "content-length": "2" } } }),
    ],
  ]);
});
