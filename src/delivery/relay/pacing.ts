// How long a relay that has to ask for its events waits between two looks: a quarter of a second while
// there are some, doubling up to 5 s while there are none.

export const BUSY_PAUSE_MS = 250;
export const IDLE_PAUSE_MS = 5_000;

/** Ms until the next look. `isFull`: a look found as much as it may take, so there is more. */
export function nextPauseMs(pauseMs: number, found: number, isFull: boolean): number {
  if (isFull) return 0;
  if (found > 0) return BUSY_PAUSE_MS;
  return Math.min(Math.max(pauseMs, BUSY_PAUSE_MS / 2) * 2, IDLE_PAUSE_MS);
}
