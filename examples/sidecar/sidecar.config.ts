// A shop behind a sidecar. What comes in goes to the shop on the same machine, payments first when there
// is too much of it. The shop itself calls `http://payments.upstream:9080` and `http://stock.upstream:9080`.
import { defineGateway } from "tidegate";

export default defineGateway({
  name: "shop-sidecar",
  upstreams: {
    // Its address is given with --app.
    app: { targets: [], timeout: "5s", concurrency: { max: 200 } },
    payments: {
      targets: ["https://payments.example.com"],
      timeout: "3s",
      breaker: { consecutive: 5, openFor: "1s", maxOpenFor: "30s" },
    },
    stock: { targets: ["http://stock-a.shop.svc:8080", "http://stock-b.shop.svc:8080"], timeout: "1s" },
  },
  limits: { "per-caller": { key: "ip", rate: 200, per: "1s", consistency: "local" } },
  routes: [
    { path: "/checkout/*", upstream: "app", priority: "P0" },
    { path: "/track", methods: ["POST"], upstream: "app", priority: "P3", bodyLimit: "16KiB" },
    { path: "/*", upstream: "app", limits: ["per-caller"] },
    // Only for the shop's own calls: hosts that end in `.upstream` are never reached from outside.
    { path: "/reports/*", hosts: ["stock.upstream"], upstream: "stock", priority: "P3", deadline: "20s" },
  ],
});
