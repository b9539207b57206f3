// Which regions are in use. A hub announces its region when it is first used; nobody else writes its row.
// The row goes to every region, and so the others are known to each other.

import { nextStamp } from "../crdt/hybrid-clock.ts";
import type { Membership } from "../crdt/membership.ts";
import { announceRegion, createMembership, presentRegions } from "../crdt/membership.ts";
import type { Hub } from "./hub.ts";
import { markChanged, nextVersion, putState } from "./hub.ts";
import { MEMBERSHIP_NAME } from "./names.ts";
import { isUnheard, peerOf } from "./peers.ts";

/** By then a region that is in use has answered a greeting. */
export const NEWCOMER_MS = 300;

/** Notes that the region is in use; true when it was not before. */
export function announceUse(hub: Hub, now: number): boolean {
  hub.usedAt = now;
  const membership = membershipOf(hub);
  const known = membership.rows.get(hub.region);
  if (known?.status === "up") return false;
  hub.clock = nextStamp(hub.clock, now);
  const row = {
    incarnation: (known?.incarnation ?? 0) + 1,
    status: "up" as const,
    shards: hub.shard + 1,
    stamp: hub.clock,
  };
  announceRegion(membership, hub.region, row, nextVersion(hub, now));
  putState(hub, MEMBERSHIP_NAME, membership);
  markChanged(hub, MEMBERSHIP_NAME);
  hub.urgent = true;
  hub.announcedAt = now;
  return true;
}

/**
 * Whether regions that are in use may not have been met yet, because this one has just begun; or one that is
 * known was not heard since the boot, and has not failed to answer either.
 */
export function isNewcomer(hub: Hub, now: number): boolean {
  for (const peer of hub.peers.values()) if (isUnheard(peer) && peer.failures === 0) return true;
  if (now - hub.announcedAt >= NEWCOMER_MS) return false;
  return !hub.hasGreeted || [...hub.greetings.values()].some(({ unanswered }) => unanswered > 0);
}

/** Whether this region has ever been used. A hub that was only asked whether it is there has not. */
export function isInUse(hub: Hub): boolean {
  return membershipOf(hub).rows.get(hub.region)?.status === "up";
}

/** Makes a peer of every region in use that is known. */
export function meetRegions(hub: Hub, now = hub.bootedAt): void {
  for (const region of presentRegions(membershipOf(hub))) {
    if (region !== hub.region) peerOf(hub, region, now);
  }
}

/** Regions in use, this one included. */
export function regionsInUse(hub: Hub): string[] {
  return presentRegions(membershipOf(hub));
}

function membershipOf(hub: Hub): Membership {
  const known = hub.states.get(MEMBERSHIP_NAME);
  return known?.kind === "membership" ? known : createMembership();
}
