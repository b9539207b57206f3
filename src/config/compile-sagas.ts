// Sagas of a parsed configuration become definitions: defaults are filled in, steps stand in groups.

import type {
  CallTemplate,
  Compensation,
  RetryTerms,
  SagaDefinition,
  StepDefinition,
} from "../saga/core/definition.ts";
import { hashConfig } from "./hash.ts";
import type { SagaParsed, SagaStepParsed } from "./schema-sagas.ts";
import { MAX_SAGA_ATTEMPTS } from "./schema-sagas.ts";

const DEFAULT_ATTEMPTS = 5;
const DEFAULT_UNDO_ATTEMPTS = 20;

export function compileSaga(name: string, saga: SagaParsed): SagaDefinition {
  const groups = saga.steps.map((item) => ("parallel" in item ? item.parallel : [item]).map(compileStep));
  const { key, timeout: timeoutMs } = saga;
  return { name, version: hashConfig({ key, timeoutMs, groups }), key, timeoutMs, groups };
}

function compileStep(step: SagaStepParsed): StepDefinition {
  const { id, request, retry, timeout, outcome } = step;
  return {
    id,
    kind: step.pivot ? "pivot" : step.retriable ? "retriable" : "compensatable",
    call: compileCall(request, request.upstream),
    // Behind the pivot there is no other way than to go on trying.
    retry: compileRetry(retry, step.retriable ? MAX_SAGA_ATTEMPTS : DEFAULT_ATTEMPTS),
    timeoutMs: timeout,
    outcome: outcome === undefined ? null : compileCall(outcome, request.upstream),
    compensation: compileCompensation(step),
  };
}

function compileCompensation({ compensate, request, timeout, retriable }: SagaStepParsed): Compensation {
  if (compensate === undefined) {
    return { kind: "none", why: retriable ? "it comes after the pivot" : "it is the pivot" };
  }
  if ("none" in compensate) return { kind: "none", why: compensate.none };
  return {
    kind: "call",
    call: compileCall(compensate, request.upstream),
    retry: compileRetry(compensate.retry, DEFAULT_UNDO_ATTEMPTS),
    timeoutMs: compensate.timeout ?? timeout,
  };
}

function compileRetry(
  { attempts, delay, maxDelay }: SagaStepParsed["retry"],
  defaultAttempts: number,
): RetryTerms {
  return { attempts: attempts ?? defaultAttempts, delayMs: delay, maxDelayMs: Math.max(delay, maxDelay) };
}

type WrittenCall = Pick<CallTemplate, "method" | "path" | "headers"> & {
  readonly upstream?: string | undefined;
  readonly body?: CallTemplate["body"];
};

/** Outcome and compensation go to the step's own upstream unless they name another. */
function compileCall({ upstream, method, path, headers, body }: WrittenCall, own: string): CallTemplate {
  const call = { upstream: upstream ?? own, method, path, headers };
  return body === undefined ? call : { ...call, body };
}
