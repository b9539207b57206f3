// Which region a request belongs to: the table, the fallbacks, what hostile input does, and hub names.

import { describe, expect, it } from "vitest";
import { isRegion, MAX_REGION_CHARS, MAX_SHARD } from "../../../src/crdt/slot-id.ts";
import {
  COLOS_BY_REGION,
  DEFAULT_REGION,
  hubName,
  isLocationHint,
  LOCATION_HINTS,
  parseHubName,
  regionOfColo,
  regionOfRequest,
} from "../../../src/region/placement.ts";
import { fc, test } from "../resilience/property.ts";

const MAX_TABLE_BYTES = 1_536;

const CONTINENTS = [
  ["AF", "afr"],
  ["AN", "oc"],
  ["AS", "apac"],
  ["EU", "weur"],
  ["NA", "enam"],
  ["OC", "oc"],
  ["SA", "sam"],
] as const;

/** Well-known colos with the continent of a client near by. */
const WELL_KNOWN = {
  wnam: "SEA/NA SJC/NA LAX/NA DEN/NA PHX/NA YVR/NA HNL/NA",
  enam: "IAD/NA EWR/NA ORD/NA ATL/NA MIA/NA DFW/NA YYZ/NA MEX/NA PTY/NA SJU/NA",
  sam: "GRU/SA EZE/SA SCL/SA BOG/SA LIM/SA",
  weur: "LHR/EU AMS/EU CDG/EU FRA/EU MAD/EU MXP/EU ARN/EU DUB/EU TXL/EU",
  eeur: "WAW/EU PRG/EU VIE/EU BUD/EU OTP/EU SOF/EU KBP/EU HEL/EU ATH/EU DME/EU IST/AS TBS/AS ALA/AS",
  apac: "BOM/AS DEL/AS MAA/AS CMB/AS KHI/AS DAC/AS SHA/AS",
  "apac-ne": "NRT/AS KIX/AS ICN/AS TPE/AS HKG/AS GUM/OC",
  "apac-se": "SIN/AS KUL/AS CGK/AS BKK/AS SGN/AS MNL/AS",
  oc: "SYD/OC MEL/OC AKL/OC PER/OC",
  afr: "JNB/AF CPT/AF NBO/AF LOS/AF CAI/AF",
  me: "DXB/AS DOH/AS RUH/AS TLV/AS BGW/AS KWI/AS BAH/AS",
} satisfies Record<(typeof LOCATION_HINTS)[number], string>;

const sample = Object.entries(WELL_KNOWN).flatMap(([region, texts]) =>
  texts.split(" ").map((text) => [text.slice(0, 3), text.slice(4), region] as const),
);
const table = COLOS_BY_REGION.flatMap(([region, colos]) =>
  colos.split(" ").map((colo) => [colo, region] as const),
);

describe("the region of a colo", () => {
  it.for(sample)("%s with a client in %s is %s", ([colo, continent, region]) => {
    expect(regionOfColo(colo, continent)).toBe(region);
    expect(regionOfColo(colo.toLowerCase(), continent.toLowerCase())).toBe(region);
  });

  it.for(CONTINENTS)("is, for an unlisted or absent colo and a client in %s, %s", ([continent, region]) => {
    for (const colo of [undefined, "", "QQQ"]) expect(regionOfColo(colo, continent)).toBe(region);
  });

  it("is the colo's when the client is on another continent", () => {
    for (const [continent] of CONTINENTS) expect(regionOfColo("SIN", continent)).toBe("apac-se");
    expect(regionOfColo("SIN", undefined)).toBe("apac-se");
  });

  it("is the default when neither is known", () => {
    for (const continent of [undefined, "", "T1", "XX", "E", "EUR", "weur"]) {
      expect(regionOfColo(undefined, continent)).toBe(DEFAULT_REGION);
    }
    expect(isLocationHint(DEFAULT_REGION)).toBe(true);
  });
});

describe("the table of colos", () => {
  it("has well-formed codes, each once, that map to the region they are listed under", () => {
    expect(table.length).toBeGreaterThan(100);
    expect(table.filter(([colo]) => !/^[A-Z]{3}$/.test(colo))).toEqual([]);
    expect(new Set(table.map(([colo]) => colo)).size).toBe(table.length);
    expect(new Set(COLOS_BY_REGION.map(([region]) => region)).size).toBe(COLOS_BY_REGION.length);
    expect(table.filter(([colo, region]) => regionOfColo(colo, undefined) !== region)).toEqual([]);
  });

  it("lists no colo under a region that a continent stands for", () => {
    const ofContinents = new Set<string>(CONTINENTS.map(([, region]) => region));
    expect(COLOS_BY_REGION.filter(([region]) => ofContinents.has(region))).toEqual([]);
  });

  it("and the continents reach every location hint", () => {
    const reached = [...COLOS_BY_REGION.map(([region]) => region), ...CONTINENTS.map(([, region]) => region)];
    expect(new Set(reached)).toEqual(new Set(LOCATION_HINTS));
  });

  it("stays small", () => {
    expect(JSON.stringify(COLOS_BY_REGION).length).toBeLessThan(MAX_TABLE_BYTES);
  });
});

describe("a location hint", () => {
  it("is one of eleven names, spelled exactly", () => {
    expect(new Set(LOCATION_HINTS).size).toBe(11);
    for (const hint of LOCATION_HINTS) {
      expect([hint, isLocationHint(hint), isRegion(hint)]).toEqual([hint, true, true]);
    }
    for (const other of ["local", "WEUR", "", "eu", "apac-nw", "__proto__", "constructor", "0", "length"]) {
      expect([other, isLocationHint(other)]).toEqual([other, false]);
    }
  });
});

describe("the region of a request", () => {
  const cf = { colo: "NRT", continent: "AS" };

  it("is the override's when that is a region name, known to Cloudflare or not", () => {
    for (const override of ["weur", "local", "a", "x".repeat(MAX_REGION_CHARS)]) {
      expect(regionOfRequest({ override, cf })).toBe(override);
    }
  });

  it("ignores an override that is no region name", () => {
    const refused = [
      "",
      "WEUR",
      "1a",
      "a.b",
      "a:b",
      " weur",
      "weur\n",
      "__proto__",
      "x".repeat(MAX_REGION_CHARS + 1),
    ];
    for (const override of [undefined, ...refused]) {
      expect([override, regionOfRequest({ override, cf })]).toEqual([override, "apac-ne"]);
    }
  });

  it("follows colo and continent, or is the default without them", () => {
    expect(regionOfRequest({ override: undefined, cf: { colo: "LHR", continent: "AF" } })).toBe("afr");
    expect(regionOfRequest({ override: undefined, cf: { continent: "OC" } })).toBe("oc");
    expect(regionOfRequest({ override: undefined, cf: {} })).toBe(DEFAULT_REGION);
    expect(regionOfRequest({ override: undefined, cf: undefined })).toBe(DEFAULT_REGION);
  });

  it("takes nothing from hostile values", () => {
    const notTexts = [0, NaN, 1n, true, null, undefined, Symbol("NRT"), ["NRT"], { toString: () => "NRT" }];
    const notCodes = "__proto__,constructor,NRT , NR,T T,N,NRTKIX,ſea,ſa,ﬀ,n\u0000t,NRT\n,SA\n,SA ".split(
      ",",
    );
    const hostile: unknown[] = [...notTexts, ...notCodes, "SEA ".repeat(100_000)];
    for (const colo of hostile) {
      for (const continent of hostile) {
        expect(regionOfRequest({ override: undefined, cf: { colo, continent } })).toBe(DEFAULT_REGION);
      }
      expect(regionOfRequest({ override: undefined, cf: { colo, continent: "SA" } })).toBe("sam");
    }
    for (const whole of [null, JSON.parse('{"__proto__": {"colo": "NRT"}}'), []]) {
      expect(regionOfRequest({ override: undefined, cf: whole })).toBe(DEFAULT_REGION);
    }
  });

  test("is a region name for any input", () => {
    const value = fc.oneof(fc.anything(), fc.string({ minLength: 2, maxLength: 3 }));
    const override = fc.option(fc.string(), { nil: undefined });
    fc.assert(
      fc.property(override, value, value, (text, colo, continent) => {
        return isRegion(regionOfRequest({ override: text, cf: { colo, continent } }));
      }),
    );
  });
});

describe("the name of a hub", () => {
  const regions = fc.oneof(fc.constantFrom(...LOCATION_HINTS), fc.stringMatching(/^[a-z][a-z0-9-]{0,31}$/));
  const shards = fc.oneof(fc.integer({ min: 0, max: MAX_SHARD }), fc.constantFrom(0, MAX_SHARD));

  it("names region and shard", () => {
    expect(hubName("weur", 0)).toBe("hub:weur:0");
    expect(parseHubName("hub:apac-ne:12")).toEqual({ region: "apac-ne", shard: 12 });
  });

  test("is read back as it was written", () => {
    fc.assert(
      fc.property(regions, shards, (region, shard) => {
        const hub = parseHubName(hubName(region, shard));
        return hub?.region === region && hub.shard === shard;
      }),
    );
  });

  test("has one spelling: what can be read is what would be written", () => {
    const digits = fc.stringMatching(/^[+-]?[0-9]{0,7}(\.0|e1)?$/);
    const near = fc.tuple(fc.constantFrom("hub", "Hub", ""), fc.oneof(regions, fc.string()), digits);
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          near.map((parts) => parts.join(":")),
        ),
        (name) => {
          const hub = parseHubName(name);
          return hub === null || hubName(hub.region, hub.shard) === name;
        },
      ),
    );
  });

  it("is bounded in region and shard", () => {
    const longest = "x".repeat(MAX_REGION_CHARS);
    expect(parseHubName(`hub:${longest}:${MAX_SHARD}`)).toEqual({ region: longest, shard: MAX_SHARD });
    expect(parseHubName(`hub:${longest}x:0`)).toBeNull();
    expect(parseHubName(`hub:weur:${MAX_SHARD + 1}`)).toBeNull();
  });

  it.for([
    ...",hub,hub:weur,hub::0,hub:weur:,hub:weur:0:0,HUB:weur:0,hub:WEUR:0,weur:0,hub:__proto__:0".split(","),
    ..."hub:weur:00,hub:weur:01,hub:weur:-1,hub:weur:+1,hub:weur:1.0,hub:weur:1e1,hub:weur:0x1".split(","),
    ..."hub:weur:0 , hub:weur:0,hub:weur:0\n,hub:weur:٣".split(","),
    `hub:weur:${"1".repeat(100_000)}`,
  ])("is not %j", (name) => {
    expect(parseHubName(name)).toBeNull();
  });

  it("is refused for a region or a shard that no hub has", () => {
    for (const region of ["", "WEUR", "a:b", "x".repeat(MAX_REGION_CHARS + 1)]) {
      expect(() => hubName(region, 0)).toThrow(RangeError);
    }
    for (const shard of [-1, 0.5, NaN, Infinity, MAX_SHARD + 1]) {
      expect(() => hubName("weur", shard)).toThrow(RangeError);
    }
  });
});
