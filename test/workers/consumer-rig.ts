// What the tests of the consumer share: a gateway whose upstream is a function, and batches of pointers.

import { createExecutionContext, createMessageBatch, getQueueResult } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { QueueConfig, UpstreamConfig } from "../../src/config/gateway-config.ts";
import { createGateway } from "../../src/edge/gateway.ts";
import type { Pointer } from "../../src/delivery/core/protocol.ts";
import type { Stub } from "./outbox-rig.ts";

/** What reached the upstream, with its body as text. */
export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: string;
}

export type Answer = (request: Request, body: string) => Response | Promise<Response>;

export interface Rig {
  readonly seen: Seen[];
  /** Most requests at the upstream at one time. */
  readonly most: () => number;
  answer: Answer;
  /** Runs a batch through the consumer; which messages it acknowledged and which it gave back. */
  consume(messages: readonly unknown[], queue?: string): Promise<Consumed>;
}

export interface Consumed {
  readonly acked: readonly string[];
  readonly retried: readonly string[];
}

export interface RigOptions {
  readonly queues: readonly Stub[];
  readonly upstream?: Partial<UpstreamConfig>;
  readonly queue?: Partial<QueueConfig>;
  readonly bindings?: Record<string, unknown>;
}

/** Names of queues are those of the outboxes; all of them lead to one upstream. */
export function newConsumer({ queues, upstream = {}, queue = {}, bindings = {} }: RigOptions): Rig {
  let current = 0;
  let most = 0;
  const seen: Seen[] = [];
  const fetcher = {
    async fetch(request: Request): Promise<Response> {
      const body = await request.text();
      seen.push({ method: request.method, url: request.url, headers: request.headers, body });
      current++;
      most = Math.max(most, current);
      try {
        return await rig.answer(request, body);
      } finally {
        current--;
      }
    },
  };
  const gateway = createGateway({
    upstreams: { app: { targets: [{ binding: "APP" }], ...upstream } },
    queues: Object.fromEntries(queues.map((stub) => [queueOf(stub), { upstream: "app", ...queue }])),
    consumers: { acme: { keys: [`sha256:${"0".repeat(64)}`], tenant: "acme" } },
    tenants: { acme: { share: 1 } },
    routes: [{ path: "/live/*", upstream: "app" }],
  });
  const rig: Rig = {
    seen,
    most: () => most,
    answer: () => new Response("done"),
    async consume(messages, name = "tidegate-delivery") {
      const batch = createMessageBatch(
        name,
        messages.map((body, index) => ({ id: String(index), timestamp: new Date(), attempts: 1, body })),
      );
      const context = createExecutionContext();
      const all = { ...env, TIDEGATE_REGION: "enam", APP: fetcher, ...bindings };
      await gateway.handler.queue(batch, all, context);
      const { explicitAcks, retryMessages } = await getQueueResult(batch, context);
      return { acked: explicitAcks.toSorted(), retried: retryMessages.map(({ msgId }) => msgId).toSorted() };
    },
  };
  return rig;
}

export function pointers(stub: Stub, ids: readonly string[], region = "weur"): Pointer[] {
  return ids.map((id) => ({ v: 1, outbox: stub.name ?? "", id, region }));
}

function queueOf(stub: Stub): string {
  return (stub.name ?? "").split(".")[1];
}
