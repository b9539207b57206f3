// Sagas of a parsed configuration become definitions: defaults are filled in, steps stand in groups.

import type { CallTemplate, Compensation, SagaDefinition, StepDefinition } from "../saga/core/definition.ts";
import { hashConfig } from "./hash.ts";
import type { SagaParsed, SagaStepParsed } from "./schema-sagas.ts";

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
    retry: {
      attempts: retry.attempts,
      delayMs: retry.delay,
      maxDelayMs: Math.max(retry.delay, retry.maxDelay),
    },
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
  const { retry } = compensate;
  return {
    kind: "call",
    call: compileCall(compensate, request.upstream),
    retry: {
      attempts: retry.attempts,
      delayMs: retry.delay,
      maxDelayMs: Math.max(retry.delay, retry.maxDelay),
    },
    timeoutMs: compensate.timeout ?? timeout,
  };
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
