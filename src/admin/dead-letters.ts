// `/_gateway/dead-letters/<queue>`: requests that could not be delivered. They are listed with their tries,
// tried again by id or by the time at which they died, and passed by those that wait behind one for its key.

import type { Exchange } from "../edge/exchange.ts";
import type { OutboxCalls } from "../delivery/core/protocol.ts";
import { MAX_PAGE_ROWS } from "../delivery/core/protocol.ts";
import { problem, readJson } from "./answers.ts";
import { notAnswered } from "./jobs.ts";
import { REPLAY_RULE, fieldsOf, parseReplay } from "./replay-request.ts";

const PAGE_RULE = `Send \`max\` from 1 to ${MAX_PAGE_ROWS}, and \`after\` as the \`next\` of a page.`;
/** `GET /_gateway/dead-letters/<queue>?after=&max=`: a page, in the order in which they were taken in. */
export async function listDeadLetters(
  x: Exchange,
  queue: string,
  page: { readonly after: string | undefined; readonly max: string | undefined },
): Promise<Response> {
  const max = Number(page.max ?? MAX_PAGE_ROWS);
  if (!Number.isSafeInteger(max) || max < 1 || max > MAX_PAGE_ROWS) {
    return problem(x, "bad_request", PAGE_RULE);
  }
  return answer(
    x,
    queue,
    (outbox) => outbox.dead({ after: page.after ?? null, max }),
    (reply) =>
      reply.kind === "malformed"
        ? problem(x, "bad_request", PAGE_RULE)
        : Response.json({ items: reply.items, next: reply.next }),
  );
}

/**
 * `POST /_gateway/dead-letters/<queue>/replay`: 200 with what was replayed, 202 where it goes on by itself.
 */
export async function replayDeadLetters(x: Exchange, queue: string, request: Request): Promise<Response> {
  const asked = parseReplay(await readJson(request), Date.now());
  if (asked === null) return problem(x, "bad_request", REPLAY_RULE);
  return answer(
    x,
    queue,
    (outbox) => outbox.replay(asked),
    (reply) => {
      if (reply.kind === "malformed") return problem(x, "bad_request", REPLAY_RULE);
      if (reply.kind === "replaying") return Response.json({ matching: reply.matching }, { status: 202 });
      return Response.json({ replayed: reply.ids, notDead: reply.notDead });
    },
  );
}

/** `POST /_gateway/dead-letters/<queue>/skip`: lets those behind a dead request pass it. */
export async function skipDeadLetter(x: Exchange, queue: string, request: Request): Promise<Response> {
  const { id } = fieldsOf(await readJson(request));
  if (typeof id !== "string") return problem(x, "bad_request", "Send `id` as the id of a dead request.");
  return answer(
    x,
    queue,
    (outbox) => outbox.skip(id),
    (reply) => {
      if (reply.kind === "skipped") return Response.json({ skipped: id });
      if (reply.kind === "not-dead") {
        return problem(x, "bad_request", `Send the id of a dead request: this one is ${reply.job.status}.`);
      }
      return problem(x, "route_not_found", "There is no request of this id in the queue, or not any more.");
    },
  );
}

async function answer<Reply>(
  x: Exchange,
  queue: string,
  call: (outbox: OutboxCalls) => Promise<Reply>,
  toResponse: (reply: Reply) => Response,
): Promise<Response> {
  const { plan, outboxes } = x.engine;
  const isQueue = plan.queues.some(({ name }) => name === queue);
  if (!isQueue && !plan.subscriptions.some(({ name }) => name === queue)) {
    const known = [...plan.queues, ...plan.subscriptions].map(({ name }) => name).join(", ") || "none";
    const detail = `There is no queue, subscription or reaction of this name; there are: ${known}.`;
    return problem(x, "route_not_found", detail);
  }
  const asked = isQueue ? outboxes?.askQueue(queue, call) : outboxes?.askSubscription(queue, call);
  const reply = (await asked) ?? null;
  return reply === null ? notAnswered(x) : toResponse(reply);
}
