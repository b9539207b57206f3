// Order per key. A lane holds the jobs of one key, by the order in which they were accepted; only its head
// may run, and only while no other job of the lane does. A dead job that blocks stays at the head. Jobs
// without a key have no lane. A lane that is empty does not exist.

interface Lane {
  /** Ascending. */
  readonly seqs: number[];
  /** The job that runs; 0: none. */
  running: number;
}

export interface Lanes {
  readonly byKey: Map<string, Lane>;
}

export function createLanes(): Lanes {
  return { byKey: new Map() };
}

/** Puts a job where its place in the order is; one that is there already stays. */
export function joinLane(lanes: Lanes, key: string, seq: number): void {
  const lane = lanes.byKey.get(key);
  if (lane === undefined) {
    lanes.byKey.set(key, { seqs: [seq], running: 0 });
    return;
  }
  const { seqs } = lane;
  // New jobs have the greatest number; only a replayed one is inserted further in front.
  let at = seqs.length;
  while (at > 0 && seqs[at - 1] > seq) at--;
  if (seqs[at - 1] !== seq) seqs.splice(at, 0, seq);
}

/** Takes a job out of its lane. */
export function leaveLane(lanes: Lanes, key: string, seq: number): void {
  const lane = lanes.byKey.get(key);
  if (lane === undefined) return;
  const at = lane.seqs[0] === seq ? 0 : lane.seqs.indexOf(seq);
  if (at !== -1) lane.seqs.splice(at, 1);
  if (lane.running === seq) lane.running = 0;
  if (lane.seqs.length === 0) lanes.byKey.delete(key);
}

/** Says that a job of the lane runs (its seq) or that none does (0). */
export function setRunning(lanes: Lanes, key: string, seq: number): void {
  const lane = lanes.byKey.get(key);
  if (lane !== undefined) lane.running = seq;
}

/** The first job of a key; null: it has none. */
export function headOf(lanes: Lanes, key: string): number | null {
  return lanes.byKey.get(key)?.seqs[0] ?? null;
}

/** The job of a key that runs; null: none does. */
export function runningOf(lanes: Lanes, key: string): number | null {
  const running = lanes.byKey.get(key)?.running ?? 0;
  return running === 0 ? null : running;
}

/** Whether a job is the first of its key and no other one of it runs. */
export function isFirst(lanes: Lanes, key: string | null, seq: number): boolean {
  if (key === null) return true;
  const lane = lanes.byKey.get(key);
  if (lane === undefined) return true;
  return lane.seqs[0] === seq && (lane.running === 0 || lane.running === seq);
}

/** Whether other jobs of the key wait behind this one. */
export function isFollowed(lanes: Lanes, key: string, seq: number): boolean {
  const seqs = lanes.byKey.get(key)?.seqs;
  return seqs !== undefined && seqs[0] === seq && seqs.length > 1;
}
