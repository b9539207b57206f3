// A request of a `saga:` route: its saga is stored, then answered with 202 and its address. The same key
// leads to the same address. Nothing has happened when it could not be stored, and the answer says so.

import { appliedPreferences } from "../delivery/accept-terms.ts";
import { makeProblem } from "../edge/answer.ts";
import { NOBODY } from "../edge/api-keys.ts";
import { consumerAt } from "../edge/engine.ts";
import type { Exchange } from "../edge/exchange.ts";
import { returnLimits } from "../edge/limits.ts";
import { routeParams } from "../edge/route-table.ts";
import { Verdict } from "../edge/verdict.ts";
import type { ProblemCode } from "../http/problem.ts";
import type { Preferences } from "../http/prefer.ts";
import { parsePrefer } from "../http/prefer.ts";
import { retryAfterSeconds } from "../http/retry-after.ts";
import type { SagaInput } from "./core/calls.ts";
import { missingInput } from "./core/calls.ts";
import type { SagaDefinition } from "./core/definition.ts";
import { headersRead } from "./core/definition.ts";
import type { StartReply, ViewReply } from "./core/protocol.ts";
import { MAX_INPUT_BYTES, MAX_KEY_CHARS } from "./core/protocol.ts";
import type { Json } from "./core/template.ts";
import { renderText } from "./core/template.ts";
import { askLedger, ledgerOf } from "./ledgers.ts";

/** Longest wait for the end of a saga (`Prefer: wait=N`). */
export const MAX_PREFERRED_WAIT_S = 10;
const POLL_AFTER_S = 1;

/** Starts the saga of the request's route; the exchange then holds the gateway's own answer. */
export async function startSaga(x: Exchange, definition: SagaDefinition): Promise<Verdict> {
  x.response = await answerStart(x, definition);
  return Verdict.admit;
}

async function answerStart(x: Exchange, definition: SagaDefinition): Promise<Response> {
  const { engine, route } = x;
  const { sagaLedgers: ledgers } = engine;
  if (ledgers === null) return refuse(x, "not_accepted", "This process keeps no sagas.");
  const body = await readBody(x);
  if (body === "too-large") {
    return makeProblem(x, "body_too_large", { limitBytes: limitOf(x) }, new Headers());
  }
  if (body === "malformed") return refuse(x, "bad_request", "Send the body as well-formed JSON.");
  const input = inputOf(x, definition, body.json);
  const key = renderText(definition.key, { ...input });
  const missing = "missing" in key ? key.missing : missingInput(definition, input);
  if ("missing" in key || missing !== null) {
    return refuse(x, "bad_request", `The request lacks what its steps need: ${missing}.`);
  }
  if (key.value === "" || key.value.length > MAX_KEY_CHARS || !key.value.isWellFormed()) {
    return refuse(x, "bad_request", `The saga's key must have 1 to ${MAX_KEY_CHARS} characters.`);
  }
  const ledger = ledgerOf(ledgers, definition.name, engine.region);
  const { trafficClass, requestId } = x;
  const consumer = consumerAt(engine, x.consumer)?.name ?? null;
  const tenant = x.tenant < 0 ? null : engine.plan.tenants[x.tenant].name;
  const origin = { trafficClass, consumer, tenant, region: engine.region, requestId };
  const owner = route?.auth === null || x.consumer === NOBODY ? null : consumer;
  const reply = await askLedger(ledger.start({ definition, key: key.value, input, origin, owner }));
  if (reply === null) return refuse(x, "not_accepted");
  if (reply.kind === "full") return refuseFull(x, reply);
  const preferences = parsePrefer(x.request.headers.get("prefer"));
  const wishedMs = Math.min(preferences.waitSeconds ?? 0, MAX_PREFERRED_WAIT_S) * 1000;
  const waitMs = Math.max(0, Math.min(wishedMs, x.deadlineAt - Date.now()));
  const isKnown = reply.replayed || waitMs > 0;
  const view = isKnown ? await askLedger(ledger.awaitEnd(reply.id, waitMs), waitMs) : null;
  return accepted(reply.id, view, preferences);
}

function accepted(id: string, reply: ViewReply | null, { respondAsync, waitSeconds }: Preferences): Response {
  const location = `/_gateway/sagas/${id}`;
  const view = reply?.kind === "found" ? reply.view : null;
  const hasEnded = reply?.kind === "found" && (reply.isOver || reply.view.state === "parked");
  const isAnswered = hasEnded && waitSeconds !== null;
  const headers = new Headers({ location, "cache-control": "no-store" });
  const waitMs = waitSeconds === null ? null : Math.min(waitSeconds, MAX_PREFERRED_WAIT_S) * 1000;
  const applied = appliedPreferences({ respondAsync, waitMs }, isAnswered ? "with-result" : "with-job");
  if (applied !== null) headers.set("preference-applied", applied);
  if (isAnswered) return Response.json(view, { status: 200, headers });
  headers.set("retry-after", String(POLL_AFTER_S));
  const links = { self: location, events: `${location}/events` };
  return Response.json({ id, state: view?.state ?? "pending", links }, { status: 202, headers });
}

function refuse(x: Exchange, code: ProblemCode, detail?: string): Response {
  returnLimits(x);
  const headers = new Headers(code === "not_accepted" ? { "retry-after": "1" } : {});
  return makeProblem(x, code, detail === undefined ? {} : { detail }, headers);
}

function refuseFull(x: Exchange, { retryAfterMs }: StartReply & { readonly kind: "full" }): Response {
  returnLimits(x);
  const retryAfter = retryAfterSeconds(retryAfterMs);
  return makeProblem(x, "backlog_full", { retryAfter }, new Headers({ "retry-after": String(retryAfter) }));
}

/** What templates can read of the request; of its header fields only what they do read is kept. */
function inputOf(x: Exchange, definition: SagaDefinition, body: Json): SagaInput {
  const { headers } = x.request;
  const kept = headersRead(definition).flatMap((name) => {
    const value = headers.get(name);
    return value === null ? [] : [[name, value] as const];
  });
  return {
    body,
    params: x.route === null ? {} : routeParams(x.engine.routes, x.route, x.path),
    query: Object.fromEntries(new URLSearchParams(x.query)),
    headers: Object.fromEntries(kept),
  };
}

function limitOf(x: Exchange): number {
  return Math.min(MAX_INPUT_BYTES, x.route?.bodyLimitBytes ?? 0);
}

async function readBody(x: Exchange): Promise<{ readonly json: Json } | "too-large" | "malformed"> {
  const { body, headers } = x.request;
  if (body === null) return { json: null };
  const bytes = await readBytes(body, limitOf(x));
  if (typeof bytes === "string") return bytes;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    return "malformed";
  }
  if (text === "") return { json: null };
  try {
    return { json: JSON.parse(text) };
  } catch {
    return /json/i.test(headers.get("content-type") ?? "") ? "malformed" : { json: text };
  }
}

async function readBytes(
  body: ReadableStream<Uint8Array>,
  limit: number,
): Promise<Uint8Array | "too-large" | "malformed"> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.byteLength;
      if (length > limit) {
        reader.cancel().catch(() => {});
        return "too-large";
      }
      chunks.push(value);
    }
  } catch {
    return "malformed";
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}
