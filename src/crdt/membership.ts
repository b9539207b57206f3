// Which regions there are, without anybody who decides it: a region appears by writing its row, and nobody
// else writes it.
//
//   merge: per region the greater (incarnation, status, stamp, shards), status up < draining < gone
//
// Within an incarnation a region only goes down; coming back is a new incarnation. A region that is gone is
// no longer sent to; what it counted still counts. A region that this version does not know is carried along.

import type { Stamp } from "./hybrid-clock.ts";
import { compareStamps } from "./hybrid-clock.ts";
import type { WriterFilter } from "./slot-id.ts";

/** In the order in which they win; the codec writes the position. */
export const REGION_STATUSES = ["up", "draining", "gone"] as const;
export type RegionStatus = (typeof REGION_STATUSES)[number];

export interface RegionRow {
  readonly incarnation: number;
  readonly status: RegionStatus;
  readonly shards: number;
  /** The region's last sign of life, by its own clock. */
  readonly stamp: Stamp;
}

export interface Membership {
  readonly kind: "membership";
  readonly rows: Map<string, RegionRow>;
  /** By region, in the count of the caller; never sent. */
  readonly versions: Map<string, number>;
  version: number;
}

export function createMembership(): Membership {
  return { kind: "membership", rows: new Map(), versions: new Map(), version: 0 };
}

/** Raises the caller's own row; false when it is not greater than what is known. */
export function announceRegion(
  membership: Membership,
  region: string,
  row: RegionRow,
  version: number,
): boolean {
  const known = membership.rows.get(region);
  if (known !== undefined && compareRows(known, row) >= 0) return false;
  membership.rows.set(region, row);
  membership.versions.set(region, version);
  membership.version = Math.max(membership.version, version);
  return true;
}

/** The regions that are not gone, sorted. */
export function presentRegions(membership: Membership): string[] {
  return [...membership.rows.keys()]
    .filter((region) => membership.rows.get(region)?.status !== "gone")
    .toSorted();
}

/** A received state without the rows from further ahead than `maxDriftMs`. */
export function believedMembership(membership: Membership, now: number, maxDriftMs: number): Membership {
  const believed = createMembership();
  for (const [region, row] of membership.rows) {
    if (row.stamp.ms > now + maxDriftMs) continue;
    announceRegion(believed, region, row, membership.versions.get(region) ?? 0);
  }
  return believed;
}

export function copyMembership(membership: Membership): Membership {
  return {
    kind: "membership",
    rows: new Map(membership.rows),
    versions: new Map(membership.versions),
    version: membership.version,
  };
}

/** A new state; neither argument changes. */
export function mergeMemberships(left: Membership, right: Membership): Membership {
  const merged = copyMembership(left);
  mergeMembershipInto(merged, right, left.version + 1);
  return merged;
}

/** The same in place; returns how many rows changed. */
export function mergeMembershipInto(target: Membership, source: Membership, version: number): number {
  let raised = 0;
  for (const [region, row] of source.rows) {
    if (announceRegion(target, region, row, version)) raised++;
  }
  return raised;
}

/** The rows that came here after version `since`. */
export function membershipSince(membership: Membership, since: number, keep?: WriterFilter): Membership {
  const delta = createMembership();
  for (const [region, row] of membership.rows) {
    const version = membership.versions.get(region) ?? 0;
    if (version > since && (keep === undefined || keep(region))) announceRegion(delta, region, row, version);
  }
  return delta;
}

export function sameMembership(left: Membership, right: Membership): boolean {
  if (left.rows.size !== right.rows.size) return false;
  for (const [region, row] of left.rows) {
    const other = right.rows.get(region);
    if (other === undefined || compareRows(row, other) !== 0) return false;
  }
  return true;
}

function compareRows(left: RegionRow, right: RegionRow): number {
  return (
    left.incarnation - right.incarnation ||
    REGION_STATUSES.indexOf(left.status) - REGION_STATUSES.indexOf(right.status) ||
    compareStamps(left.stamp, right.stamp) ||
    left.shards - right.shards
  );
}
