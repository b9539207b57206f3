// Checks what a consumer says to an outbox, like requests.ts what others say: taken whole or not at all.

import {
  MAX_BATCH_JOBS,
  MAX_LEASE_MS,
  MAX_REASON_CHARS,
  MIN_LEASE_MS,
  type ClaimRequest,
  type DeliveryOutcome,
  type NextTerms,
  type RenewRequest,
  type SettleRequest,
  type Settlement,
} from "./protocol.ts";
import { MAX_REQUEST_ID_CHARS, isIdText, malformed, type Checked } from "./requests.ts";
import { isDuration, isFields, isJobResult, isListOf, isText, isTextOrNull, isWhole } from "./shapes.ts";

export function checkClaim(input: unknown): Checked<ClaimRequest> {
  if (!isFields(input)) return malformed("request");
  const { ids, leaseMs, claimant, batch } = input;
  if (!isListOf(ids, MAX_BATCH_JOBS, isIdText)) return malformed("ids");
  if (!isWhole(leaseMs, MIN_LEASE_MS, MAX_LEASE_MS)) return malformed("leaseMs");
  if (!isText(claimant, MAX_REQUEST_ID_CHARS)) return malformed("claimant");
  if (batch !== undefined && !isWhole(batch, 1)) return malformed("batch");
  return { kind: "valid", request: { ids, leaseMs, claimant, batch } };
}

export function checkRenew(input: unknown): Checked<RenewRequest> {
  if (!isFields(input)) return malformed("request");
  const { ids, fence, leaseMs } = input;
  if (!isListOf(ids, MAX_BATCH_JOBS, isIdText)) return malformed("ids");
  if (!isWhole(fence, 1)) return malformed("fence");
  if (!isWhole(leaseMs, MIN_LEASE_MS, MAX_LEASE_MS)) return malformed("leaseMs");
  return { kind: "valid", request: { ids, fence, leaseMs } };
}

export function checkSettle(input: unknown): Checked<SettleRequest> {
  if (!isFields(input)) return malformed("request");
  const { settlements, next } = input;
  if (!isListOf(settlements, MAX_BATCH_JOBS, isSettlement)) return malformed("settlements");
  if (next === undefined) return { kind: "valid", request: { settlements } };
  if (!isNextTerms(next)) return malformed("next");
  return { kind: "valid", request: { settlements, next } };
}

function isNextTerms(value: unknown): value is NextTerms {
  if (!isFields(value)) return false;
  const { leaseMs, claimant } = value;
  return isWhole(leaseMs, MIN_LEASE_MS, MAX_LEASE_MS) && isText(claimant, MAX_REQUEST_ID_CHARS);
}

function isSettlement(value: unknown): value is Settlement {
  if (!isFields(value)) return false;
  const { id, fence, outcome, tookMs } = value;
  return isIdText(id) && isWhole(fence, 1) && isOutcome(outcome) && isDuration(tookMs);
}

function isOutcome(value: unknown): value is DeliveryOutcome {
  if (!isFields(value)) return false;
  switch (value.kind) {
    case "succeeded":
    case "refused":
      return isJobResult(value.result);
    case "failed":
      return (
        (value.status === null || isWhole(value.status, 100, 999)) &&
        isTextOrNull(value.error) &&
        (value.retryAfterMs === null || isDuration(value.retryAfterMs, Number.MAX_SAFE_INTEGER)) &&
        (value.result === null || isJobResult(value.result)) &&
        (value.endpoint === undefined || value.endpoint === "gone" || value.endpoint === "unharmed")
      );
    case "deferred":
      return isDuration(value.forMs) && isText(value.reason, MAX_REASON_CHARS);
    case "hopeless":
      return isText(value.reason, MAX_REASON_CHARS);
    case "poison":
      return (
        isText(value.error, MAX_REASON_CHARS) &&
        (value.final === undefined || typeof value.final === "boolean")
      );
    default:
      return false;
  }
}
