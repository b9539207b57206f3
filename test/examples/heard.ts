// What the gateway's double was told, and what it is to answer.

import { env } from "cloudflare:workers";
import { isRecord, parseJson } from "../../src/delivery/events/json-format.ts";

export interface Heard {
  readonly id: string;
  readonly type: string;
  readonly sequence: string;
}

/** The events of a key in the order in which they came, repeated ones too. */
export async function heardOf(key: string): Promise<Heard[]> {
  const response = await env.GATEWAY.fetch(`https://gateway/received?key=${key}`);
  const texts: unknown = await response.json();
  return (Array.isArray(texts) ? texts : []).map((text) => {
    const event = parseJson(String(text));
    const of = (name: string): string => String(isRecord(event) ? event[name] : "");
    return { id: of("id"), type: of("type"), sequence: of("sequence") };
  });
}

/** The next publications of a key are answered so: a status, or "after" for 500 once they were taken. */
export async function script(key: string, answers: readonly (number | "after")[]): Promise<void> {
  const body = JSON.stringify({ key, answers });
  await env.GATEWAY.fetch("https://gateway/script", { method: "POST", body });
}
