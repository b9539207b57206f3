// Rules that bind the steps of a saga together: their order, how they are undone, what they refer to. Like
// all cross-checks they read the input as it was written and step over what is malformed.

import type { Json, Reference } from "../saga/core/template.ts";
import { parseTemplate, referenceText } from "../saga/core/template.ts";
import type { ConfigIssue, ConfigPath } from "./error-lines.ts";
import { MAX_SAGA_STEPS } from "./schema-sagas.ts";

type Fields = Readonly<Record<string, unknown>>;

interface WrittenStep {
  readonly path: ConfigPath;
  readonly step: Fields;
  readonly group: number;
  readonly isParallel: boolean;
}

/** What is wrong with `sagas.<name>`. */
export function sagaIssues(path: ConfigPath, saga: Fields, upstreams: Fields): ConfigIssue[] {
  const steps = writtenSteps([...path, "steps"], saga.steps);
  return [
    ...(steps.length > MAX_SAGA_STEPS
      ? [{ path: [...path, "steps"], rule: `must be at most ${MAX_SAGA_STEPS} steps` }]
      : []),
    ...keyIssues(path, saga.key),
    ...idIssues(steps),
    ...orderIssues(steps),
    ...steps.flatMap(undoIssues),
    ...steps.flatMap((step) => callIssues(step, steps, upstreams)),
  ];
}

function writtenSteps(path: ConfigPath, steps: unknown): WrittenStep[] {
  return itemsOf(steps).flatMap((item, group): WrittenStep[] => {
    const { parallel } = fieldsOf(item);
    if (parallel === undefined) {
      return [{ path: [...path, group], step: fieldsOf(item), group, isParallel: false }];
    }
    return itemsOf(parallel).map((step, index) => ({
      path: [...path, group, "parallel", index],
      step: fieldsOf(step),
      group,
      isParallel: true,
    }));
  });
}

function keyIssues(path: ConfigPath, key: unknown): ConfigIssue[] {
  const references = referencesOfText(key);
  if (references === null) return [];
  const issues = references
    .filter(({ source }) => !["body", "params", "query", "headers"].includes(source))
    .map((reference) => ({
      path: [...path, "key"],
      rule: `may read body, params, query and headers, not {${referenceText(reference)}}`,
    }));
  if (references.length > 0) return issues;
  return [{ path: [...path, "key"], rule: "must read something of the request, like {body.orderId}" }];
}

function idIssues(steps: readonly WrittenStep[]): ConfigIssue[] {
  const seen = new Set<unknown>();
  return steps.flatMap(({ path, step: { id } }) => {
    const isRepeated = typeof id === "string" && seen.has(id);
    seen.add(id);
    return isRepeated ? [{ path: [...path, "id"], rule: "is already the id of another step" }] : [];
  });
}

/** Compensatable steps, at most one pivot, retriable steps. */
function orderIssues(steps: readonly WrittenStep[]): ConfigIssue[] {
  let highest = 0;
  return steps.flatMap(({ path, step, isParallel }): ConfigIssue[] => {
    const isPivot = step.pivot === true;
    const rank = step.retriable === true ? 2 : isPivot ? 1 : 0;
    if (isPivot && step.retriable === true) return [{ path, rule: "must be pivot or retriable, not both" }];
    if (isPivot && isParallel) return [{ path: [...path, "pivot"], rule: "a pivot must stand alone" }];
    if (isPivot && highest === 1) {
      return [{ path: [...path, "pivot"], rule: "there must be at most one pivot" }];
    }
    if (rank < highest) {
      return [{ path, rule: "must stand before the pivot, or be retriable: after it there is only forward" }];
    }
    highest = rank;
    return [];
  });
}

function undoIssues({ path, step }: WrittenStep): ConfigIssue[] {
  if (step.retriable === true) {
    if (step.compensate === undefined) return [];
    return [{ path: [...path, "compensate"], rule: "a retriable step is never undone, leave it out" }];
  }
  if (step.pivot === true || step.compensate !== undefined) return [];
  return [
    {
      path: [...path, "compensate"],
      rule: 'is required before the pivot; write { none: "why" } where nothing has to be undone',
    },
  ];
}

function callIssues(written: WrittenStep, steps: readonly WrittenStep[], upstreams: Fields): ConfigIssue[] {
  const { step, path } = written;
  return ["request", "outcome", "compensate"].flatMap((place) => {
    const call = fieldsOf(step[place]);
    const where = [...path, place];
    const { upstream } = call;
    const isUnknown = typeof upstream === "string" && !Object.hasOwn(upstreams, upstream);
    return [
      ...(isUnknown ? [{ path: [...where, "upstream"], rule: "is no upstream" }] : []),
      ...bodyIssues(where, call),
      ...["path", "headers", "body"].flatMap((part) =>
        referencesOfValue(call[part]).flatMap((reference) => {
          const rule = referenceRule(reference, written, steps, place);
          return rule === null ? [] : [{ path: [...where, part], rule }];
        }),
      ),
    ];
  });
}

/** Of a call, in sagas and reactions: `fetch` sends no body with a GET. */
export function bodyIssues(path: ConfigPath, { method, body }: Fields): ConfigIssue[] {
  const isGet = typeof method === "string" && method.toUpperCase() === "GET";
  return isGet && body !== undefined ? [{ path: [...path, "body"], rule: "must be left out with GET" }] : [];
}

function referenceRule(
  reference: Reference,
  written: WrittenStep,
  steps: readonly WrittenStep[],
  place: string,
): string | null {
  const { source, path } = reference;
  if (source === "output" && place !== "compensate") {
    return `reads {${referenceText(reference)}}, but the step's answer is known to its compensation alone`;
  }
  if (source !== "steps") return null;
  const other = steps.find(({ step }) => step.id === path[0]);
  if (other === undefined) return `reads {${referenceText(reference)}}, but there is no step ${path[0]}`;
  const isItself = other === written && place === "compensate";
  if (other.group < written.group || isItself) return null;
  return `reads {${referenceText(reference)}}, but ${path[0]} does not run before it`;
}

function referencesOfValue(value: unknown): readonly Reference[] {
  if (typeof value === "string") return referencesOfText(value) ?? [];
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap((inner: Json) => referencesOfValue(inner));
}

/** null: it is no template. */
function referencesOfText(value: unknown): readonly Reference[] | null {
  if (typeof value !== "string") return null;
  const parsed = parseTemplate(value);
  return "rule" in parsed ? null : parsed.parts.filter((part) => typeof part !== "string");
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}

function itemsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
