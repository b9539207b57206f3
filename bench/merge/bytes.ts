// What an update costs on the wire: a message with one increment of each of so many counters, as each
// implementation encodes it. `names` are the bytes that the counters' own names take in Tidegate's message.
import { encodeStates } from "../../src/crdt/encode.ts";
import { addToWindow, createSlidingWindow } from "../../src/crdt/sliding-window.ts";
import { crdtsMessage, deltaMessage } from "./counters.ts";
import { ownFullMessage, ownMessage } from "./own.ts";
import { MESSAGE_SLOTS, counterName, slotNames, totalOf } from "./task.ts";
import { yjsMessage } from "./yjs.ts";

export const BATCHES = [1, 100, 1000] as const;
const WINDOW_CELLS = 10;
const FIRST_MS = 1_790_000_000_000;
const CELL_MS = 1_000;

export interface BytesRow {
  readonly name: string;
  /** Numbers (a total of one slot) that travel for one counter. */
  readonly cells: number;
  /** Bytes of a whole message, for each of BATCHES. */
  readonly bytes: readonly number[];
  /** Bytes of a counter's name with its length; null: the format does not keep it apart. */
  readonly nameBytes: number | null;
}

export function measureBytes(): BytesRow[] {
  const nameBytes = counterName(0).length + 1;
  const row = (
    name: string,
    cells: number,
    own: boolean,
    message: (count: number) => { readonly length: number },
  ): BytesRow => ({
    name,
    cells,
    bytes: BATCHES.map((count) => message(count).length),
    nameBytes: own ? nameBytes : null,
  });
  return [
    row("tidegate, one slot of each counter", 1, true, (count) => ownMessage(count, 1)),
    row(`tidegate, all ${MESSAGE_SLOTS} slots`, MESSAGE_SLOTS, true, ownFullMessage),
    row(`tidegate, a window's ${WINDOW_CELLS} cells of one slot`, WINDOW_CELLS, true, windowMessage),
    row("crdts, whole states as JSON", MESSAGE_SLOTS, false, (count) => crdtsMessage(count, 1)),
    row("delta-crdts, its own codec", 1, false, (count) => deltaMessage(count, 1)),
    row("yjs, one update", 1, false, yjsMessage),
  ];
}

function windowMessage(count: number): Uint8Array {
  const [slot] = slotNames(1);
  const entries = Array.from({ length: count }, (_, index) => {
    const state = createSlidingWindow();
    for (let cell = 0; cell < WINDOW_CELLS; cell++) {
      addToWindow(state, FIRST_MS + cell * CELL_MS, CELL_MS, slot, totalOf(0, cell), 1);
    }
    state.timed.horizon = Math.floor(FIRST_MS / CELL_MS);
    return { name: counterName(index), state };
  });
  const encoded = encodeStates(entries);
  if (encoded.kind === "refused") throw new Error(encoded.reason);
  return encoded.bytes;
}
