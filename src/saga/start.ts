// A request of a `saga:` route: its saga is stored, then answered with 202 and its address. The same key
// leads to the same address. Nothing has happened when it could not be stored, and the answer says so.

import { readBody, release } from "../delivery/accept-body.ts";
import { appliedPreferences } from "../delivery/accept-terms.ts";
import { noteIntake, refuse, refuseBody, refuseFull } from "../delivery/intake.ts";
import { consumerAt } from "../edge/engine.ts";
import type { Exchange } from "../edge/exchange.ts";
import { routeParams } from "../edge/route-table.ts";
import { Verdict } from "../edge/verdict.ts";
import type { Preferences } from "../http/prefer.ts";
import { parsePrefer } from "../http/prefer.ts";
import type { SagaInput } from "./core/calls.ts";
import { missingInput } from "./core/calls.ts";
import type { SagaDefinition } from "./core/definition.ts";
import { headersRead } from "./core/definition.ts";
import type { SagaLedgerStub, StartReply, StartRequest, ViewReply } from "./core/protocol.ts";
import { MAX_INPUT_BYTES, MAX_KEY_CHARS } from "./core/protocol.ts";
import type { Json } from "./core/template.ts";
import { renderText } from "./core/template.ts";
import { askLedger, ledgerOf } from "./ledgers.ts";

/** Longest wait for the end of a saga (`Prefer: wait=N`). */
export const MAX_PREFERRED_WAIT_S = 10;
const POLL_AFTER_S = 1;

/** Starts the saga of the request's route; on `admit` the exchange holds the answer. */
export async function startSaga(x: Exchange, definition: SagaDefinition): Promise<Verdict> {
  const { sagaLedgers: ledgers, region } = x.engine;
  if (ledgers === null) return refuse(x, Verdict.notAccepted, "This process keeps no sagas.");
  const limitBytes = Math.min(MAX_INPUT_BYTES, x.route?.bodyLimitBytes ?? 0);
  const body = await readBody(x.request.body, x.inbound.contentLength, {
    limitBytes,
    hasBucket: true,
    waitMs: x.deadlineAt - Date.now(),
  });
  if (body.kind !== "read") return refuseBody(x, body, () => `Send at most ${limitBytes} bytes.`);
  release(body.body);
  const json = parseBody(body.body, x.request.headers.get("content-type"));
  if (json === undefined) return refuse(x, Verdict.badRequest, "Send the body as well-formed JSON.");
  const input = inputOf(x, definition, json);
  const key = renderText(definition.key, { ...input });
  const missing = "missing" in key ? key.missing : missingInput(definition, input);
  if ("missing" in key || missing !== null) {
    return refuse(x, Verdict.badRequest, `The request lacks what its steps need: ${missing}.`);
  }
  if (key.value === "" || key.value.length > MAX_KEY_CHARS || !key.value.isWellFormed()) {
    const detail = `The saga's key must have 1 to ${MAX_KEY_CHARS} characters.`;
    return refuse(x, Verdict.badRequest, detail);
  }
  const ledger = ledgerOf(ledgers, definition.name, region);
  const reply = await askLedger(ledger.start({ definition, key: key.value, input, ...startedBy(x) }));
  if (reply === null) return noteIntake(x, Verdict.notAccepted);
  if (reply.kind === "full") return refuseFull(x, reply.retryAfterMs);
  x.sent = !reply.replayed;
  await answer(x, ledger, reply);
  return noteIntake(x, Verdict.admit, reply.replayed ? "replayed" : "accepted");
}

/** On whose behalf it runs, and who alone may look at it; null: whoever has its address. */
function startedBy(x: Exchange): Pick<StartRequest, "origin" | "owner"> {
  const { engine, route, trafficClass, requestId } = x;
  const consumer = consumerAt(engine, x.consumer)?.name ?? null;
  const tenant = x.tenant < 0 ? null : engine.plan.tenants[x.tenant].name;
  return {
    origin: { trafficClass, consumer, tenant, region: engine.region, requestId },
    owner: route?.auth === null ? null : consumer,
  };
}

/** Waits for its end where the client would. */
async function answer(
  x: Exchange,
  ledger: SagaLedgerStub,
  { id, replayed }: Extract<StartReply, { kind: "started" }>,
): Promise<void> {
  const preferences = parsePrefer(x.request.headers.get("prefer"));
  const wishedMs = Math.min(preferences.waitSeconds ?? 0, MAX_PREFERRED_WAIT_S) * 1000;
  const waitMs = Math.max(0, Math.min(wishedMs, x.deadlineAt - Date.now()));
  const isAsked = replayed || waitMs > 0;
  const view = isAsked ? await askLedger(ledger.awaitEnd(id, waitMs), waitMs) : null;
  x.response = accepted(id, view, preferences);
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

/** Text that is no JSON is itself, unless it was said to be JSON: then undefined. */
function parseBody(bytes: Uint8Array | null, contentType: string | null): Json | undefined {
  if (bytes === null) return null;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    return undefined;
  }
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- JSON.parse gives nothing else
    return JSON.parse(text) as Json;
  } catch {
    return /json/i.test(contentType ?? "") ? undefined : text;
  }
}
