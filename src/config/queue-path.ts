// `queues.<name>.path`: which path a queue's deliveries have. Its final `*` stands for the path that the
// request was taken in with (after its route's own `request.path`), so `/*` leaves it as it is and `/jobs/*`
// puts something in front.

import type { Parsed } from "./fields.ts";
import { parseRewriteTemplate } from "./path-rewrite.ts";
import type { PathRewrite } from "./plan.ts";

/** Pieces of the path that is sent, counted in segments of the one that came; null: it stays as it is. */
export function parseQueuePath(value: unknown): Parsed<PathRewrite | null> {
  const template = parseRewriteTemplate(value);
  if ("rule" in template) return template;
  if (template.value === "/*") return { value: null };
  const parts = template.value.slice(1).split("/");
  const hasRest = parts.at(-1) === "*";
  const literals = hasRest ? parts.slice(0, -1) : parts;
  if (literals.some((part) => part.includes("*"))) return { rule: "may have * only as its last segment" };
  if (literals.some((part) => part.startsWith(":"))) {
    return { rule: "cannot have :name parameters: several routes may lead to one queue" };
  }
  const text = `/${literals.join("/")}`;
  if (!hasRest) return { value: [{ kind: "literal", text }] };
  return {
    value: [
      { kind: "literal", text: `${text}/` },
      { kind: "rest", from: 0 },
    ],
  };
}
