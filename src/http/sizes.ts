// Sizes as the configuration writes them: bytes, or whole numbers of a binary unit.

const BYTES_PER_UNIT: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
const WRITTEN = /^(\d+)(B|KiB|MiB|GiB)$/;

/** Bytes of `65536`, `"512B"`, `"64KiB"`, `"10MiB"` or `"1GiB"`; null for everything else. */
export function parseSize(value: unknown): number | null {
  if (typeof value === "number") return Number.isSafeInteger(value) && value >= 0 ? value : null;
  if (typeof value !== "string") return null;
  const match = WRITTEN.exec(value);
  if (match === null) return null;
  const bytes = Number(match[1]) * BYTES_PER_UNIT[match[2]];
  return Number.isSafeInteger(bytes) ? bytes : null;
}
