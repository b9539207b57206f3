// From an instruction to a request that can be sent: templates are filled in from what the saga was started
// with and what its steps have answered.

import type { CallResult } from "./call-result.ts";
import type { CallTemplate, SagaDefinition } from "./definition.ts";
import { secretOf, stepNamed } from "./definition.ts";
import type { Decision } from "./draft.ts";
import { timeoutOf } from "./draft.ts";
import { begin, settle } from "./machine.ts";
import { stepOf } from "./progress.ts";
import type { Attempts, Direction, SagaState, StepState, Work } from "./state.ts";
import type { Json, Scope } from "./template.ts";
import { renderBody, renderPath, renderText } from "./template.ts";

/** What a saga was started with. */
export interface SagaInput {
  readonly body: Json;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  /** Those that templates read, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** One call of an upstream, ready to be sent. */
export interface SagaCall {
  readonly upstream: string;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Header fields whose values are secrets of the Worker, by the secret's name. */
  readonly secretHeaders: readonly (readonly [name: string, secret: string])[];
  /** null: no body. */
  readonly body: string | null;
  /** `idempotency-key`; the same for every try. null: the call only reads. */
  readonly idempotencyKey: string | null;
  readonly timeoutMs: number;
}

/** What an executor is to do. */
export type Command =
  | {
      readonly kind: "call";
      readonly purpose: Attempts["purpose"];
      readonly attempt: number;
      readonly call: SagaCall;
    }
  | { readonly kind: "later"; readonly waitMs: number }
  | { readonly kind: "settled"; readonly next: readonly Work[] };

/** What an executor tells of a call. */
export interface Told {
  readonly attempt: number;
  readonly purpose: Attempts["purpose"];
  readonly result: CallResult;
}

/** What identifies the instance towards its upstreams; not its id, which opens its page. */
export interface SagaIdentity {
  readonly seed: string;
  readonly input: SagaInput;
}

export interface Commanded {
  readonly state: SagaState;
  readonly command: Command;
}

/** The next command for a piece of work: `told` is null when an executor begins it. */
export function commandFor(
  definition: SagaDefinition,
  before: SagaState,
  identity: SagaIdentity,
  work: Work,
  told: Told | null,
  now: number,
  chance: number,
): Commanded {
  let decision: Decision =
    told === null
      ? begin(definition, before, work, now, chance)
      : settle(definition, before, work, told, now, chance);
  for (;;) {
    const { state, instruction } = decision;
    if (instruction.kind !== "call") return { state, command: instruction };
    const { purpose, attempt } = instruction;
    const rendered = renderCall(definition, state, identity, work, purpose);
    if ("call" in rendered) {
      return { state, command: { ...instruction, call: rendered.call } };
    }
    const result: CallResult = { kind: "unrenderable", reason: rendered.missing };
    decision = settle(definition, state, work, { attempt, purpose, result }, now, chance);
  }
}

/** One for each step, direction and epoch, whatever is tried and retried. */
export function idempotencyKey(seed: string, step: StepState, direction: Direction): string {
  const { epoch } = direction === "forward" ? step.call : step.undoCall;
  return `${seed}-${step.id}-${direction}-${epoch}`;
}

function renderCall(
  definition: SagaDefinition,
  state: SagaState,
  { seed, input }: SagaIdentity,
  { step: id, direction }: Work,
  purpose: Attempts["purpose"],
): { readonly call: SagaCall } | { readonly missing: string } {
  const terms = stepNamed(definition, id);
  const step = stepOf(state, id);
  const { compensation } = terms;
  const undoing = compensation.kind === "call" ? compensation.call : null;
  const template = purpose === "outcome" ? terms.outcome : direction === "undo" ? undoing : terms.call;
  if (template === null) return { missing: `step ${id} has no such call` };
  const scope: Scope = {
    ...input,
    // What is asked for and undone is what was called under this key.
    idempotencyKey: idempotencyKey(seed, step, "forward"),
    ...(step.hasOutput && step.output !== null ? { output: step.output } : {}),
    steps: Object.fromEntries(
      state.steps.filter(({ hasOutput }) => hasOutput).map(({ id: name, output }) => [name, { output }]),
    ),
  };
  const filled = fillCall(template, scope);
  if ("missing" in filled) return filled;
  const key = purpose === "outcome" ? null : idempotencyKey(seed, step, direction);
  return { call: { ...filled.call, idempotencyKey: key, timeoutMs: timeoutOf(terms, direction, purpose) } };
}

type FilledCall = Omit<SagaCall, "idempotencyKey" | "timeoutMs">;

function fillCall(
  template: CallTemplate,
  scope: Scope,
): { readonly call: FilledCall } | { readonly missing: string } {
  const path = renderPath(template.path, scope);
  if ("missing" in path) return path;
  const headers: [string, string][] = [];
  const secretHeaders: [string, string][] = [];
  for (const [name, value] of template.headers) {
    const secret = secretOf(value);
    if (secret !== null) {
      secretHeaders.push([name, secret]);
      continue;
    }
    const rendered = renderText(value, scope);
    if ("missing" in rendered) return rendered;
    if (!/^[\t\x20-\x7e]*$/.test(rendered.value)) {
      return { missing: `the value of header ${name} is no header text` };
    }
    headers.push([name, rendered.value]);
  }
  const { upstream, method } = template;
  const filled = { upstream, method, path: path.value, headers, secretHeaders };
  if (template.body === undefined) return { call: { ...filled, body: null } };
  const body = renderBody(template.body, scope);
  if ("missing" in body) return body;
  return { call: { ...filled, body: JSON.stringify(body.value) } };
}

/** The first reference of the steps' requests that what a saga is started with cannot fill in; null: none. */
export function missingInput(definition: SagaDefinition, input: SagaInput): string | null {
  const given: Scope = { ...input };
  for (const { call } of definition.groups.flat()) {
    const filled = fillCall(withoutLaterReferences(call), given);
    if ("missing" in filled) return filled.missing;
  }
  return null;
}

/** Leaves out what only becomes known while the saga runs. */
function withoutLaterReferences(call: CallTemplate): CallTemplate {
  const stripBody = (value: Json): Json => {
    if (typeof value === "string") return strip(value);
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map(stripBody);
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]: [string, Json]) => [key, stripBody(inner)]),
    );
  };
  return {
    ...call,
    path: strip(call.path),
    headers: call.headers.map(([name, value]) => [name, secretOf(value) === null ? strip(value) : value]),
    ...(call.body === undefined ? {} : { body: stripBody(call.body) }),
  };
}

function strip(text: string): string {
  return text.replaceAll(/\{(?:steps\.|output|idempotencyKey)[^}]*\}/g, "x");
}
