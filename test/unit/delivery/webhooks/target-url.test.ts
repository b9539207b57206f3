// Where a webhook may go, URL by URL.

import { describe, expect, it } from "vitest";
import { isLoopbackAddress, isPublicAddress } from "../../../../src/delivery/webhooks/core/addresses.ts";
import {
  MAX_TARGET_CHARS,
  TARGET_RULES,
  checkTarget,
  type TargetRefusal,
  type TargetRules,
} from "../../../../src/delivery/webhooks/core/target-url.ts";

const RULES: TargetRules = {
  isLocal: false,
  ownHosts: ["api.acme.com", "*.gate.acme.com", "acme.workers.dev."],
  ports: [9443],
};

function verdict(url: string, rules: TargetRules = RULES): TargetRefusal | "allowed" {
  const check = checkTarget(url, rules);
  return check.kind === "allowed" ? "allowed" : check.reason;
}

describe("from outside", () => {
  it.for<[string, TargetRefusal | "allowed"]>([
    ["https://billing.example.com/hook", "allowed"],
    ["https://billing.example.com", "allowed"],
    ["https://billing.example.com:443/a?b=c", "allowed"],
    ["https://billing.example.com:8443/", "allowed"],
    ["https://billing.example.com:9443/", "allowed"],
    ["https://BILLING.Example.Com./hook", "allowed"],
    ["https://b\u00fccher.example.com/", "allowed"],
    ["https://my_hook.example.com/", "allowed"],
    ["https://a.internal.example.com/", "allowed"],
    ["https://8.8.8.8/hook", "allowed"],
    ["https://[2606:4700::1111]/", "allowed"],
    ["https://example.com/@user", "allowed"],
    ["https://notacme.com/", "allowed"],
    ["https://gate.acme.com.example.com/", "allowed"],
    // scheme
    ["http://billing.example.com/hook", "scheme"],
    ["ftp://billing.example.com/", "scheme"],
    ["file:///etc/passwd", "malformed"],
    ["javascript://example.com/%0aalert(1)", "scheme"],
    ["gopher://127.0.0.1:25/", "scheme"],
    ["data:text/plain,x", "malformed"],
    // written so that people and parsers differ
    ["", "malformed"],
    ["billing.example.com", "malformed"],
    ["//billing.example.com/", "malformed"],
    ["https:/billing.example.com/", "malformed"],
    ["https:billing.example.com", "malformed"],
    ["https:///billing.example.com/", "malformed"],
    ["https://exa mple.com/", "malformed"],
    [" https://example.com/", "malformed"],
    ["https://example.com\t/", "malformed"],
    ["https://example.com\\@127.0.0.1/", "malformed"],
    ["https://example.com/a\\b", "malformed"],
    ["https://exam\u0000ple.com/", "malformed"],
    ["https://example.com\u00a0/", "malformed"],
    ["https://[::1/", "malformed"],
    ["https://[fe80::1%25eth0]/", "malformed"],
    ["https://1.2.3.4.5/", "malformed"],
    ["https://256.1.1.1/", "malformed"],
    [`https://example.com/${"a".repeat(MAX_TARGET_CHARS)}`, "too-long"],
    // userinfo and fragment
    ["https://user@example.com/", "userinfo"],
    ["https://user:pass@example.com/", "userinfo"],
    ["https://@example.com/", "userinfo"],
    ["https://:@example.com/", "userinfo"],
    ["https://example.com@127.0.0.1/", "userinfo"],
    ["https://@[::1]/", "userinfo"],
    ["https://example.com/#a", "fragment"],
    ["https://example.com/#", "fragment"],
    // ports
    ["https://example.com:80/", "port"],
    ["https://example.com:22/", "port"],
    ["https://example.com:0/", "port"],
    ["https://example.com:65535/", "port"],
    ["https://example.com:99999/", "malformed"],
    // IPv4 in every spelling
    ["https://127.0.0.1/", "address"],
    ["https://127.0.0.1./", "address"],
    ["https://127.1/", "address"],
    ["https://2130706433/", "address"],
    ["https://0x7f000001/", "address"],
    ["https://0x7f.0.0.1/", "address"],
    ["https://017700000001/", "address"],
    ["https://0177.0.0.1/", "address"],
    ["https://0/", "address"],
    ["https://%31%32%37.0.0.1/", "address"],
    ["https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/", "address"],
    ["https://127\u30020\u30020\u30021/", "address"],
    ["https://2852039166/", "address"], // 169.254.169.254
    ["https://0xA9FEA9FE/", "address"],
    ["https://169.254.169.254/latest/meta-data/", "address"],
    // IPv6 in every spelling
    ["https://[::1]/", "address"],
    ["https://[::]/", "address"],
    ["https://[0:0:0:0:0:0:0:1]/", "address"],
    ["https://[::ffff:127.0.0.1]/", "address"],
    ["https://[::ffff:7f00:1]/", "address"],
    ["https://[::ffff:8.8.8.8]/", "address"],
    ["https://[::127.0.0.1]/", "address"],
    ["https://[64:ff9b::127.0.0.1]/", "address"],
    ["https://[64:ff9b::a9fe:a9fe]/", "address"],
    ["https://[64:ff9b:1::a00:1]/", "address"],
    ["https://[2002:7f00:1::]/", "address"],
    ["https://[2001:0:7f00:1::]/", "address"],
    ["https://[fd00:ec2::254]/", "address"],
    // names
    ["https://localhost/", "special-host"],
    ["https://LOCALHOST./", "special-host"],
    ["https://foo.localhost/", "special-host"],
    ["https://intranet/", "special-host"],
    ["https://metadata.google.internal/", "special-host"],
    ["https://metadata.google.internal./", "special-host"],
    ["https://printer.local/", "special-host"],
    ["https://router.home.arpa/", "special-host"],
    ["https://1.0.0.127.in-addr.arpa/", "special-host"],
    ["https://a.test/", "special-host"],
    ["https://a.example/", "special-host"],
    ["https://a.invalid/", "special-host"],
    ["https://a.onion/", "special-host"],
    ["https://127.0.0.1.nip.io/", "special-host"],
    ["https://10-0-0-1.sslip.io/", "special-host"],
    ["https://localtest.me/", "special-host"],
    ["https://a..example.com/", "special-host"],
    [`https://${"a".repeat(64)}.com/`, "special-host"],
    [`https://${"a.".repeat(130)}com/`, "special-host"],
    // the gateway itself
    ["https://api.acme.com/", "own-host"],
    ["https://API.acme.com./hook", "own-host"],
    ["https://api.acme.com:8443/", "own-host"],
    ["https://gate.acme.com/", "own-host"],
    ["https://eu.gate.acme.com/", "own-host"],
    ["https://acme.workers.dev/", "own-host"],
  ])("%s: %s", ([url, expected]) => {
    expect(verdict(url)).toBe(expected);
  });

  it("is given on as it was judged", () => {
    expect(checkTarget("https://EXAMPLE.com:443/a/../b", RULES)).toEqual({
      kind: "allowed",
      url: "https://example.com/b",
    });
  });
});

describe("in local development", () => {
  it.for<[string, TargetRefusal | "allowed"]>([
    ["http://localhost:3000/hook", "allowed"],
    ["http://127.0.0.1:9999/", "allowed"],
    ["http://[::1]:1/", "allowed"],
    ["https://app.localhost:5000/", "allowed"],
    ["http://billing.example.com/", "allowed"],
    ["http://billing.example.com:3000/", "port"],
    ["http://10.0.0.1/", "address"],
    ["http://169.254.169.254/", "address"],
    ["http://[::ffff:127.0.0.1]/", "address"],
    ["http://intranet/", "special-host"],
    ["http://user@localhost/", "userinfo"],
    ["http://localhost/#a", "fragment"],
    ["ftp://localhost/", "scheme"],
  ])("%s: %s", ([url, expected]) => {
    expect(verdict(url, { ...RULES, isLocal: true })).toBe(expected);
  });
});

describe("addresses", () => {
  // First and last of each block, and their neighbours.
  it.for<[string, string, string | null, string | null]>([
    ["0.0.0.0", "0.255.255.255", null, "1.0.0.0"],
    ["10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"],
    ["100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"],
    ["127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"],
    ["169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"],
    ["172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"],
    ["192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"],
    ["192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"],
    ["192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"],
    ["192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"],
    ["198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"],
    ["198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"],
    ["203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"],
    ["224.0.0.0", "255.255.255.255", "223.255.255.255", null],
    ["::", "1fff:ffff::1", null, "2003::"],
    ["2001::", "2001:1ff:ffff::", null, "2001:200::"],
    ["2001:db8::", "2001:db8:ffff::1", "2001:db7::", "2001:db9::"],
    ["2002::", "2002:ffff::1", "2001:ffff::", "2003::"],
    ["3fff::", "3fff:fff::1", "3ffe::", "3fff:1000::"],
    ["4000::", "ffff::1", "3fff:ffff::", null],
    ["fc00::", "fdff::1", null, null],
    ["fe80::", "febf::1", null, null],
    ["ff00::", "ff02::1", null, null],
    ["100::", "5f00::1", null, null],
  ])("%s to %s are not public, their neighbours are", ([first, last, before, after]) => {
    expect([first, last].map(isPublicAddress)).toEqual([false, false]);
    const neighbours = [before, after].filter((neighbour) => neighbour !== null);
    expect(neighbours.filter((neighbour) => !isPublicAddress(neighbour))).toEqual([]);
  });

  it("are neither names nor nothing", () => {
    for (const text of ["", "example.com", "1.2.3", "1.2.3.256", "[2606:4700::1]"]) {
      expect(isPublicAddress(text)).toBe(false);
    }
    expect(["127.0.0.1", "127.9.9.9", "::1"].map(isLoopbackAddress)).toEqual([true, true, true]);
    expect(["128.0.0.1", "::2", "127.0.0.1.example.com", ""].map(isLoopbackAddress)).not.toContain(true);
  });
});

it("says for every refusal what would be right", () => {
  for (const rule of Object.values(TARGET_RULES)) expect(rule).toMatch(/^must /);
});
