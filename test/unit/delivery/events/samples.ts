// Events for tests.

import type { CloudEvent } from "../../../../src/delivery/events/cloud-event.ts";

export function sampleEvent(changes: Partial<CloudEvent> = {}): CloudEvent {
  return {
    id: "018f2b5e-7b1a-7c3d-8e4f-0123456789ab",
    source: "/objects/orders/1",
    type: "order.paid",
    subject: "order/1",
    time: "2026-11-24T10:00:00.000Z",
    dataContentType: "application/json",
    dataSchema: null,
    extensions: {},
    data: { kind: "json", text: '{"orderId":"1","cents":1200}' },
    ...changes,
  };
}
