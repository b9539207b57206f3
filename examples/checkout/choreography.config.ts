// The checkout without a conductor: each service reacts to what the one before has done, and each undoes its
// own part when it hears that a later one failed. Nothing here knows the whole order of things.
//
//   order.placed -> reserve -> stock.reserved -> charge -> payment.charged -> ship -> order.shipped
//   payment.failed  -> void   -> payment.voided   \
//   shipment.failed -> refund -> payment.refunded  -> release -> order.cancelled
//
// Start the services with `npx node examples/checkout/run.ts`, then the gateway:
//   npm start -- --config examples/checkout/choreography.config.ts --no-demo
import { defineGateway } from "tidegate";

const QUICK = { attempts: 3, delay: "200ms", maxDelay: "1s" } as const;
const PATIENT = { attempts: 20, delay: "200ms", maxDelay: "10s" } as const;

export default defineGateway({
  upstreams: {
    inventory: { targets: ["http://127.0.0.1:8811"], timeout: "2s" },
    payment: { targets: ["http://127.0.0.1:8812"], timeout: "2s" },
    shipping: { targets: ["http://127.0.0.1:8813"], timeout: "2s" },
  },
  routes: [{ path: "/v1/orders", methods: ["POST"], event: "order.placed" }],
  reactions: {
    reserve: {
      on: "order.placed",
      request: {
        upstream: "inventory",
        method: "POST",
        path: "/reservations",
        body: { order: "{data.order}", sku: "{data.sku}" },
      },
      then: { ok: "stock.reserved", failed: "order.rejected" },
      retry: QUICK,
      deadline: "1m",
    },
    charge: {
      on: "stock.reserved",
      request: {
        upstream: "payment",
        method: "POST",
        path: "/charges",
        body: { order: "{data.order}", amount: "{data.amount}" },
      },
      then: { ok: "payment.charged", failed: "payment.failed" },
      retry: QUICK,
      deadline: "1m",
    },
    ship: {
      on: "payment.charged",
      request: {
        upstream: "shipping",
        method: "POST",
        path: "/shipments",
        body: { order: "{data.order}", reservation: "{data.reserve.id}" },
      },
      then: { ok: "order.shipped", failed: "shipment.failed" },
      retry: QUICK,
      deadline: "1m",
    },
    // A charge whose answer was lost may have been made: it is undone by the key of its request.
    void: {
      on: "payment.failed",
      request: { upstream: "payment", method: "DELETE", path: "/charges/by-key/{extensions.requestkey}" },
      then: { ok: "payment.voided" },
      retry: PATIENT,
    },
    refund: {
      on: "shipment.failed",
      request: { upstream: "payment", method: "DELETE", path: "/charges/{data.charge.id}" },
      then: { ok: "payment.refunded" },
      retry: PATIENT,
    },
    release: {
      on: ["payment.voided", "payment.refunded"],
      request: { upstream: "inventory", method: "DELETE", path: "/reservations/{data.reserve.id}" },
      then: { ok: "order.cancelled" },
      retry: PATIENT,
    },
  },
  // Whoever wants to know what became of an order.
  subscriptions: { orders: { events: ["*"], deliver: { pull: true } } },
});
