import * as fc from "fast-check";
import { isIP } from "node:net";
import { describe, it } from "vitest";
import { addressUser, parseIpv6 } from "../../../src/http/client-address.ts";

describe("addressUser", () => {
  it("takes an IPv4 address as it is", ({ expect }) => {
    const addresses = ["0.0.0.0", "203.0.113.7", "255.255.255.255"];
    expect(addresses.map(addressUser)).toEqual(addresses);
  });

  it("takes an IPv4-mapped address as its IPv4", ({ expect }) => {
    expect(addressUser("::ffff:203.0.113.7")).toBe("203.0.113.7");
    expect(addressUser("0:0:0:0:0:FFFF:cb00:7107")).toBe("203.0.113.7");
  });

  it("takes an IPv6 address as its /64", ({ expect }) => {
    expect(addressUser("2001:db8:1:2:3:4:5:6")).toBe("2001:db8:1:2::/64");
    expect(addressUser("2001:0DB8:0001::9")).toBe("2001:db8:1::/64");
    expect(addressUser("::1")).toBe("::/64");
    expect(addressUser("0:0:1:2:3:4:5:6")).toBe("0:0:1:2::/64");
  });

  it("is empty for what is no address", ({ expect }) => {
    const none = [
      "",
      "h",
      "1.2.3",
      "1.2.3.4.5",
      "256.1.1.1",
      "01.2.3.4",
      "1.2.3.4:80",
      "1.2.3.4.",
      " 1.2.3.4",
      "[::1]",
    ];
    none.push(
      ":",
      ":::",
      "1::2::3",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "12345::",
      "g::",
      "::1%eth0",
      "1.2.3.4::",
    );
    none.push("1:2:3:4:5:6:7::8:9", "1:2:3:4:5:6:7::8", "::1.2.3", "1:2:3:4:5:6:7:1.2.3.4");
    for (const address of none) expect(addressUser(address), address).toBe("");
  });

  it("is one user for all notations and all hosts of a /64", ({ expect }) => {
    const groups = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(groups, groups, groups, (network, one, other) => {
        fc.pre(network.some((group) => group !== 0));
        const write = (host: number[]) => [...network, ...host].map((group) => group.toString(16)).join(":");
        expect(addressUser(write(one))).toBe(addressUser(write(other).toUpperCase()));
        expect(isIP(addressUser(write(one)).replace("/64", ""))).toBe(6);
      }),
    );
  });

  it("knows an address where Node knows one", ({ expect }) => {
    const text = fc.array(fc.constantFrom(":", "::", "0", "1f", "ffff", "1.2.3.4", ".", "255", "g"), {
      maxLength: 16,
    });
    fc.assert(
      fc.property(text, (pieces) => {
        const address = pieces.join("");
        expect(parseIpv6(address) !== null, address).toBe(isIP(address) === 6);
        expect(addressUser(address) !== "", address).toBe(isIP(address) !== 0);
      }),
      { numRuns: 5000 },
    );
  });
});
