// `/_gateway/sagas/...`: the page of an instance for whoever has its address, what operators can do, lists.

import { NOBODY, consumerOfKey } from "../edge/api-keys.ts";
import { makeProblem } from "../edge/answer.ts";
import { consumerAt } from "../edge/engine.ts";
import type { Exchange } from "../edge/exchange.ts";
import { parseDuration } from "../http/durations.ts";
import type { Operation } from "../saga/core/operate.ts";
import type { SagaLedgerStub, SagaSummary, ViewReply } from "../saga/core/protocol.ts";
import { MAX_LISTED, MAX_NOTE_CHARS, isPhase } from "../saga/core/protocol.ts";
import { parseSagaId } from "../saga/core/saga-id.ts";
import { askLedger, ledgerOf } from "../saga/ledgers.ts";
import { MAX_ADMIN_BODY_BYTES, notAnswered, problem } from "./answers.ts";
import { streamEvents } from "./saga-events.ts";

export const SAGA_OPERATIONS = ["cancel", "retry-compensation", "mark-compensated"] as const;

/** `GET /_gateway/sagas/<id>`: whoever has the address; on a route with `auth` its consumer alone. */
export async function readSaga(x: Exchange, id: string, isAdmin: boolean): Promise<Response> {
  const found = await findSaga(x, id, isAdmin);
  if (found instanceof Response) return found;
  const { view, isOver } = found.reply;
  const headers = new Headers({ "cache-control": "no-store" });
  if (!isOver) headers.set("retry-after", "1");
  return Response.json(view, { headers });
}

/** `GET .../events`: what has happened and what happens, as server-sent events. */
export async function readSagaEvents(x: Exchange, id: string, isAdmin: boolean): Promise<Response> {
  const found = await findSaga(x, id, isAdmin);
  if (found instanceof Response) return found;
  const after = Number(x.request.headers.get("last-event-id") ?? "0");
  return streamEvents(() => ledgerFor(x, id), id, Number.isSafeInteger(after) && after > 0 ? after : 0);
}

/** `POST .../cancel`, `.../retry-compensation`, `.../mark-compensated`. */
export async function operateSaga(
  x: Exchange,
  id: string,
  kind: string,
  request: Request,
): Promise<Response> {
  const ledger = ledgerFor(x, id);
  const operation = operationOf(kind, await readOptions(request));
  if (ledger === null) return unknownSaga(x);
  if (operation === null) {
    return problem(x, "bad_request", "Send nothing, or JSON with `note` and `step` as text.");
  }
  const reply = await askLedger(ledger.operate(id, operation));
  if (reply === null) return notAnswered(x);
  if (reply.kind === "unknown") return unknownSaga(x);
  if (reply.kind === "refused") {
    return makeProblem(x, "saga_conflict", { detail: reply.why, state: reply.view.state }, new Headers());
  }
  return Response.json(reply.view);
}

/** `GET /_gateway/sagas?state=parked&saga=checkout&olderThan=1h`: the oldest first. */
export async function listSagas(x: Exchange, query: URLSearchParams): Promise<Response> {
  const { engine } = x;
  const state = query.get("state");
  const minAgeMs = parseDuration(query.get("olderThan") ?? 0);
  const max = Number(query.get("max") ?? MAX_LISTED);
  const [from, after] = (query.get("after") ?? ":0").split(":");
  if (state !== null && !isPhase(state)) {
    return problem(x, "bad_request", "There is no such state of a saga.");
  }
  if (minAgeMs === null || !Number.isSafeInteger(max) || max < 1 || !Number.isSafeInteger(Number(after))) {
    return problem(
      x,
      "bad_request",
      "Send olderThan as a duration, max as a whole number, after as it was given.",
    );
  }
  const only = query.get("saga");
  const names = engine.plan.sagas.map(({ name }) => name).filter((name) => only === null || name === only);
  const items: SagaSummary[] = [];
  for (const name of names.slice(Math.max(0, names.indexOf(from)))) {
    const room = Math.min(max, MAX_LISTED) - items.length;
    const ledger = ledgerNamed(x, name);
    if (room <= 0) return Response.json({ items, next: `${name}:0` });
    if (ledger === null) break;
    const request = { state, minAgeMs, after: name === from ? Number(after) : 0, max: room };
    const page = await askLedger(ledger.list(request));
    if (page === null) return notAnswered(x);
    items.push(...page.items);
    if (page.next !== null) return Response.json({ items, next: `${name}:${page.next}` });
  }
  return Response.json({ items, next: null });
}

type Found = { readonly reply: ViewReply & { readonly kind: "found" } };

async function findSaga(x: Exchange, id: string, isAdmin: boolean): Promise<Found | Response> {
  const ledger = ledgerFor(x, id);
  if (ledger === null) return unknownSaga(x);
  const reply = await askLedger(ledger.view(id));
  if (reply === null) return notAnswered(x);
  if (reply.kind === "unknown") return unknownSaga(x);
  if (reply.owner === null || isAdmin) return { reply };
  const consumer = x.inbound.apiKey === null ? NOBODY : consumerOfKey(x.engine.keys, x.inbound.apiKey);
  if (consumerAt(x.engine, consumer)?.name === reply.owner) return { reply };
  if (consumer !== NOBODY) return makeProblem(x, "forbidden", {}, new Headers());
  const headers = new Headers({ "www-authenticate": `ApiKey realm="${x.engine.plan.name}"` });
  return makeProblem(x, "unauthorized", {}, headers);
}

/** Of the configuration's sagas alone: asking an object that does not exist would create it. */
function ledgerFor(x: Exchange, id: string): SagaLedgerStub | null {
  const saga = parseSagaId(id)?.saga;
  const isConfigured = x.engine.plan.sagas.some(({ name }) => name === saga);
  return saga === undefined || !isConfigured ? null : ledgerNamed(x, saga);
}

function ledgerNamed({ engine }: Exchange, saga: string): SagaLedgerStub | null {
  return engine.sagaLedgers === null ? null : ledgerOf(engine.sagaLedgers, saga, engine.region);
}

function unknownSaga(x: Exchange): Response {
  return problem(x, "route_not_found", "There is no saga of this id.");
}

async function readOptions(request: Request): Promise<Record<string, unknown> | null> {
  const text = await request.text();
  if (text === "") return {};
  if (text.length > MAX_ADMIN_BODY_BYTES) return null;
  try {
    const options: unknown = JSON.parse(text);
    return typeof options === "object" && options !== null ? { ...options } : null;
  } catch {
    return null;
  }
}

function operationOf(kind: string, options: Record<string, unknown> | null): Operation | null {
  if (options === null) return null;
  const { note = null, step = null, abandon = false } = options;
  if (!isTextOrNull(note) || !isTextOrNull(step) || typeof abandon !== "boolean") return null;
  if (kind === "cancel") return { kind, note, abandon };
  return kind === "retry-compensation" || kind === "mark-compensated" ? { kind, note, step } : null;
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || (typeof value === "string" && value.length <= MAX_NOTE_CHARS);
}
