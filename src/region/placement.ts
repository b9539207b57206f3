// Where a request belongs: which regions there are, which one a Cloudflare data center (colo) lies in, and
// what the object of a region is called. Every answer is a well-formed region name, whatever comes in.
//
// The colo says which data center was hit, the continent where the client is (request.cf of the Workers
// types). The table therefore wins; it holds only the colos that their own continent would place wrongly.
// Any other colo goes with the client's continent, also when the client is served from another one.

import { isRegion, MAX_REGION_CHARS, MAX_SHARD } from "../crdt/slot-id.ts";

/** The name of a region as `isRegion` has it: a location hint, or any other name in local development. */
export type Region = string;

/** Where Durable Objects can be asked to live: DurableObjectLocationHint of the Workers types. */
export const LOCATION_HINTS = [
  "wnam",
  "enam",
  "sam",
  "weur",
  "eeur",
  "apac",
  "apac-ne",
  "apac-se",
  "oc",
  "afr",
  "me",
] as const;

export type LocationHint = (typeof LOCATION_HINTS)[number];

/** The region of a request about which nothing is known: `request.cf` is absent outside Cloudflare. */
export const DEFAULT_REGION: LocationHint = "weur";

const MAX_HUB_NAME_CHARS = `hub::${MAX_SHARD}`.length + MAX_REGION_CHARS;

/**
 * Colos (IATA codes as of 2026-02) that their continent would place wrongly. wnam: west of 103 degrees W.
 * eeur: Finland, the Baltic states, and from Poland, Czechia, Austria and Croatia eastwards; also Turkey,
 * Cyprus, the Caucasus and central Asia. apac-ne: Japan, Korea, Taiwan, Hong Kong, Macau, also Guam.
 */
export const COLOS_BY_REGION: readonly (readonly [region: LocationHint, colos: string])[] = [
  ["wnam", "ABQ ANC DEN GDL HNL LAS LAX PDX PHX SAN SEA SFO SJC SLC SMF YVR YXE YYC"],
  [
    "eeur",
    "ADB AKX ALA ATH BEG BTS BUD DME EVN FRU GYD HEL IST KBP KIV KJA KLD LCA LED LLK MSQ NQZ OTP PRG RIX " +
      "SKG SKP SOF SVX TAS TBS TIA TLL VIE VNO WAW WRO ZAG",
  ],
  ["apac-ne", "FUK GUM HKG ICN KHH KHV KIX MFM NRT OKA TPE"],
  ["apac-se", "BKK BWN CEB CGK CGY CNX CRK DAD DPS HAN JHB JOG KCH KUL MDL MLG MNL PNH RGN SGN SIN URT VTE"],
  ["me", "AMM BAH BEY BGW BSR DMM DOH DXB EBL HFA ISU JED KWI MCT NJF RUH TLV XNH ZDM"],
];

const REGION_BY_CONTINENT: ReadonlyMap<string, LocationHint> = new Map([
  ["AF", "afr"],
  ["AN", "oc"],
  ["AS", "apac"],
  ["EU", "weur"],
  ["NA", "enam"],
  ["OC", "oc"],
  ["SA", "sam"],
]);

const COLO = /^[a-z]{3}$/i;
const CONTINENT = /^[a-z]{2}$/i;
const SHARD = /^(?:0|[1-9][0-9]{0,4})$/;

/** Says whether Durable Objects take the name as `locationHint`; local development uses other names too. */
export function isLocationHint(region: Region): region is LocationHint {
  return LOCATION_HINTS.some((hint) => hint === region);
}

/** The region of a colo (IATA code), else of a continent (two letters), else DEFAULT_REGION; in any case. */
export function regionOfColo(colo: string | undefined, continent: string | undefined): LocationHint {
  if (colo !== undefined && COLO.test(colo)) {
    const code = colo.toUpperCase();
    // Three letters between blanks: a text of three letters can only be found as a whole code.
    const entry = COLOS_BY_REGION.find(([, colos]) => colos.includes(code));
    if (entry !== undefined) return entry[0];
  }
  if (continent === undefined || !CONTINENT.test(continent)) return DEFAULT_REGION;
  return REGION_BY_CONTINENT.get(continent.toUpperCase()) ?? DEFAULT_REGION;
}

/** What decides the region of a request. */
export interface RequestOrigin {
  /** The variable TIDEGATE_REGION. */
  readonly override: string | null | undefined;
  /** `request.cf`: absent outside Cloudflare; `colo` and `continent` are read and may be anything. */
  readonly cf: object | null | undefined;
}

/** The region of a request: the override when it is a region name, else that of its colo and continent. */
export function regionOfRequest({ override, cf }: RequestOrigin): Region {
  if (typeof override === "string" && isRegion(override)) return override;
  const { colo, continent }: { colo?: unknown; continent?: unknown } = cf ?? {};
  return regionOfColo(textOrNothing(colo), textOrNothing(continent));
}

function textOrNothing(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** The name of a region's hub object, `hub:weur:0`. A RangeError for what `parseHubName` would refuse. */
export function hubName(region: Region, shard: number): string {
  const name = `hub:${region}:${shard}`;
  if (parseHubName(name) === null) throw new RangeError(`no hub: region ${region}, shard ${shard}`);
  return name;
}

/** The parts of a hub object's name, or null when the text is none. Every hub has one spelling. */
export function parseHubName(name: string): { region: Region; shard: number } | null {
  if (name.length > MAX_HUB_NAME_CHARS) return null;
  const parts = name.split(":");
  if (parts.length !== 3 || parts[0] !== "hub" || !isRegion(parts[1]) || !SHARD.test(parts[2])) return null;
  const shard = Number(parts[2]);
  return shard <= MAX_SHARD ? { region: parts[1], shard } : null;
}
