// What a saga is: groups of steps that run one after the other, the steps of a group side by side. A
// definition is plain data and never changes: an instance keeps the one that it began with.
//
// Order: compensatable steps, at most one pivot, retriable steps. Before the pivot everything can be undone,
// after it there is only forward.

import type { Json, Reference } from "./template.ts";
import { referencesIn, referencesOf } from "./template.ts";

/** A header value that begins so names a secret of the Worker; it is filled in when the call is made. */
export const SECRET_PREFIX = "env:";

export interface RetryTerms {
  /** Tries in all, the first one included. */
  readonly attempts: number;
  readonly delayMs: number;
  readonly maxDelayMs: number;
}

/** One call as it is written: path, header values and body are templates. */
export interface CallTemplate {
  readonly upstream: string;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** undefined: no body. */
  readonly body?: Json;
}

export type Compensation =
  | {
      readonly kind: "call";
      readonly call: CallTemplate;
      readonly retry: RetryTerms;
      readonly timeoutMs: number;
    }
  /** Nothing to undo, and why. */
  | { readonly kind: "none"; readonly why: string };

export type StepKind = "compensatable" | "pivot" | "retriable";

export interface StepDefinition {
  readonly id: string;
  readonly kind: StepKind;
  readonly call: CallTemplate;
  readonly retry: RetryTerms;
  readonly timeoutMs: number;
  /** Asks whether a request whose answer never came was done; null: it cannot be asked. */
  readonly outcome: CallTemplate | null;
  readonly compensation: Compensation;
}

export interface SagaDefinition {
  readonly name: string;
  /** Hash of the definition as it was written. */
  readonly version: string;
  /** Template of the key that makes starts idempotent. */
  readonly key: string;
  readonly timeoutMs: number;
  readonly groups: readonly (readonly StepDefinition[])[];
}

/** Every step in the order written. */
export function stepsOf(definition: SagaDefinition): readonly StepDefinition[] {
  return definition.groups.flat();
}

/** The step of an id; a bug when there is none. */
export function stepNamed(definition: SagaDefinition, id: string): StepDefinition {
  const step = stepsOf(definition).find((candidate) => candidate.id === id);
  if (step === undefined) throw new Error(`saga ${definition.name} has no step ${id}`);
  return step;
}

/** Whether a call reads what its own step answered: without that answer it cannot be made. */
export function readsOutput(call: CallTemplate): boolean {
  return callReferences(call).some(({ source }) => source === "output");
}

/** Every reference of a call. */
function callReferences(call: CallTemplate): readonly Reference[] {
  return [
    ...referencesOf(call.path),
    ...call.headers.flatMap(([, value]) => (secretOf(value) === null ? referencesOf(value) : [])),
    ...referencesIn(call.body),
  ];
}

/** The name of the secret that a header value stands for; null: it is a template. */
export function secretOf(value: string): string | null {
  return value.startsWith(SECRET_PREFIX) ? value.slice(SECRET_PREFIX.length) : null;
}

/** Every secret that the calls of a saga need. */
export function secretsRead(definition: SagaDefinition): readonly string[] {
  const values = stepsOf(definition)
    .flatMap(callsOf)
    .flatMap(({ headers }) => headers);
  return values.flatMap(([, value]) => secretOf(value) ?? []);
}

/** Request headers that templates read: only those are kept. Lower case, each once. */
export function headersRead(definition: SagaDefinition): readonly string[] {
  const calls = stepsOf(definition).flatMap(callsOf);
  const references = [...referencesOf(definition.key), ...calls.flatMap(callReferences)];
  return [...new Set(references.flatMap(({ source, path }) => (source === "headers" ? path : [])))];
}

/** Every call that a step can make. */
export function callsOf({ call, outcome, compensation }: StepDefinition): readonly CallTemplate[] {
  return [
    call,
    ...(outcome === null ? [] : [outcome]),
    ...(compensation.kind === "call" ? [compensation.call] : []),
  ];
}
