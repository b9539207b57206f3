// What is measured: three Workers that do the same, and the gateway's refusals.
import { API_KEY } from "./gateway-config.ts";

export type WorkerName = "bare" | "hono/proxy" | "gateway";

export interface Case {
  readonly name: string;
  readonly worker: WorkerName;
  readonly requests: readonly string[];
  /** The status that the case is about. Other answers are counted against it. */
  readonly status: string;
}

const ADDRESSES = 64;

const PROXIED = { path: "/v1/items/42?view=full", key: API_KEY };

export const PROXY_CASES: readonly Case[] = [
  { name: "bare", worker: "bare", status: "200", requests: requestsFor(PROXIED) },
  { name: "hono/proxy", worker: "hono/proxy", status: "200", requests: requestsFor(PROXIED) },
  { name: "gateway", worker: "gateway", status: "200", requests: requestsFor(PROXIED) },
];

export const REFUSAL_CASES: readonly Case[] = [
  {
    name: "unauthorized",
    worker: "gateway",
    status: "401",
    requests: requestsFor({ ...PROXIED, key: "not-the-key" }),
  },
  {
    name: "rate_limited",
    worker: "gateway",
    status: "429",
    requests: requestsFor({ ...PROXIED, path: "/limited/42" }),
  },
  {
    name: "shed",
    worker: "gateway",
    status: "503",
    requests: requestsFor({ path: "/fail/shed/42", key: null }),
  },
  {
    name: "circuit_open",
    worker: "gateway",
    status: "503",
    requests: requestsFor({ path: "/fail/42", key: null }),
  },
];

/** The same request from each of some addresses, with the fields that clients commonly send. */
function requestsFor({
  path,
  key,
}: {
  readonly path: string;
  readonly key: string | null;
}): readonly string[] {
  return Array.from({ length: ADDRESSES }, (_, index) => {
    const fields = [
      `GET ${path} HTTP/1.1`,
      "host: api.example.com",
      "user-agent: overhead-bench/1.0 (open loop and closed)",
      "accept: application/json, text/plain, */*",
      "accept-encoding: gzip, br",
      "accept-language: en-GB,en;q=0.9",
      ...(key === null ? [] : [`x-api-key: ${key}`]),
      `cf-connecting-ip: 198.18.0.${index + 1}`,
    ];
    return `${fields.join("\r\n")}\r\n\r\n`;
  });
}
