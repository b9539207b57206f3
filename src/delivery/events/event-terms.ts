// How many events may wait to be handed on, and until when they are kept for it.

/** Longer than all tries of a webhook take; what nobody pulled by then has expired. */
export const EVENT_MAX_AGE_MS = 14 * 24 * 3600 * 1000;

/** Of the outbox of all events: the shape of `QueueTerms` in ../core/protocol.ts. */
export const EVENT_TERMS = {
  highWatermark: 20_000,
  resumeAt: 0.7,
  alertAt: 10_000,
  maxAgeMs: EVENT_MAX_AGE_MS,
  retry: { attempts: 1, delayMs: 1_000, maxDelayMs: 1_000 },
  onDeadHead: "skip",
} as const;
