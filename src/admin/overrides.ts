// `/_gateway/overrides`: what operators force on upstreams, for a time, in every region. Reading shows the
// write in force and those that were made without knowing of it.

import { parseDuration } from "../http/durations.ts";
import type { UpstreamPlan } from "../config/plan.ts";
import type { Exchange } from "../edge/exchange.ts";
import { isTargetNamed } from "../edge/overrides.ts";
import { MAX_OVERRIDE_MS, toOverrideTerms } from "../hub/overrides.ts";
import type { OverrideTerms } from "../hub/protocol.ts";
import { notAnswered, problem, readJson } from "./answers.ts";

const FIELDS = ["breaker", "cursor", "drain", "forMs", "note"];

export async function listOverrides(x: Exchange): Promise<Response> {
  const readings = (await x.engine.hub?.ask((hub) => hub.overrides())) ?? null;
  return readings === null ? notAnswered(x) : Response.json(readings);
}

export async function readOverride(x: Exchange, upstream: string): Promise<Response> {
  const readings = (await x.engine.hub?.ask((hub) => hub.overrides())) ?? null;
  if (readings === null) return notAnswered(x);
  if (!Object.hasOwn(readings, upstream)) {
    return problem(x, "route_not_found", "Nothing is forced on an upstream of this name.");
  }
  return Response.json(readings[upstream]);
}

export async function putOverride(x: Exchange, upstream: string, request: Request): Promise<Response> {
  const plan = x.engine.plan.upstreams.find(({ name }) => name === upstream);
  if (plan === undefined) return unknownUpstream(x);
  const parsed = parseOverride(await readJson(request), Date.now());
  if ("rule" in parsed) return problem(x, "bad_request", parsed.rule);
  const strangers = unknownTargets(plan, parsed.terms);
  if (strangers > 0) {
    const rule = `there are ${strangers} in \`drain\` that this upstream does not have`;
    return problem(x, "bad_request", `Send targets of the upstream, as /_gateway/state lists them: ${rule}.`);
  }
  return write(x, upstream, parsed.terms);
}

/** Clears what is forced; also of an upstream that the configuration no longer has. */
export async function deleteOverride(x: Exchange, upstream: string): Promise<Response> {
  return write(x, upstream, null);
}

/** Clears whatever is forced on any upstream. */
export async function deleteOverrides(x: Exchange): Promise<Response> {
  const readings = (await x.engine.hub?.ask((hub) => hub.overrides())) ?? null;
  if (readings === null) return notAnswered(x);
  for (const upstream of Object.keys(readings)) {
    const cleared = await write(x, upstream, null);
    if (!cleared.ok) return cleared;
  }
  return Response.json({});
}

async function write(x: Exchange, upstream: string, terms: OverrideTerms | null): Promise<Response> {
  const { hub } = x.engine;
  const reply = (await hub?.ask((stub) => stub.override(upstream, terms))) ?? null;
  if (hub === null || reply === null) return notAnswered(x);
  if (reply.kind !== "written") return problem(x, "bad_request", "The hub did not take the override.");
  // This isolate follows at once, the others of the region with their next sync.
  hub.link.replica.snapshot = (await hub.ask((stub) => stub.snapshot())) ?? hub.link.replica.snapshot;
  const readings = (await hub.ask((stub) => stub.overrides())) ?? {};
  return Response.json(Object.hasOwn(readings, upstream) ? readings[upstream] : {});
}

type ParsedOverride = { readonly terms: OverrideTerms } | { readonly rule: string };

function parseOverride(body: unknown, now: number): ParsedOverride {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    return { rule: `Send an object with ${FIELDS.join(", ")}.` };
  }
  const fields: Record<string, unknown> = { ...body };
  const unknown = Object.keys(fields).find((field) => !FIELDS.includes(field));
  if (unknown !== undefined) return { rule: `There is no field ${unknown}; there are ${FIELDS.join(", ")}.` };
  const forMs = parseDuration(fields.forMs);
  if (forMs === null || forMs < 1 || forMs > MAX_OVERRIDE_MS) {
    return { rule: "Send `forMs`: ms that the override lasts, at most 30 days." };
  }
  if (fields.breaker === undefined && fields.cursor === undefined && fields.drain === undefined) {
    return { rule: "Send what to force: breaker, cursor or drain." };
  }
  const terms = toOverrideTerms(fields, Math.ceil(now + forMs));
  if (terms !== null) return { terms };
  return {
    rule: 'Send `breaker` as "open" or "closed", `cursor` from 0 to 512, `drain` as a list of target URLs, `note` as text.',
  };
}

/** How many targets to drain the upstream does not have: a typo would leave traffic where it must not be. */
function unknownTargets({ targets }: UpstreamPlan, { drain = [] }: OverrideTerms): number {
  return drain.filter((name) => !targets.some((target) => isTargetNamed(target, name))).length;
}

function unknownUpstream(x: Exchange): Response {
  const known = x.engine.plan.upstreams.map(({ name }) => name).join(", ");
  return problem(x, "route_not_found", `There is no upstream of this name; there are: ${known}.`);
}
