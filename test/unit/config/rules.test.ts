// Every rule of the configuration but those of routes, limits and counters: the bad value, and the exact
// line that it gives.

import { describe } from "vitest";
import { it } from "vitest";
import { MAX_DURATION_MS } from "../../../src/config/fields.ts";
import { MAX_ATTEMPTS, MAX_WAITING } from "../../../src/config/schema-upstreams.ts";
import { MAX_PERMITS } from "../../../src/resilience/permits.ts";
import {
  NAME_RULE,
  RATE_RULE,
  DURATION_RULE,
  DURATION_OR_ZERO_RULE,
  URL_RULE,
  KEY_RULE,
  HIDDEN,
  least,
  between,
  expectLines,
} from "./rule-lines.ts";
import { errorsOf, KEY_HASH, minimalConfig, withConsumer, withTargets, withUpstream } from "./sample.ts";

describe("the configuration", () => {
  expectLines([
    ["configuration: must be an object (got null)", null],
    ["configuration: must be an object (got an empty list)", []],
    ['configuration: must be an object (got "text")', "text"],
    ["configuration: must be an object (got a function)", () => 1],
    ["configuration: is required", undefined],
    ["routes: is required", minimalConfig({ routes: undefined })],
    ["routes: must be a list of at least one route (got an empty list)", minimalConfig({ routes: [] })],
    ["routes: must be a list of at least one route (got an object)", minimalConfig({ routes: {} })],
    ["routes[1]: must be an object (got 5)", minimalConfig({ routes: [{ path: "/", upstream: "a" }, 5] })],
    [`name: ${NAME_RULE} (got "my gateway")`, minimalConfig({ name: "my gateway" })],
    ["consumers: must be an object of names (got a list)", minimalConfig({ consumers: [1] })],
    [
      "upstreams.b: is required",
      minimalConfig({ upstreams: { a: { targets: ["http://a"] }, b: undefined } }),
    ],
    ["upstream: unknown key, did you mean upstreams?", minimalConfig({ upstream: {} })],
    ["upstreams.a.timeot: unknown key, did you mean timeout?", withUpstream({ timeot: "1s" })],
    ["upstreams.a.Timeout: unknown key, did you mean timeout?", withUpstream({ Timeout: "1s" })],
    ["upstreams.a.colour: unknown key", withUpstream({ colour: "red" })],
    ['upstreams.a["two\\nlines"]: unknown key', withUpstream({ "two\nlines": 1 })],
    ["upstreams.a.__proto__: unknown key", withUpstream(JSON.parse('{"__proto__": 1}'))],
  ]);
});

describe("names", () => {
  const longest = `a${"b".repeat(63)}`;

  it("takes 64 characters and no more", ({ expect }) => {
    expect(errorsOf(minimalConfig({ tenants: { [longest]: {} } }))).toEqual([]);
    expect(errorsOf(minimalConfig({ tenants: { [`${longest}c`]: {} } }))).toHaveLength(1);
  });

  expectLines([
    [
      `upstreams["b c"]: ${NAME_RULE} (got "b c")`,
      minimalConfig({ upstreams: { a: { targets: ["http://a"] }, "b c": { targets: ["http://b"] } } }),
    ],
    [
      `consumers["1st"]: ${NAME_RULE} ${HIDDEN}`,
      minimalConfig({ consumers: { "1st": { keys: ["env:KEY"] } } }),
    ],
    [
      `limits.*: ${NAME_RULE} (got "*")`,
      minimalConfig({ limits: { "*": { key: "ip", rate: 1, per: "1s" } } }),
    ],
    [`tenants[""]: ${NAME_RULE} (got "")`, minimalConfig({ tenants: { "": {} } })],
    [
      `tenants.__proto__: ${NAME_RULE} (got "__proto__")`,
      minimalConfig({ tenants: JSON.parse('{"__proto__": {}}') }),
    ],
  ]);
});

describe("targets", () => {
  expectLines([
    ["upstreams.a.targets: is required", withUpstream({ targets: undefined })],
    ["upstreams.a.targets: must be a list of at least one target (got an empty list)", withTargets()],
    [
      'upstreams.a.targets: must be a list of at least one target (got "http://a")',
      withUpstream({ targets: "http://a" }),
    ],
    [`upstreams.a.targets[0]: ${URL_RULE} (got "a.test")`, withTargets("a.test")],
    [`upstreams.a.targets[0]: ${URL_RULE} (got "ftp://a.test")`, withTargets("ftp://a.test")],
    [`upstreams.a.targets[0]: ${URL_RULE} (got "http://")`, withTargets("http://")],
    [`upstreams.a.targets[0]: ${URL_RULE} (got "http:///path")`, withTargets("http:///path")],
    [`upstreams.a.targets[0]: ${URL_RULE} (got "http://a b")`, withTargets("http://a b")],
    [`upstreams.a.targets[0]: ${URL_RULE} (got "http://a\\\\b")`, withTargets("http://a\\b")],
    [`upstreams.a.targets[0]: ${URL_RULE} ${HIDDEN}`, withTargets("http://user:pass@a.test")],
    [`upstreams.a.targets[0]: ${URL_RULE} ${HIDDEN}`, withTargets("http://a.test/?token=x")],
    [`upstreams.a.targets[0]: ${URL_RULE} ${HIDDEN}`, withTargets("http://a.test/#x")],
    [`upstreams.a.targets[0].url: ${URL_RULE} (got "x")`, withTargets({ url: "x" })],
    [`upstreams.a.targets[0]: ${URL_RULE} (got 5)`, withTargets(5)],
    ["upstreams.a.targets[0]: must have a url or a binding (got an object)", withTargets({ weight: 2 })],
    [
      "upstreams.a.targets[0].weight: must be a number above 0 (got 0)",
      withTargets({ url: "http://a", weight: 0 }),
    ],
    [
      "upstreams.a.targets[0].weight: must be a number above 0 (got Infinity)",
      withTargets({ url: "http://a", weight: Infinity }),
    ],
    [
      'upstreams.a.targets[0].binding: must be the name of a binding (got "MY-API")',
      withTargets({ binding: "MY-API" }),
    ],
    [
      "upstreams.a.targets[0].bindng: unknown key, did you mean binding?",
      withTargets({ url: "http://a", bindng: "A" }),
    ],
    [
      'upstreams.a.targets[1]: is listed twice, use weight to send more to it (got "http://a")',
      withTargets("http://a", "http://a"),
    ],
  ]);
});

describe("breaker, concurrency and retry", () => {
  expectLines([
    [`upstreams.a.timeout: ${DURATION_RULE} (got "10 s")`, withUpstream({ timeout: "10 s" })],
    [`upstreams.a.timeout: ${DURATION_RULE} (got 0)`, withUpstream({ timeout: 0 })],
    [`upstreams.a.timeout: ${DURATION_RULE} (got -1)`, withUpstream({ timeout: -1 })],
    [
      `upstreams.a.timeout: ${DURATION_RULE} (got ${MAX_DURATION_MS + 1})`,
      withUpstream({ timeout: MAX_DURATION_MS + 1 }),
    ],
    ["upstreams.a.breaker: must be false or an object (got true)", withUpstream({ breaker: true })],
    [
      `upstreams.a.breaker.failureRate: ${RATE_RULE} (got 1.1)`,
      withUpstream({ breaker: { failureRate: 1.1 } }),
    ],
    [`upstreams.a.breaker.failureRate: ${RATE_RULE} (got 0)`, withUpstream({ breaker: { failureRate: 0 } })],
    [
      `upstreams.a.breaker.failureRate: ${RATE_RULE} (got NaN)`,
      withUpstream({ breaker: { failureRate: NaN } }),
    ],
    [
      `upstreams.a.breaker.slowCallRate: ${RATE_RULE} (got "0.5")`,
      withUpstream({ breaker: { slowCallRate: "0.5" } }),
    ],
    [
      'upstreams.a.breaker.slowCall: must be false, or ms or a duration like "250ms" above 0 (got true)',
      withUpstream({ breaker: { slowCall: true } }),
    ],
    [`upstreams.a.breaker.minimumCalls: ${least(1)} (got 0)`, withUpstream({ breaker: { minimumCalls: 0 } })],
    [`upstreams.a.breaker.window: ${DURATION_RULE} (got 0)`, withUpstream({ breaker: { window: 0 } })],
    [
      `upstreams.a.breaker.consecutive: ${least(1)} (got 1.5)`,
      withUpstream({ breaker: { consecutive: 1.5 } }),
    ],
    [`upstreams.a.breaker.probes: ${least(1)} (got 0)`, withUpstream({ breaker: { probes: 0 } })],
    [
      `upstreams.a.breaker.rampUp: ${DURATION_OR_ZERO_RULE} (got "fast")`,
      withUpstream({ breaker: { rampUp: "fast" } }),
    ],
    [
      'upstreams.a.breaker.maxOpenFor: must be at least openFor (got "1s")',
      withUpstream({ breaker: { openFor: 2000, maxOpenFor: "1s" } }),
    ],
    ["upstreams.a.concurrency: must be an object (got false)", withUpstream({ concurrency: false })],
    [
      `upstreams.a.concurrency.max: ${between(1, MAX_PERMITS)} (got 0)`,
      withUpstream({ concurrency: { max: 0 } }),
    ],
    [
      `upstreams.a.concurrency.max: ${between(1, MAX_PERMITS)} (got ${MAX_PERMITS + 1})`,
      withUpstream({ concurrency: { max: MAX_PERMITS + 1 } }),
    ],
    [
      `upstreams.a.concurrency.waiting: ${between(0, MAX_WAITING)} (got ${MAX_WAITING + 1})`,
      withUpstream({ concurrency: { waiting: MAX_WAITING + 1 } }),
    ],
    [
      'upstreams.a.concurrency.adaptive: must be true or false (got "yes")',
      withUpstream({ concurrency: { adaptive: "yes" } }),
    ],
    [
      `upstreams.a.retry.attempts: ${between(1, MAX_ATTEMPTS)} (got ${MAX_ATTEMPTS + 1})`,
      withUpstream({ retry: { attempts: MAX_ATTEMPTS + 1 } }),
    ],
    [
      "upstreams.a.retry.budget: must be a number from 0 to 1 (got 1.1)",
      withUpstream({ retry: { budget: 1.1 } }),
    ],
    [
      'upstreams.a.retry.maxDelay: must be at least delay (got "1ms")',
      withUpstream({ retry: { delay: "2ms", maxDelay: "1ms" } }),
    ],
    ['upstreams.a.retry: must be false or an object (got "none")', withUpstream({ retry: "none" })],
  ]);

  it.for([
    { timeout: MAX_DURATION_MS },
    { breaker: { failureRate: 1, slowCallRate: 1, minimumCalls: 1, consecutive: 1, probes: 1, rampUp: 0 } },
    { concurrency: { max: MAX_PERMITS, waiting: MAX_WAITING, maxWait: 0 } },
    { concurrency: { max: 1, waiting: 0 } },
    { retry: { attempts: MAX_ATTEMPTS, budget: 0, delay: 0, maxDelay: 0 } },
  ])("accepts the bounds themselves: %j", (upstream, { expect }) => {
    expect(errorsOf(withUpstream(upstream))).toEqual([]);
  });
});

describe("consumers and tenants", () => {
  const other = "f".repeat(64);

  expectLines([
    ["consumers.c.keys: is required", withConsumer({ keys: undefined })],
    ["consumers.c.keys: must be a list of at least one key (got an empty list)", withConsumer({ keys: [] })],
    [`consumers.c.keys[0]: ${KEY_RULE} ${HIDDEN}`, withConsumer({ keys: ["demo-key"] })],
    [`consumers.c.keys[0]: ${KEY_RULE} ${HIDDEN}`, withConsumer({ keys: [KEY_HASH] })],
    [`consumers.c.keys[0]: ${KEY_RULE} ${HIDDEN}`, withConsumer({ keys: ["env:"] })],
    [`consumers.c.keys[0]: ${KEY_RULE} ${HIDDEN}`, withConsumer({ keys: ["env:MY KEY"] })],
    [
      `consumers.c.keys[1]: is already a key of consumers.c ${HIDDEN}`,
      withConsumer({ keys: ["env:K", "env:K"] }),
    ],
    [
      `consumers.d.keys[0]: is already a key of consumers.c ${HIDDEN}`,
      minimalConfig({
        consumers: { c: { keys: [`sha256:${other}`] }, d: { keys: [`sha256:${other.toUpperCase()}`] } },
      }),
    ],
    [`consumers.c.tenant: ${NAME_RULE} (got "*")`, withConsumer({ tenant: "*" })],
    ['consumers.c.priority: must be "P0", "P1", "P2" or "P3" (got 0)', withConsumer({ priority: 0 })],
    [
      'consumers.c.tenant: must be one of tenants, or tenants must have "*" (got "acm")',
      withConsumer({ tenant: "acm" }, { tenants: { acme: {} } }),
    ],
    [
      'consumers.c.tenant: must be one of tenants, or tenants must have "*" (got "constructor")',
      withConsumer({ tenant: "constructor" }, { tenants: {} }),
    ],
    [`tenants.acme.share: ${RATE_RULE} (got 1.5)`, minimalConfig({ tenants: { acme: { share: 1.5 } } })],
    [
      `tenants.acme.concurrency: ${between(1, MAX_PERMITS)} (got 0)`,
      minimalConfig({ tenants: { acme: { concurrency: 0 } } }),
    ],
  ]);
});
