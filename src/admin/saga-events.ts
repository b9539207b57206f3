// The events of a saga as a stream of server-sent events (HTML 9.2): first those that have been, then each as
// it happens, until the saga is over. `last-event-id` goes on where a reader was cut off.

import type { SagaLedgerStub } from "../saga/core/protocol.ts";
import { MAX_WAIT_MS } from "../saga/core/protocol.ts";
import { askLedger } from "../saga/ledgers.ts";

/** The ledger is asked again after so long without an answer. */
const RETRY_MS = 1_000;

export function streamEvents(ledger: () => SagaLedgerStub | null, id: string, from: number): Response {
  const encoder = new TextEncoder();
  let after = from;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(encoder.encode(`retry: ${RETRY_MS}\n\n`));
    },
    async pull(controller) {
      const asked = ledger()?.events(id, after, MAX_WAIT_MS);
      const reply = asked === undefined ? null : await askLedger(asked, MAX_WAIT_MS);
      if (reply === null) {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        controller.enqueue(encoder.encode(":\n\n"));
        return;
      }
      if (reply.kind === "unknown") {
        controller.close();
        return;
      }
      for (const event of reply.events) {
        after = event.n;
        const { n, kind, ...data } = event;
        controller.enqueue(encoder.encode(`id: ${n}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`));
      }
      if (reply.events.length > 0) return;
      if (reply.isOver) controller.close();
      else controller.enqueue(encoder.encode(":\n\n"));
    },
  });
  const headers = { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store" };
  return new Response(body, { headers });
}
