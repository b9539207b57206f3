import { parseList, Token } from "structured-headers";
import { describe, it } from "vitest";
import { PROBLEMS, problemBody, proxyStatus } from "../../../src/http/problem.ts";

/** Codes and statuses are a promise to clients. */
const STATUSES = {
  route_not_found: 404,
  method_not_allowed: 405,
  bad_path: 400,
  bad_request: 400,
  headers_too_large: 431,
  unauthorized: 401,
  forbidden: 403,
  rate_limited: 429,
  quota_exceeded: 429,
  backlog_full: 429,
  shed: 503,
  concurrency_limit: 503,
  circuit_open: 503,
  no_target: 503,
  upstream_unreachable: 502,
  upstream_invalid: 502,
  upstream_timeout: 504,
  deadline_exceeded: 504,
  body_too_large: 413,
  idempotency_conflict: 422,
  idempotency_in_flight: 409,
  idempotency_key_required: 400,
  job_started: 409,
  not_accepted: 503,
  loop_detected: 508,
  internal_error: 500,
};
/** RFC 9209 section 2.3. */
const REGISTERED_ERRORS = [
  "destination_unavailable",
  "connection_terminated",
  "connection_limit_reached",
  "http_request_denied",
  "http_response_timeout",
  "http_protocol_error",
  "proxy_loop_detected",
];

describe("PROBLEMS", () => {
  it("has every code with its status", ({ expect }) => {
    const statuses = Object.entries(PROBLEMS).map(([code, problem]) => [code, problem.status]);
    expect(Object.fromEntries(statuses)).toEqual(STATUSES);
  });

  it("says in one sentence what to do and explains in two to four", ({ expect }) => {
    for (const [code, problem] of Object.entries(PROBLEMS)) {
      expect(problem.detail, code).toMatch(/^[A-Z][^.!?]*\.$/);
      const sentences = problem.explanation.split(/\.(?: |$)/).filter((sentence) => sentence !== "");
      expect(sentences.length, code).toBeGreaterThanOrEqual(2);
      expect(sentences.length, code).toBeLessThanOrEqual(4);
    }
  });

  it("names only registered proxy errors", ({ expect }) => {
    const named = Object.values(PROBLEMS).map((problem) => problem.proxyError);
    expect(new Set(named)).toEqual(new Set([undefined, ...REGISTERED_ERRORS]));
  });
});

describe("problemBody", () => {
  it("holds the standard members and the extras", ({ expect }) => {
    const body: unknown = JSON.parse(
      problemBody("rate_limited", "r-1", { retryAfter: 12, policy: "per-consumer" }),
    );
    expect(body).toEqual({
      type: "/_gateway/problems/rate_limited",
      title: PROBLEMS.rate_limited.title,
      status: 429,
      detail: PROBLEMS.rate_limited.detail,
      code: "rate_limited",
      requestId: "r-1",
      retryAfter: 12,
      policy: "per-consumer",
    });
  });

  it("takes another status and another detail, but no other standard member", ({ expect }) => {
    const extra = {
      detail: "Wait.",
      code: "x",
      requestId: "x",
      type: "x",
      title: "x",
      status: 200,
      list: ["a"],
    };
    const body: unknown = JSON.parse(problemBody("concurrency_limit", "r-2", extra, 429));
    expect(body).toMatchObject({
      detail: "Wait.",
      code: "concurrency_limit",
      requestId: "r-2",
      status: 429,
      list: ["a"],
    });
    expect(body).toMatchObject({
      type: "/_gateway/problems/concurrency_limit",
      title: PROBLEMS.concurrency_limit.title,
    });
  });
});

describe("proxyStatus", () => {
  it("names the gateway, the error and the upstream", ({ expect }) => {
    expect(proxyStatus("tidegate", "http_response_timeout", "payments")).toBe(
      'tidegate; error=http_response_timeout; next-hop="payments"',
    );
  });

  it("stays a Structured Fields list whatever the names are", ({ expect }) => {
    for (const name of ["tidegate", "my gateway", '9"; error=x', "é", ""]) {
      const [[, parameters]] = parseList(proxyStatus(name, "connection_terminated", `${name}, b`));
      expect(parameters.get("error")).toEqual(new Token("connection_terminated"));
      expect(parameters.get("next-hop")).toBe(`${name}, b`.replace("é", "?"));
    }
  });
});
