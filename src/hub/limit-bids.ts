// Bids for what no region's part of a limit reaches: its last units, or the first ones of a region while
// others use most of it. A bid is announced like a claim, but leased only when every peer has heard of it:
//
//   granted  <=>  bid + what regions before this one in the alphabet have claimed since  <=  what was open
//
// So regions that bid for the same unit at once know which of them has it without another word. What was bid
// in vain stays announced until its span is over: claims only grow, and the limit is used up anyway. What a
// region after this one claims of its own part at the same time is not told from a bid: then the limit is
// passed by this bid, one request's units.

/** Units that are announced and not leased yet. One bid at a time for a limit and key. */
export interface Bid {
  /** Ours, of the announcement. */
  readonly version: number;
  readonly units: number;
  /** What was open before it, and what each other region had used or claimed. */
  readonly open: number;
  readonly others: ReadonlyMap<string, number>;
}

/** Whether the bid of `region` has won, once all peers have heard of it. `others`: what they have by now. */
export function isGranted(bid: Bid, region: string, others: ReadonlyMap<string, number>): boolean {
  let meanwhile = 0;
  for (const [other, units] of others) {
    if (other < region) meanwhile += Math.max(0, units - (bid.others.get(other) ?? 0));
  }
  return bid.units + meanwhile <= bid.open;
}
