// Problems of requests that are stored for later: queued routes, events, sagas.

import { defineProblems } from "./problem-shape.ts";

export const STORED_PROBLEMS = defineProblems({
  idempotency_conflict: {
    status: 422,
    title: "The idempotency key belongs to another request",
    detail: "Use a new idempotency key for a new request.",
    explanation:
      "The idempotency key was used before with a different request, so it is not clear which of the " +
      "two is meant. Nothing was done. " +
      "Repeat the first request exactly, or choose a new key. " +
      "An operator can look up the first one by its job.",
  },
  idempotency_in_flight: {
    status: 409,
    title: "The first request with this key is not done",
    detail: "Wait as long as retry-after says, then repeat the request with the same key.",
    explanation:
      "Another request with the same idempotency key is still being taken in. " +
      "Repeat this one a little later with the same key to get the answer of the first. " +
      "An operator need not do anything.",
  },
  job_started: {
    status: 409,
    title: "The stored request has started",
    detail: "Ask for its result instead.",
    explanation:
      "A stored request can be cancelled only before it is tried for the first time; this one runs, was " +
      "tried or has ended. " +
      "Its URL tells how it goes on, and has its result once there is one. " +
      "An operator can cancel one that waits for its next try.",
  },
  idempotency_key_required: {
    status: 400,
    title: "An idempotency key is needed",
    detail: "Send an idempotency-key header with a value that is unique to this request.",
    explanation:
      "This route takes requests only with an idempotency key, so that a repeated one is not done twice. " +
      "Send a fresh unique value, for example a UUID, and the same value again whenever you repeat that " +
      "request. " +
      'An operator can set `idempotencyKey` of the queue to "optional".',
  },
  backlog_full: {
    status: 429,
    title: "The queue is full",
    detail: "Wait as long as retry-after says, then send more slowly.",
    explanation:
      "More work is waiting in the queue than it is meant to hold, so nothing was stored. " +
      "Slow down; retry-after grows with the depth of the queue and shrinks as it drains. " +
      "An operator can look for the reason why its upstream is slow, or raise `highWatermark`.",
  },
  not_accepted: {
    status: 503,
    title: "The request could not be stored",
    detail: "Nothing has happened; send the same request again.",
    explanation:
      "A request is accepted only when it is stored safely, and storing this one failed. Nothing was " +
      "done and nothing will be. " +
      "Send it again, with the same idempotency key if it has one. " +
      "An operator finds the storage error in the log under the request id.",
  },
});
