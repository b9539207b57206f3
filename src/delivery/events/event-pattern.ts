// Which events a subscription takes, by their type: `order.paid` that one, `order.*` all below `order`,
// at any depth, `*` all.

import { MAX_ATTRIBUTE_CHARS } from "./cloud-event.ts";

/** Of one subscription. */
export const MAX_PATTERNS = 100;

const PATTERN = /^(?:\*|[^*\s]+?(?:\.\*)?)$/;

/** Whether a text is a pattern: a star stands alone or at the end, behind a dot. */
export function isEventPattern(text: string): boolean {
  return text.length <= MAX_ATTRIBUTE_CHARS && PATTERN.test(text) && !text.startsWith(".*");
}

/** Whether an event of this type is meant by one of the patterns. */
export function matchesEvent(patterns: readonly string[], type: string): boolean {
  return patterns.some((pattern) => {
    if (pattern === "*") return true;
    if (!pattern.endsWith(".*")) return pattern === type;
    const prefix = pattern.slice(0, -1);
    return type.length > prefix.length && type.startsWith(prefix);
  });
}
