// Rules that bind reactions to each other and to the rest of the configuration. Like all cross-checks they
// read the input as it was written and step over what is malformed.
//
// A cycle in which every success leads to the next request would only end at the bound of hops: it is an
// error. One that goes through a failure or a deadline may be meant, see `reactionCycle` and its advice.

import { isEventPattern, matchesEvent } from "../delivery/events/event-pattern.ts";
import { parseDuration } from "../http/durations.ts";
import type { ConfigIssue, ConfigPath } from "./error-lines.ts";
import { bodyIssues } from "./saga-rules.ts";
import { MAX_REACTION_DEADLINE_MS } from "./schema-reactions.ts";

type Fields = Readonly<Record<string, unknown>>;

export interface KnownToReactions {
  readonly upstreams: Fields;
  /** Whose outboxes have names already, by what they are. */
  readonly taken: Readonly<Record<string, Fields>>;
}

/** What a reaction hears, and what may follow from it. */
export interface ReactionLink {
  readonly name: string;
  readonly on: readonly string[];
  readonly leadsTo: readonly string[];
}

export function reactionIssues(reactions: Fields, known: KnownToReactions): ConfigIssue[] {
  const issues = Object.entries(reactions).flatMap(([name, reaction]) =>
    oneIssues(["reactions", name], name, fieldsOf(reaction), known),
  );
  const links = Object.entries(reactions).map(([name, reaction]) => linkOf(name, fieldsOf(reaction)));
  const cycle = reactionCycle(links);
  if (cycle === null) return issues;
  const path = ["reactions", cycle[0], "then", "ok"];
  const rule = `leads back to itself whenever all goes well: ${[...cycle, cycle[0]].join(" -> ")}`;
  return [...issues, { path, rule }];
}

function oneIssues(path: ConfigPath, name: string, reaction: Fields, known: KnownToReactions): ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  for (const [what, names] of Object.entries(known.taken)) {
    if (Object.hasOwn(names, name)) issues.push({ path, rule: `is already the name of a ${what}` });
  }
  issues.push(...bodyIssues([...path, "request"], fieldsOf(reaction.request)));
  const { upstream } = fieldsOf(reaction.request);
  if (typeof upstream === "string" && !Object.hasOwn(known.upstreams, upstream)) {
    issues.push({ path: [...path, "request", "upstream"], rule: "is no upstream" });
  }
  const deadlineMs = parseDuration(reaction.deadline);
  if (deadlineMs !== null && deadlineMs > MAX_REACTION_DEADLINE_MS) {
    issues.push({ path: [...path, "deadline"], rule: "must be at most 14d" });
  }
  const { delay, maxDelay } = fieldsOf(reaction.retry);
  const [least, most] = [parseDuration(delay), parseDuration(maxDelay)];
  if (least !== null && most !== null && most < least) {
    issues.push({ path: [...path, "retry", "maxDelay"], rule: "must be at least delay" });
  }
  return issues;
}

function linkOf(name: string, { on, then }: Fields): ReactionLink {
  const written: readonly unknown[] = Array.isArray(on) ? on : [on];
  const { ok } = fieldsOf(then);
  return {
    name,
    on: written.filter((each) => typeof each === "string").filter(isEventPattern),
    leadsTo: typeof ok === "string" ? [ok] : [],
  };
}

/** Names of reactions of which each leads to the next and the last to the first; null: there is no cycle. */
export function reactionCycle(links: readonly ReactionLink[]): readonly string[] | null {
  const done = new Set<string>();
  const search = (link: ReactionLink, trail: readonly string[]): readonly string[] | null => {
    const at = trail.indexOf(link.name);
    if (at >= 0) return trail.slice(at);
    if (done.has(link.name)) return null;
    for (const next of links) {
      if (!link.leadsTo.some((type) => matchesEvent(next.on, type))) continue;
      const found = search(next, [...trail, link.name]);
      if (found !== null) return found;
    }
    done.add(link.name);
    return null;
  };
  for (const link of links) {
    const found = search(link, []);
    if (found !== null) return found;
  }
  return null;
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}
