// Ids of events: UUIDs of version 7 (RFC 9562 section 5.7), which sort by the time when they were made.
//
//   48 bits ms since the epoch | version 7 | 12 bits random | variant 10 | 62 bits random

/** Random bytes that an id takes. */
export const ID_RANDOM_BYTES = 10;
const MAX_TIME_MS = 2 ** 48 - 1;

/** The id of an event made at `now`, ms since the epoch. `random`: at least `ID_RANDOM_BYTES` bytes. */
export function uuidV7(now: number, random: Uint8Array): string {
  const time = Math.min(Math.max(0, Math.floor(now)), MAX_TIME_MS)
    .toString(16)
    .padStart(12, "0");
  const bytes = random.slice(0, ID_RANDOM_BYTES);
  bytes[0] = 0x70 | (bytes[0] & 0x0f);
  bytes[2] = 0x80 | (bytes[2] & 0x3f);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [time.slice(0, 8), time.slice(8), hex.slice(0, 4), hex.slice(4, 8), hex.slice(8)].join("-");
}

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** When an id was made, ms since the epoch; null for a text that is no such id. */
export function uuidV7Time(id: string): number | null {
  return UUID_V7.test(id) ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : null;
}
