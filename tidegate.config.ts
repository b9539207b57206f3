// What the gateway does, in one file. `npm start` runs it with demo upstreams on these ports; edit it and
// the running gateway follows. Every field: docs/configuration.md. Check it: `npx tidegate check`.
import { defineGateway } from "tidegate";

export default defineGateway({
  upstreams: {
    payments: { targets: ["http://127.0.0.1:8791"] },
    catalog: { targets: ["http://127.0.0.1:8792"] },
    analytics: { targets: ["http://127.0.0.1:8793"] },
    // One server behind three routes of different importance: overload it and see who is refused.
    shop: { targets: ["http://127.0.0.1:8794"] },
  },

  // Whoever sends `x-api-key: demo-key`. Another key's hash: printf %s "$KEY" | sha256sum
  consumers: {
    demo: {
      keys: ["sha256:c48a01f49fd0f2cc404bc3cbbc80e91457a3d41bb429a695243de4c61794155c"],
      tenant: "demo",
    },
  },
  tenants: { demo: { share: 0.5 } },

  limits: { "per-address": { key: "ip", rate: 10, per: "10s" } },
  // Counts requests for whoever sends them and refuses none.
  counters: { "api-calls": { key: "consumer" } },

  // The first route that matches wins. P0 is shed last, P3 first; without a priority it is P1.
  routes: [
    // `auth: true` belongs here: without it anybody can send what is shed last. The demo leaves it out so
    // that a bare curl works.
    { path: "/v1/payments/*", methods: ["GET", "POST"], upstream: "payments", priority: "P0" },
    // When the catalog cannot answer, an empty list is better than an error.
    {
      path: "/v1/catalog/*",
      methods: ["GET"],
      upstream: "catalog",
      count: ["api-calls"],
      fallback: { headers: { "content-type": "application/json" }, body: "[]" },
    },
    { path: "/v1/analytics/*", upstream: "analytics", priority: "P2" },
    { path: "/v1/limited/*", upstream: "catalog", limits: ["per-address"] },

    { path: "/shop/pay/*", upstream: "shop", priority: "P0" },
    { path: "/shop/browse/*", upstream: "shop" },
    { path: "/shop/track/*", upstream: "shop", priority: "P2" },
  ],
});
