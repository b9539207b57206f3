// The `Retry-After` field (RFC 9110 10.2.3): read as a number of seconds or a date, written as seconds.

const MS_PER_SECOND = 1000;
const DELTA_SECONDS = /^\d+$/;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/** A year of two digits that seems more than this far ahead is in the past (RFC 9110 5.6.7). */
const MAX_YEARS_AHEAD = 50;

const TIME = "(?<time>\\d\\d:\\d\\d:\\d\\d)";
/** IMF-fixdate, RFC 850 and asctime: the three forms of RFC 9110 5.6.7. */
const DATE_FORMS = [
  new RegExp(`^[A-Z][a-z]{2}, (?<day>\\d\\d) (?<month>[A-Z][a-z]{2}) (?<year>\\d{4}) ${TIME} GMT$`),
  new RegExp(`^[A-Z][a-z]{5,8}, (?<day>\\d\\d)-(?<month>[A-Z][a-z]{2})-(?<year>\\d\\d) ${TIME} GMT$`),
  new RegExp(`^[A-Z][a-z]{2} (?<month>[A-Z][a-z]{2}) (?<day>[ \\d]\\d) ${TIME} (?<year>\\d{4})$`),
];

function fullYear(digits: string, nowMs: number): number {
  const year = Number(digits);
  if (digits.length === 4) return year;
  const thisYear = new Date(nowMs).getUTCFullYear();
  const sameCentury = thisYear - (thisYear % 100) + year;
  return sameCentury > thisYear + MAX_YEARS_AHEAD ? sameCentury - 100 : sameCentury;
}

/** Ms since the epoch of an HTTP-date, or null. */
function parseHttpDate(value: string, nowMs: number): number | null {
  for (const form of DATE_FORMS) {
    const parts = form.exec(value)?.groups;
    if (parts === undefined) continue;
    const month = MONTHS.indexOf(parts.month);
    const day = Number(parts.day);
    const [hours, minutes, seconds] = parts.time.split(":").map(Number);
    if (month === -1 || day < 1 || day > 31 || hours > 23 || minutes > 59 || seconds > 60) return null;
    return Date.UTC(fullYear(parts.year, nowMs), month, day, hours, minutes, seconds);
  }
  return null;
}

/** Ms to wait from `nowMs` (ms since the epoch), 0 when the date has passed; null when it is malformed. */
export function parseRetryAfterMs(value: string, nowMs: number): number | null {
  if (DELTA_SECONDS.test(value)) return Math.min(Number(value) * MS_PER_SECOND, Number.MAX_SAFE_INTEGER);
  const date = parseHttpDate(value, nowMs);
  return date === null ? null : Math.max(0, date - nowMs);
}

/** Whole seconds for a `Retry-After`: rounded up, so that nobody comes too early, and at least 1. */
export function retryAfterSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / MS_PER_SECOND));
}
