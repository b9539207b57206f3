// Subscriptions of a configuration: every rule with the line that it gives, defaults, what the Plan holds,
// advice and bindings.

import { describe, it } from "vitest";
import { adviseConfig } from "../../../src/config/advise.ts";
import { missingBindings } from "../../../src/config/bindings.ts";
import { packPlan, unpackPlan } from "../../../src/config/compiled-config.ts";
import { allRoutes } from "../../../src/config/plan.ts";
import { isQueueTerms } from "../../../src/delivery/core/requests.ts";
import { missingFromBindings } from "../../../src/edge/engine.ts";
import { expectLines, least } from "./rule-lines.ts";
import { declared, minimalConfig, planOf, withRoute } from "./sample.ts";

type Fields = Record<string, unknown>;

const HOOK = { webhook: "https://hooks.acme.com/in", secrets: ["env:HOOK"] };

function withDelivery(deliver: unknown, changes: Fields = {}): Fields {
  return minimalConfig({ subscriptions: { s: { events: ["order.*"], deliver, ...changes } } });
}

function withWebhook(webhook: string): Fields {
  return withDelivery({ ...HOOK, webhook });
}

const EVENT_RULE = 'must be a type of events like "order.paid", "order.*" or "*"';
const SECRETS_RULE = 'must be a list of 1 to 10 secrets like "env:NAME"';
const ADDRESS_RULE = "must not lead to an address that is not public";

describe("subscriptions: every rule", () => {
  expectLines([
    ["subscriptions.s.events: is required", minimalConfig({ subscriptions: { s: { deliver: HOOK } } })],
    [
      "subscriptions.s.events: must be a list of at least one type of events (got an empty list)",
      withDelivery(HOOK, { events: [] }),
    ],
    [`subscriptions.s.events[0]: ${EVENT_RULE} (got "a*")`, withDelivery(HOOK, { events: ["a*"] })],
    [
      "subscriptions.s.deliver: needs one of webhook, upstream, binding, pull (got an object)",
      withDelivery({}),
    ],
    [
      "subscriptions.s.deliver: must have one of webhook, pull, not several (got an object)",
      withDelivery({ ...HOOK, pull: true }),
    ],
    ["subscriptions.s.deliver.secrets: is required", withDelivery({ webhook: HOOK.webhook })],
    [
      `subscriptions.s.deliver.secrets: ${SECRETS_RULE} (got an empty list)`,
      withDelivery({ ...HOOK, secrets: [] }),
    ],
    [
      'subscriptions.s.deliver.secrets[0]: must be "env:NAME" with the name of a secret (got text that is not shown)',
      withDelivery({ ...HOOK, secrets: ["whsec_aaaa"] }),
    ],
    [
      'subscriptions.s.deliver.timeout: must be at most 30s (got "31s")',
      withDelivery({ ...HOOK, timeout: "31s" }),
    ],
    [
      'subscriptions.s.deliver.mode: must be "binary" or "structured" (got "text")',
      withDelivery({ ...HOOK, mode: "text" }),
    ],
    ['subscriptions.s.deliver.path: belongs to upstream (got "/x")', withDelivery({ ...HOOK, path: "/x" })],
    [
      "subscriptions.s.deliver.secrets: belongs to webhook (got a list)",
      withDelivery({ pull: true, secrets: ["env:A"] }),
    ],
    ["subscriptions.s.deliver.pull: must be true (got false)", withDelivery({ pull: false })],
    ['subscriptions.s.deliver.upstream: is no upstream (got "b")', withDelivery({ upstream: "b" })],
    [
      'subscriptions.s.deliver.path: must be a path that begins with / (got "/../x")',
      withDelivery({ upstream: "a", path: "/../x" }),
    ],
    [
      'subscriptions.s.deliver.binding: must be the name of a binding (got "a b")',
      withDelivery({ binding: "a b" }),
    ],
    [`subscriptions.s.alertAt: ${least(1)} (got 0)`, withDelivery(HOOK, { alertAt: 0 })],
    ["subscriptions.s.order: unknown key, did you mean ordered?", withDelivery(HOOK, { order: true })],
    [
      "subscriptions.q: is already the name of a queue (got an object)",
      minimalConfig({
        queues: { q: { upstream: "a" } },
        subscriptions: { q: { events: ["*"], deliver: { pull: true } } },
      }),
    ],
    [
      "routes[0]: must go to one of upstream, event, not to several (got an object)",
      withRoute({ event: "a.b" }),
    ],
    [
      'routes[0].event: must be the type of an event like "order.placed" (got "order.*")',
      withRoute({ upstream: undefined, event: "order.*" }),
    ],
    [
      "routes[0].fallback: cannot stand in for storing an event (got an object)",
      withRoute({ upstream: undefined, event: "a.b", fallback: { status: 200 } }),
    ],
  ]);
});

describe("a webhook's URL", () => {
  expectLines([
    [
      `subscriptions.s.deliver.webhook: ${ADDRESS_RULE} (got "https://10.0.0.1/")`,
      withWebhook("https://10.0.0.1/"),
    ],
    [
      `subscriptions.s.deliver.webhook: ${ADDRESS_RULE} (got "https://169.254.169.254/")`,
      withWebhook("https://169.254.169.254/"),
    ],
    [
      `subscriptions.s.deliver.webhook: ${ADDRESS_RULE} (got "https://[fd00::1]/")`,
      withWebhook("https://[fd00::1]/"),
    ],
    [
      "subscriptions.s.deliver.webhook: must not hold a user or a password (got text that is not shown)",
      withWebhook("https://u:p@hooks.acme.com/"),
    ],
    [
      'subscriptions.s.deliver.webhook: must use port 443 or 8443, or one that is allowed (got "https://hooks.acme.com:22/")',
      withWebhook("https://hooks.acme.com:22/"),
    ],
    [
      'subscriptions.s.deliver.webhook: must have a host name that is public (got "https://db.internal/")',
      withWebhook("https://db.internal/"),
    ],
    [
      'subscriptions.s.deliver.webhook: must not lead to the gateway itself (got "https://api.acme.com/x")',
      {
        ...withWebhook("https://api.acme.com/x"),
        routes: [{ path: "/*", hosts: ["api.acme.com"], upstream: "a" }],
      },
    ],
  ]);

  it("may be loopback or http in local development, and nowhere else", ({ expect }) => {
    const plan = planOf(withWebhook("http://127.0.0.1:9000/in"));
    const secret = { HOOK: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" };
    expect(missingFromBindings(plan, { ...secret, TIDEGATE_LOCAL: "1" })).toEqual([]);
    expect(missingFromBindings(plan, secret)).toEqual(["subscriptions.s.deliver.webhook: must use https"]);
    expect(adviseConfig(plan)).toContain(
      "subscriptions.s.deliver.webhook: works in local development alone; deployed it needs a public https URL",
    );
  });
});

describe("the Plan", () => {
  it("has defaults, terms that an outbox takes, and a route for each upstream's deliveries", ({ expect }) => {
    const plan = planOf(
      minimalConfig({
        queues: { q: { upstream: "a" } },
        routes: [
          { path: "/*", upstream: "a" },
          { path: "/e", event: "a.b" },
        ],
        subscriptions: {
          hook: {
            events: ["a.*"],
            deliver: { ...HOOK, headers: { "X-Team": "a", authorization: "env:TOKEN" } },
          },
          up: { events: ["a.b"], deliver: { upstream: "a" }, ordered: true },
          bound: { events: ["*"], deliver: { binding: "WORKER" } },
          pulled: { events: ["*"], deliver: { pull: true }, alertAt: 7 },
        },
      }),
    );
    const [hook, up, bound, pulled] = plan.subscriptions;
    expect(hook.deliver).toEqual({
      kind: "webhook",
      url: HOOK.webhook,
      secrets: ["HOOK"],
      timeoutMs: 15_000,
      mode: "binary",
      headers: [
        { name: "x-team", value: "a", secret: null },
        { name: "authorization", value: "", secret: "TOKEN" },
      ],
    });
    expect(hook.terms.retry).toEqual({ attempts: 10, delayMs: 1_000, maxDelayMs: 28.8 * 3600 * 1000 });
    expect(up).toMatchObject({
      ordered: true,
      deliver: { kind: "upstream", path: "/", delivery: { index: 3 } },
    });
    expect(bound.deliver).toEqual({ kind: "binding", binding: "WORKER" });
    expect(pulled).toMatchObject({
      ordered: false,
      deliver: { kind: "pull" },
      terms: { alertAt: 7, delivery: "pull" },
    });
    expect(plan.subscriptions.every(({ terms }) => isQueueTerms(terms))).toBe(true);
    expect(isQueueTerms(plan.eventTerms)).toBe(true);
    expect(allRoutes(plan).map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
    expect(plan.secrets).toEqual(["HOOK", "TOKEN"]);
    expect(plan.routes[1].destination).toEqual({ kind: "event", event: "a.b" });
    expect(unpackPlan(packPlan(plan))).toEqual(plan);
  });

  it("needs secrets that can sign, and bindings", ({ expect }) => {
    const plan = planOf(
      minimalConfig({
        subscriptions: {
          hook: { events: ["*"], deliver: HOOK },
          bound: { events: ["*"], deliver: { binding: "WORKER" } },
        },
      }),
    );
    expect(missingFromBindings(plan, { HOOK: "whsec_" })).toEqual([
      expect.stringContaining("env:HOOK: cannot sign webhooks of subscriptions.hook"),
      "subscriptions.bound: the Worker has no binding WORKER; add it to wrangler.toml",
    ]);
    expect(missingBindings(plan, declared({ objects: ["OUTBOX"], queues: ["DELIVERY"] }))).toEqual([
      'subscriptions.bound.deliver.binding: is no binding with a fetch in wrangler.toml (got "WORKER")',
    ]);
    expect(missingBindings(plan, declared({ fetchers: ["WORKER"] }))).toEqual([
      "subscriptions: need the Durable Object binding OUTBOX in wrangler.toml",
      "subscriptions: need the binding DELIVERY to a Cloudflare Queue in wrangler.toml",
      "subscriptions: need a consumer, with a dead_letter_queue, of DELIVERY's queue in wrangler.toml",
    ]);
  });

  it("comes with advice on events that nobody hears", ({ expect }) => {
    const routes = [{ path: "/e", methods: ["POST"], event: "a.b" }];
    const subscriptions = { s: { events: ["b.*"], deliver: { upstream: "a" } } };
    expect(adviseConfig(planOf(minimalConfig({ routes, subscriptions })))).toEqual([
      "routes[0].event: nobody has subscribed to it",
    ]);
  });
});
