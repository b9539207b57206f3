// Cloudflare's list prices of the paid plan in USD, without what it includes each month: pages "Pricing" of
// Workers and of Durable Objects, as of July 2026.

/** One million calls of a Durable Object: each method call on a stub, each alarm. */
export const OBJECT_REQUESTS = 0.15;
/** One million rows written to an object's SQLite; setting an alarm is one. */
export const ROWS_WRITTEN = 1;
/** One million GB-s of objects that are in memory and not asleep. */
export const GIGABYTE_SECONDS = 12.5;
/** What an object is billed by, whatever it uses. */
export const OBJECT_GIGABYTES = 0.125;
/** One million requests to the Worker itself, for comparison. */
export const WORKER_REQUESTS = 0.3;

export const MONTH_SECONDS = 30 * 24 * 3_600;
