// Every problem that a client can meet, in one table: the code is stable, the status is the usual one, the
// detail says what to do, the explanation is the text of the problem's own page. `proxyError` is the
// registered error type of RFC 9209 section 2.3 where an upstream was involved.

import { STORED_PROBLEMS } from "./problem-stored.ts";
import { defineProblems } from "./problem-shape.ts";

export type { Problem } from "./problem-shape.ts";

const REQUEST_PROBLEMS = defineProblems({
  route_not_found: {
    status: 404,
    title: "No route matches this path",
    detail: "Check the path and the host of the request.",
    explanation:
      "No route of this gateway matches the path, host and header fields of the request. " +
      "Compare the URL with the documentation of the API that you are calling. " +
      "An operator can look at the routes in the configuration; the first that matches is taken.",
  },
  method_not_allowed: {
    status: 405,
    title: "This path does not take this method",
    detail: "Use one of the methods that the allow header names.",
    explanation:
      "The path exists, but none of its routes takes the method of the request. " +
      "The allow header lists the methods that it takes. " +
      "An operator can add the method to the route's `methods`.",
  },
  bad_path: {
    status: 400,
    title: "The path is not acceptable",
    detail:
      "Send a path without dot segments, backslashes, control characters, stray percent signs or " +
      "encoded slashes.",
    explanation:
      "The path could mean different things to the gateway and to the upstream, so it was refused " +
      "before any route was chosen. " +
      "Remove dot segments in any encoding, backslashes, spaces, control characters and characters " +
      "beyond ASCII, and follow every percent sign with two hex digits. " +
      "Encoded slashes and backslashes are accepted only where an operator has set `encodedSlashes` on " +
      "the route.",
  },
  bad_request: {
    status: 400,
    title: "The request is malformed",
    detail: "Send a host header with a plain host name and a target that is a path.",
    explanation:
      "The request cannot be understood safely, for example because its host header is not a host with " +
      "an optional port. " +
      "Check how the client builds its requests; ordinary HTTP libraries do not send such fields. " +
      "An operator finds the request in the access log under its request id.",
  },
  headers_too_large: {
    status: 431,
    title: "The header fields are too large",
    detail: "Send less than 64 KiB of header fields.",
    explanation:
      "The header fields of the request have more than 64 KiB together. " +
      "Cookies that pile up are the usual cause; clear them or send fewer fields. " +
      "An operator can look for a service that sets large cookies on this host.",
  },
  body_too_large: {
    status: 413,
    title: "The body is too large",
    detail: "Send a smaller body or split it over several requests.",
    explanation:
      "The body is larger than this route takes, by its content-length or as counted while it arrived. " +
      "Send less at once. " +
      "An operator can raise the route's `bodyLimit`, up to what the Cloudflare plan of the zone takes.",
  },
  loop_detected: {
    status: 508,
    title: "The request came back to this gateway",
    detail: "Tell the operator: an upstream of this route leads back to the gateway.",
    explanation:
      "The via header already names this gateway, so the request has passed it before and would go " +
      "round for ever. " +
      "The caller can only report it. " +
      "An operator should check which target of the upstream leads back here; two gateways in a row " +
      "need different names.",
    proxyError: "proxy_loop_detected",
  },
  internal_error: {
    status: 500,
    title: "The gateway failed",
    detail: "Try again, and report the request id when it fails again.",
    explanation:
      "A fault of the gateway itself ended the request; it may or may not have reached the upstream. " +
      "Repeat it only when repeating does no harm. " +
      "An operator finds the error with its stack in the log under the request id.",
  },
});

const CALLER_PROBLEMS = defineProblems({
  unauthorized: {
    status: 401,
    title: "An API key is needed",
    detail: "Send a valid API key in the x-api-key header.",
    explanation:
      "This route is open to known consumers only, and the request has no API key or one that nobody " +
      "has. " +
      "Send the key in the x-api-key header and check that it was copied whole. " +
      "An operator can compare its SHA-256 with the `keys` of the consumers.",
  },
  forbidden: {
    status: 403,
    title: "This consumer may not call this route",
    detail: "Use a key of a consumer that may call this route, or ask for access.",
    explanation:
      "The API key is valid, but the route is open to other consumers only. " +
      "Ask the operator for access, or use another key. " +
      "An operator can add the consumer to the route's `auth`.",
  },
  rate_limited: {
    status: 429,
    title: "Too many requests",
    detail: "Wait as long as retry-after says, then send fewer requests.",
    explanation:
      "The caller has used up a rate limit; the ratelimit header names the one that refused. Refused " +
      "requests cost nothing. " +
      "Wait for the seconds in retry-after and spread requests over time. " +
      "An operator can raise the limit's `rate` or `burst`, or watch it with `shadow` before it refuses.",
  },
  quota_exceeded: {
    status: 429,
    title: "The quota is used up",
    detail: "Wait as long as retry-after says, or ask for a larger quota.",
    explanation:
      "The caller has used up a quota that is counted over all regions; the ratelimit header names it. " +
      "Refused requests cost nothing. " +
      "Wait for the next window, or ask the operator for more. " +
      "An operator can raise the limit's `rate` or `burst`.",
  },
});

const CAPACITY_PROBLEMS = defineProblems({
  shed: {
    status: 503,
    title: "Less important traffic is being refused",
    detail: "Wait as long as retry-after says, then try again.",
    explanation:
      "The upstream has less capacity than it is asked for, and this request was not among the most " +
      "important ones. It never reached the upstream. " +
      "Try again after retry-after, with growing pauses. " +
      "An operator sees the cursor of the upstream in the state page; more important routes need a " +
      "lower `priority` class.",
    proxyError: "http_request_denied",
  },
  concurrency_limit: {
    status: 503,
    title: "Too many requests at the same time",
    detail: "Wait as long as retry-after says, then send fewer requests at once.",
    explanation:
      "All places for requests in flight were taken and none became free in time; status 429 means the " +
      "tenant's own share, 503 the route or the upstream. The request never reached the upstream. " +
      "Send fewer requests in parallel. " +
      "An operator can raise `concurrency` or the tenant's `share`, or make the upstream faster.",
    proxyError: "connection_limit_reached",
  },
  circuit_open: {
    status: 503,
    title: "The upstream is failing and is left alone",
    detail: "Wait as long as retry-after says, then try again.",
    explanation:
      "Too many recent calls to the upstream failed, so the gateway stopped calling it and only lets " +
      "single probes through. This request never reached it. " +
      "Try again after retry-after. " +
      "An operator sees the breaker in the state page; it closes by itself once probes succeed.",
    proxyError: "destination_unavailable",
  },
  no_target: {
    status: 503,
    title: "The upstream has no target that can be used",
    detail: "Wait as long as retry-after says, then try again.",
    explanation:
      "Every target of the upstream is drained or has been taken out because it failed. The request was " +
      "not sent. " +
      "Try again after retry-after. " +
      "An operator can end a drain in the overrides, or add a target to the upstream.",
    proxyError: "destination_unavailable",
  },
});

// `upstream_unreachable` says `connection_terminated` for all it stands for: the runtime reports refused,
// reset and empty answers as one error, so a more exact type would be a guess.
const UPSTREAM_PROBLEMS = defineProblems({
  upstream_unreachable: {
    status: 502,
    title: "The upstream could not be reached",
    detail: "Try again, if repeating the request does no harm.",
    explanation:
      "No answer came: the connection was refused or reset, the name was not found, or TLS failed. The " +
      "request may have reached the upstream before that. " +
      "Repeat it only when repeating does no harm. " +
      "An operator should check that the target's address is right and that it listens.",
    proxyError: "connection_terminated",
  },
  upstream_invalid: {
    status: 502,
    title: "The upstream's answer is not valid",
    detail: "Report the request id; the upstream has to be repaired.",
    explanation:
      "The upstream answered with something that cannot be handed on, such as a status outside 200-599. " +
      "It did get the request. " +
      "Repeat it only when repeating does no harm. " +
      "An operator should look at what the target answers to this request.",
    proxyError: "http_protocol_error",
  },
  upstream_timeout: {
    status: 504,
    title: "The upstream did not answer in time",
    detail: "Try again, if repeating the request does no harm.",
    explanation:
      "The upstream did not begin its answer within the time that one try has. It may still be working " +
      "on the request. " +
      "Repeat it only when repeating does no harm. " +
      "An operator can raise the upstream's `timeout`, or find out why it is slow.",
    proxyError: "http_response_timeout",
  },
  deadline_exceeded: {
    status: 504,
    title: "The deadline has passed",
    detail: "Allow more time, or try again if repeating the request does no harm.",
    explanation:
      "The whole request, waiting and retries included, could not be done within its deadline. It may " +
      "have reached the upstream. " +
      "Allow more time in x-tidegate-deadline-ms where you send it; it can only shorten the route's own " +
      "deadline. An operator can raise the route's `deadline`.",
    proxyError: "http_response_timeout",
  },
});

/** All problems by code. */
export const PROBLEMS = defineProblems({
  ...REQUEST_PROBLEMS,
  ...CALLER_PROBLEMS,
  ...CAPACITY_PROBLEMS,
  ...STORED_PROBLEMS,
  ...UPSTREAM_PROBLEMS,
});

export type ProblemCode = keyof typeof PROBLEMS;
