// What operators do with a subscription: `POST /_gateway/subscriptions/<name>/replay` hands it events that it
// has had once more, `.../enable` lets a webhook's receiver that was disabled have events again.

import type { SubscriptionPlan } from "../config/plan.ts";
import type { Exchange } from "../edge/exchange.ts";
import { problem, readJson } from "./answers.ts";
import { notAnswered } from "./jobs.ts";
import { REPLAY_RULE, parseReplay } from "./replay-request.ts";

/**
 * 200 with the ids whose events follow at once, 202 where it goes on by itself. It says that the receiver
 * works again, so one that was disabled is enabled first.
 */
export async function replayEvents(x: Exchange, name: string, request: Request): Promise<Response> {
  const subscription = subscriptionOf(x, name);
  if (subscription instanceof Response) return subscription;
  const asked = parseReplay(await readJson(request), Date.now());
  if (asked === null) return problem(x, "bad_request", REPLAY_RULE);
  const { outboxes } = x.engine;
  if (subscription.deliver.kind === "webhook") {
    const enabled = await outboxes?.askSubscription(name, (outbox) => outbox.enable());
    if (enabled?.kind !== "enabled") return notAnswered(x);
  }
  const reply = (await outboxes?.askEvents((outbox) => outbox.replayEvents(name, asked))) ?? null;
  switch (reply?.kind) {
    case undefined:
      return notAnswered(x);
    case "malformed":
      return problem(x, "bad_request", REPLAY_RULE);
    case "replaying":
      return Response.json({ matching: reply.matching }, { status: 202 });
    case "replayed":
      return Response.json({ replayed: reply.ids, unknown: reply.unknown });
    case "no-events":
      return "ids" in asked
        ? Response.json({ replayed: [], unknown: asked.ids })
        : Response.json({ matching: 0 }, { status: 202 });
  }
}

/**
 * 200 with what it was disabled for (null: it was not), and how many dead events there are to be replayed.
 */
export async function enableSubscription(x: Exchange, name: string): Promise<Response> {
  const subscription = subscriptionOf(x, name);
  if (subscription instanceof Response) return subscription;
  if (subscription.deliver.kind !== "webhook") {
    return problem(x, "bad_request", `Nothing disables ${name}: only a webhook's receiver can be.`);
  }
  const reply = (await x.engine.outboxes?.askSubscription(name, (outbox) => outbox.enable())) ?? null;
  if (reply === null) return notAnswered(x);
  return Response.json({ enabled: name, was: reply.was, dead: reply.deadRows });
}

function subscriptionOf(x: Exchange, name: string): SubscriptionPlan | Response {
  const { subscriptions } = x.engine.plan;
  const found = subscriptions.find((subscription) => subscription.name === name);
  if (found !== undefined) return found;
  const known = subscriptions.map((subscription) => subscription.name).join(", ") || "none";
  return problem(x, "route_not_found", `There is no subscription of this name; there are: ${known}.`);
}
