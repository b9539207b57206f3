// Where a configuration may not send webhooks: every entry of the table of addresses and of the rules
// beside it (docs/events.md), as errors of the configuration, for a deployed Worker too.

import { describe, expect, it } from "vitest";
import { missingForSubscriptions } from "../../../src/edge/engine-subscriptions.ts";
import { errorsOf, minimalConfig, planOf } from "./sample.ts";

const ADDRESSES: readonly (readonly [block: string, address: string])[] = [
  ["0/8", "0.0.0.0"],
  ["10/8", "10.1.2.3"],
  ["100.64/10", "100.64.0.1"],
  ["169.254/16", "169.254.169.254"],
  ["172.16/12", "172.31.255.255"],
  ["192.0.0/24", "192.0.0.8"],
  ["192.0.2/24", "192.0.2.1"],
  ["192.88.99/24", "192.88.99.1"],
  ["192.168/16", "192.168.1.1"],
  ["198.18/15", "198.19.0.1"],
  ["198.51.100/24", "198.51.100.1"],
  ["203.0.113/24", "203.0.113.1"],
  ["224/4", "239.1.1.1"],
  ["240/4", "255.255.255.255"],
  ["::", "[::]"],
  ["fc00::/7", "[fd00::1]"],
  ["fe80::/10", "[febf::1]"],
  ["ff00::/8", "[ff02::1]"],
  ["2001:db8::/32", "[2001:db8::1]"],
  ["3fff::/20", "[3fff::1]"],
  ["100::/64", "[100::1]"],
  ["2002::/16", "[2002:a00:1::]"],
  ["64:ff9b::/96", "[64:ff9b::a00:1]"],
  ["5f00::/16", "[5f00::1]"],
  ["IPv4 in IPv6", "[::ffff:10.0.0.1]"],
  ["a number", "167772161"],
  ["hex", "0xa.1"],
  ["octal", "012.0.0.1"],
];
/**
 * Loopback is allowed on a developer's machine alone: a Worker that is deployed refuses it when it starts.
 */
const LOOPBACK = ["127.0.0.1", "127.1", "2130706433", "[::1]", "localhost", "app.localhost"];

const secrets = ["env:HOOK"];

function configOf(webhook: string) {
  const routes = [{ path: "/*", upstream: "a", hosts: ["api.acme.com"] }];
  return minimalConfig({ routes, subscriptions: { hook: { events: ["*"], deliver: { webhook, secrets } } } });
}

describe("a webhook", () => {
  it.for(ADDRESSES)("to %s (%s) is an error of the configuration", ([, address]) => {
    expect(errorsOf(configOf(`https://${address}/hook`))).toEqual([
      expect.stringContaining(
        "subscriptions.hook.deliver.webhook: must not lead to an address that is not public",
      ),
    ]);
  });

  it.for(LOOPBACK)("to %s keeps a deployed Worker from starting", (host) => {
    const plan = planOf(configOf(`https://${host}/hook`));
    const bindings = { HOOK: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" };
    expect(missingForSubscriptions(plan, bindings)).toEqual([
      expect.stringMatching(/^subscriptions\.hook\.deliver\.webhook: must /),
    ]);
    expect(missingForSubscriptions(plan, { ...bindings, TIDEGATE_LOCAL: "1" })).toEqual([]);
  });

  it.for([
    ["https://user@example.com/", "must not hold a user or a password"],
    ["https://example.com/#part", "must not hold a fragment"],
    ["https://example.com:22/", "must use port 443 or 8443"],
    ["https://api.acme.com./hook", "must not lead to the gateway itself"],
    ["https://metadata.google.internal/", "must have a host name that is public"],
    ["https://10.0.0.1.nip.io/", "must have a host name that is public"],
    ["ftp://example.com/", "must use https"],
  ] as const)("to %s is an error", ([url, rule]) => {
    expect(errorsOf(configOf(url))).toEqual([expect.stringContaining(rule)]);
  });

  it("by plain http keeps a deployed Worker from starting", () => {
    const plan = planOf(configOf("http://example.com/hook"));
    const lines = missingForSubscriptions(plan, { HOOK: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" });
    expect(lines).toEqual([expect.stringContaining("must use https")]);
  });
});
