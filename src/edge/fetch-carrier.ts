// Sending as Workers do it: by `fetch`, the network's or a binding's.

import type { Carrier } from "./carrier.ts";
import { createOutboundBody } from "./outbound-body.ts";
import { upstreamRequest } from "./outbound-request.ts";
import { within } from "./timeout.ts";

/** Runtimes that know WebSockets carry one end on the response. */
type UpgradeInit = ResponseInit & { webSocket?: unknown };

export const FETCH_CARRIER: Carrier = {
  bodyOf: (x, rules) => createOutboundBody(x.request.body, rules),
  send(x, { target: { baseUrl, fetcher }, path, body, remainingMs, timeoutMs }) {
    const request = upstreamRequest(x, baseUrl + path, body, remainingMs);
    return within(timeoutMs, fetcher === null ? fetch(request) : fetcher.fetch(request));
  },
  receive: (answer) => (answer.status === 101 ? acceptUpgrade(answer) : new Response(answer.body, answer)),
};

function acceptUpgrade(answer: Response): Response {
  const init: UpgradeInit = { status: 101, headers: answer.headers };
  if ("webSocket" in answer) init.webSocket = answer.webSocket;
  return new Response(null, init);
}
