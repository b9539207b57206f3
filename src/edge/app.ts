// The Hono app around the pipeline: with the first request the pipeline becomes its last handler, so what a
// team has added comes before it. That is so however the app is called: by the Worker's handler, by another
// app that mounts it, or by a test.

import { Hono } from "hono";
import type { Context } from "hono";
import { answerThrown, withRequestId } from "./app-answers.ts";

/** The part of an execution context that the pipeline needs. */
export interface WaitingContext {
  waitUntil(promise: Promise<unknown>): void;
}

export type GatewayApp = Hono<{ Bindings: Record<string, unknown> }>;

/** `handle` runs the pipeline. */
export function createApp(
  handle: (
    request: Request,
    bindings: Record<string, unknown>,
    context: WaitingContext,
  ) => Response | Promise<Response>,
): GatewayApp {
  const app: GatewayApp = new Hono();
  app.onError((error, c) => answerThrown(error, c.req.raw));
  const dispatch = app.fetch;
  let isOpen = true;
  app.fetch = (...call) => {
    if (isOpen) {
      isOpen = false;
      app.all("*", (c) => handle(c.req.raw, bindingsOf(c), contextOf(c)));
    }
    const answer = dispatch(...call);
    const [request] = call;
    return answer instanceof Promise
      ? answer.then((response) => withRequestId(response, request))
      : withRequestId(answer, request);
  };
  return app;
}

/** `app.request(url)` without more has none. */
function bindingsOf({ env }: Context): Record<string, unknown> {
  return typeof env === "object" && env !== null ? env : {};
}

/** Hono throws where there is none: then nothing keeps work alive but the process. */
function contextOf(c: Context): WaitingContext {
  try {
    return c.executionCtx;
  } catch {
    return { waitUntil: (work) => void work.catch(() => {}) };
  }
}
