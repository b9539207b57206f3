// A checkout over four services: reserve the goods, then charge and make a label side by side, hand the
// parcel over, and send a mail. The parcel is the pivot: what has been handed over is not taken back.
// Start the services with `npx node examples/checkout/run.ts`, then the gateway:
//   npm start -- --config examples/checkout/tidegate.config.ts --no-demo
import { defineGateway } from "tidegate";

const QUICK = { attempts: 3, delay: "200ms", maxDelay: "1s" } as const;

export default defineGateway({
  upstreams: {
    inventory: { targets: ["http://127.0.0.1:8811"] },
    payment: { targets: ["http://127.0.0.1:8812"] },
    shipping: { targets: ["http://127.0.0.1:8813"] },
    mail: { targets: ["http://127.0.0.1:8814"] },
  },
  routes: [{ path: "/v1/checkout", methods: ["POST"], saga: "checkout", priority: "P0" }],
  sagas: {
    checkout: {
      // Two clicks on "buy" are one order.
      key: "{body.order}",
      timeout: "1h",
      steps: [
        {
          id: "reserve",
          request: {
            upstream: "inventory",
            method: "POST",
            path: "/reservations",
            body: { order: "{body.order}", sku: "{body.sku}" },
          },
          retry: QUICK,
          timeout: "2s",
          // Was it done? Asked when the answer was lost.
          outcome: { method: "GET", path: "/reservations/by-key/{idempotencyKey}" },
          compensate: { method: "DELETE", path: "/reservations/{output.id}", retry: QUICK },
        },
        {
          parallel: [
            {
              id: "charge",
              request: {
                upstream: "payment",
                method: "POST",
                path: "/charges",
                body: { order: "{body.order}", amount: "{body.amount}" },
              },
              retry: QUICK,
              timeout: "2s",
              outcome: { method: "GET", path: "/charges/by-key/{idempotencyKey}" },
              compensate: { method: "DELETE", path: "/charges/by-key/{idempotencyKey}", retry: QUICK },
            },
            {
              id: "label",
              request: {
                upstream: "shipping",
                method: "POST",
                path: "/labels",
                body: { order: "{body.order}", reservation: "{steps.reserve.output.id}" },
              },
              retry: QUICK,
              timeout: "2s",
              outcome: { method: "GET", path: "/labels/by-key/{idempotencyKey}" },
              compensate: { method: "DELETE", path: "/labels/by-key/{idempotencyKey}", retry: QUICK },
            },
          ],
        },
        {
          id: "ship",
          request: {
            upstream: "shipping",
            method: "POST",
            path: "/shipments",
            body: { order: "{body.order}", label: "{steps.label.output.id}" },
          },
          retry: QUICK,
          timeout: "2s",
          outcome: { method: "GET", path: "/shipments/by-key/{idempotencyKey}" },
          pivot: true,
        },
        {
          id: "notify",
          request: { upstream: "mail", method: "POST", path: "/mails", body: { order: "{body.order}" } },
          retry: { attempts: 20, delay: "200ms", maxDelay: "1s" },
          timeout: "2s",
          retriable: true,
        },
      ],
    },
  },
});
