// Which part of a limit each region may claim: by what it uses (flow-proportional shares, Raghavan et al.,
// SIGCOMM 2007), with a little for everybody, so that nobody has to begin with nothing.
//
//   w(r) = FLOOR + (1 - FLOOR * regions) * activity(r) / sum of activity
//   activity = used + PRIOR * units / regions

import type { Hub } from "./hub.ts";
import { isGone } from "./peers.ts";
import type { LimitTerms } from "./protocol.ts";
import type { RegionUse } from "./window-cells.ts";
import { committedUnits } from "./window-cells.ts";

/** Smallest part of a limit that a region may claim. */
const FLOOR = 0.02;
/** Weight of regions that have used nothing yet, as a part of the limit shared by all. */
const PRIOR = 0.05;

/**
 * Each region's part: by what it used, with a little for everybody. `unheard`: of the own units, what others
 * may not have heard of, as little as this region of theirs.
 */
export function weightsOf(
  hub: Hub,
  terms: LimitTerms,
  uses: ReadonlyMap<string, RegionUse>,
  unheard: number,
  now: number,
): Map<string, number> {
  const regions = [hub.region];
  if (terms.consistency !== "regional") {
    for (const peer of hub.peers.values()) if (!isGone(peer, now)) regions.push(peer.region);
  }
  const prior = (PRIOR * terms.units) / regions.length;
  const activity = regions.map((region) => {
    const use = uses.get(region);
    const units = use === undefined ? 0 : committedUnits(use);
    return prior + (region === hub.region ? Math.max(0, units - unheard) : units);
  });
  const sum = activity.reduce((total, part) => total + part, 0);
  const spread = 1 - FLOOR * regions.length;
  return new Map(
    regions.map((region, at) => [region, regions.length === 1 ? 1 : FLOOR + (spread * activity[at]) / sum]),
  );
}
