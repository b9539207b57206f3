// Schema of `sagas`: steps, their calls, how each is undone. What binds steps together (order, references)
// stands in saga-rules.ts.

import * as z from "zod/mini";
import { SOURCES } from "../saga/core/template.ts";
import { issuesFromSchema } from "./error-lines.ts";
import { duration, exactObject, field, flag, integer, listOf, name, text } from "./fields.ts";
import { callMethod as method, callSchemas } from "./schema-calls.ts";

/** Steps of one saga, all groups together. */
export const MAX_SAGA_STEPS = 50;
/** Tries of one call of a saga. */
export const MAX_SAGA_ATTEMPTS = 1000;

const { body, headers, path, template } = callSchemas(SOURCES, "the saga");

function retryTerms(maxDelay: string) {
  return z.prefault(
    exactObject({
      attempts: z.optional(integer(1, MAX_SAGA_ATTEMPTS)),
      delay: z.prefault(duration("zero"), "2s"),
      maxDelay: z.prefault(duration("zero"), maxDelay),
    }),
    {},
  );
}

const upstreamName = text("must be the name of an upstream");

const request = exactObject({
  upstream: upstreamName,
  method,
  path,
  headers: z.prefault(headers, {}),
  body: z.optional(body),
});

const outcome = exactObject({
  upstream: z.optional(upstreamName),
  method: z.prefault(method, "GET"),
  path,
  headers: z.prefault(headers, {}),
});

const undoing = exactObject({
  upstream: z.optional(upstreamName),
  method,
  path,
  headers: z.prefault(headers, {}),
  body: z.optional(body),
  retry: retryTerms("10m"),
  timeout: z.optional(duration()),
});

const nothing = exactObject({ none: field("must say why nothing has to be undone", reasonOf) });

function reasonOf(value: unknown): string | null {
  return typeof value === "string" && value.trim() !== "" ? value : null;
}

/** One of two objects, told apart by a key, so that errors are about the one that was meant. */
function eitherBy<One extends z.core.$ZodType, Other extends z.core.$ZodType>(
  key: string,
  withKey: One,
  without: Other,
) {
  return z.pipe(
    z.unknown(),
    z.transform((value: unknown, context): z.output<One> | z.output<Other> => {
      const hasKey = typeof value === "object" && value !== null && Object.hasOwn(value, key);
      const parsed = hasKey ? z.safeParse(withKey, value) : z.safeParse(without, value);
      if (parsed.success) return parsed.data;
      for (const { path: where, rule } of issuesFromSchema(parsed.error.issues)) {
        context.issues.push({ code: "custom", message: rule, input: value, path: [...where] });
      }
      return z.NEVER;
    }),
  );
}

const step = exactObject({
  id: name(),
  request,
  retry: retryTerms("2m"),
  timeout: z.prefault(duration(), "15s"),
  outcome: z.optional(outcome),
  compensate: z.optional(eitherBy("none", nothing, undoing)),
  pivot: z.prefault(flag(), false),
  retriable: z.prefault(flag(), false),
});

const group = exactObject({ parallel: listOf(step, 1, "must be a list of at least one step") });

export const sagaSchema = exactObject({
  key: template,
  timeout: z.prefault(duration(), "24h"),
  steps: listOf(eitherBy("parallel", group, step), 1, "must be a list of at least one step"),
});

export type SagaParsed = z.output<typeof sagaSchema>;
export type SagaStepParsed = z.output<typeof step>;
