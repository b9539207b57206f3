// The inbound `x-tidegate-deadline-ms`: how long the caller still waits. It can only shorten a deadline, so
// a value that is no number is ignored rather than refused.

const DIGITS = /^[0-9]+$/;

/** Remaining ms, or null when the value is not made of digits alone. */
export function parseDeadlineMs(value: string): number | null {
  return DIGITS.test(value) ? Math.min(Number(value), Number.MAX_SAFE_INTEGER) : null;
}
