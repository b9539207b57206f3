// What stands for the gateway in tests of examples: it takes events in as the gateway does, in Node, and
// tells what it got. It can be told to fail.
//
//   POST /_gateway/events        takes a batch
//   POST /script  {key, answers} the next publications of this key are answered so: a status, or "after" for
//                                an answer of 500 after the events were taken
//   GET  /received?key=K         the events of this key, as they came, repeated ones too

import { BATCH_TYPE, parseBatch, writeStructured } from "../../src/delivery/events/json-format.ts";
import { eventKey } from "../../src/delivery/events/cloud-event.ts";

export const DOUBLE_TOKEN = "token-of-the-double";

type Answer = number | "after";

const received = new Map<string, string[]>();
const scripts = new Map<string, Answer[]>();

/** A service binding for miniflare. */
export async function gatewayDouble(request: {
  url: string;
  method: string;
  headers: { get(name: string): string | null };
  text(): Promise<string>;
}) {
  const url = new URL(request.url);
  if (url.pathname === "/received") {
    return Response.json(received.get(url.searchParams.get("key") ?? "") ?? []);
  }
  const body = await request.text();
  if (url.pathname === "/script") {
    const { key, answers }: { key: string; answers: Answer[] } = JSON.parse(body);
    scripts.set(key, answers);
    return new Response(null, { status: 204 });
  }
  if (url.pathname !== "/_gateway/events") return new Response(null, { status: 404 });
  const isAllowed = request.headers.get("authorization") === `Bearer ${DOUBLE_TOKEN}`;
  if (!isAllowed) return new Response(null, { status: 401 });
  if (request.headers.get("content-type") !== BATCH_TYPE) return new Response(null, { status: 415 });
  const parsed = parseBatch(body);
  if (parsed.kind !== "events") return Response.json(parsed, { status: 400 });
  const key = eventKey(parsed.events[0]) ?? "";
  const answer = scripts.get(key)?.shift() ?? 202;
  if (answer !== 202 && answer !== "after") return new Response(null, { status: answer });
  received.set(key, [...(received.get(key) ?? []), ...parsed.events.map(writeStructured)]);
  return new Response(null, { status: answer === "after" ? 500 : 202 });
}
