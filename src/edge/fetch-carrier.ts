// Sending as Workers do it: by `fetch`, the network's or a binding's.

import type { Carrier } from "./carrier.ts";
import { takesNoBody } from "./checks.ts";
import type { BodyRules } from "./outbound-body.ts";
import { createOutboundBody, createPassedBody } from "./outbound-body.ts";
import type { RequestBuilder } from "./outbound-request.ts";
import { upstreamRequest } from "./outbound-request.ts";
import { within } from "./timeout.ts";

/** Runtimes that know WebSockets carry one end on the response. */
type UpgradeInit = ResponseInit & { webSocket?: unknown };

export const FETCH_CARRIER: Carrier = {
  bodyOf: (x, rules) => {
    // The runtime takes a GET with a body only as the request that it came with.
    const { body, method } = x.request;
    if (!takesNoBody(method)) return createOutboundBody(body, rules);
    return body === null || isEmpty(rules) ? createOutboundBody(null, rules) : createPassedBody(body);
  },
  send: sendByFetch(upstreamRequest),
  receive: (answer) => (answer.status === 101 ? acceptUpgrade(answer) : new Response(answer.body, answer)),
};

function isEmpty({ contentLength }: BodyRules): boolean {
  return contentLength !== null && Number(contentLength) === 0;
}

/** Sends what `build` makes of a try. */
export function sendByFetch(build: RequestBuilder): Carrier["send"] {
  return (x, { target: { baseUrl, fetcher }, path, body, remainingMs, timeoutMs }) => {
    const request = build(x, baseUrl + path, body, remainingMs);
    return within(timeoutMs, fetcher === null ? fetch(request) : fetcher.fetch(request));
  };
}

function acceptUpgrade(answer: Response): Response {
  const init: UpgradeInit = { status: 101, headers: answer.headers };
  if ("webSocket" in answer) init.webSocket = answer.webSocket;
  return new Response(null, init);
}
