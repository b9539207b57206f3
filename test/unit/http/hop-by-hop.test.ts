// Hop-by-hop fields: what goes, what stays, and that nothing that Connection names survives.

import * as fc from "fast-check";
import { describe, it } from "vitest";
import { removeHopByHop } from "../../../src/http/hop-by-hop.ts";

const FIXED = [
  "connection",
  "proxy-connection",
  "keep-alive",
  "te",
  "transfer-encoding",
  "trailer",
  "proxy-authorization",
  "proxy-authenticate",
  "expect",
  "upgrade",
];
const END_TO_END = ["accept", "authorization", "cookie", "x-a", "x-b", "content-type"];

function remainingNames(headers: Headers, keepUpgrade = false): string[] {
  removeHopByHop(headers, keepUpgrade);
  return [...headers.keys()];
}

describe("removeHopByHop", () => {
  it("removes each field of the fixed set", ({ expect }) => {
    for (const name of FIXED) {
      expect(remainingNames(new Headers({ [name]: "x", accept: "*/*" })), name).toEqual(["accept"]);
    }
  });

  it("removes what Connection names, in any case and spacing", ({ expect }) => {
    const headers = new Headers({ connection: " close ,\tX-A,,Authorization ", "x-a": "1", "x-b": "2" });
    headers.set("authorization", "Bearer secret");
    expect(remainingNames(headers)).toEqual(["x-b"]);
  });

  it("passes over connection options that are no field names", ({ expect }) => {
    expect(remainingNames(new Headers({ connection: 'a b, "x", x-a;q=1, (', "x-a": "1" }))).toEqual(["x-a"]);
  });

  it("keeps upgrade for a hop that upgrades, although Connection names it", ({ expect }) => {
    const headers = new Headers({ connection: "Upgrade, x-a", upgrade: "websocket", "x-a": "1" });
    expect(remainingNames(headers, true)).toEqual(["upgrade"]);
  });

  it("leaves several set-cookie fields several", ({ expect }) => {
    const headers = new Headers([
      ["set-cookie", "a=1"],
      ["set-cookie", "b=2"],
      ["keep-alive", "timeout=5"],
    ]);
    removeHopByHop(headers, false);
    expect(headers.getSetCookie()).toEqual(["a=1", "b=2"]);
  });

  it("leaves exactly the fields that are end to end and not named", ({ expect }) => {
    const names = fc.subarray([...END_TO_END, ...FIXED.slice(1)]);
    const spelled = fc.subarray([...END_TO_END, "close", "keep-alive", "upgrade", "not a name", ""]);
    fc.assert(
      fc.property(names, spelled, fc.boolean(), fc.boolean(), (present, named, upperCase, keepUpgrade) => {
        const headers = new Headers(present.map((name): [string, string] => [name, "v"]));
        const options = upperCase ? named.map((name) => name.toUpperCase()) : named;
        if (named.length > 0) headers.set("connection", options.join(" , "));
        const expected = present.filter((name) => {
          if (name === "upgrade") return keepUpgrade;
          return !FIXED.includes(name) && !named.includes(name);
        });
        expect(remainingNames(headers, keepUpgrade)).toEqual(expected.toSorted());
      }),
    );
  });
});
