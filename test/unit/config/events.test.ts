// Subscriptions and relays of a configuration: every rule, and what is made of a value that keeps it.

import { describe, expect, it } from "vitest";
import * as z from "zod/mini";
import { relaySchema, subscriptionSchema } from "../../../src/config/schema-events.ts";
import { TARGET_RULES } from "../../../src/delivery/webhooks/core/target-url.ts";

/** Each broken rule as `path: rule`. */
function errorsOf(schema: z.core.$ZodType, value: unknown): string[] {
  const { error } = z.safeParse(schema, value);
  return (error?.issues ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`);
}

const HOOK = { webhook: "https://billing.example.com/hook", secrets: ["env:BILLING_SECRET"] };

function subscription(changes: object) {
  return { events: ["order.*"], deliver: { pull: true }, ...changes };
}

describe("a subscription", () => {
  it("has defaults, and knows how it delivers", () => {
    expect(z.parse(subscriptionSchema, subscription({}))).toEqual({
      events: ["order.*"],
      deliver: { kind: "pull" },
      ordered: false,
      highWatermark: 20_000,
      alertAt: 10_000,
    });
    const deliveries = [
      [
        HOOK,
        {
          kind: "webhook",
          target: { url: HOOK.webhook, localOnly: null },
          secrets: ["BILLING_SECRET"],
          timeoutMs: 15_000,
        },
      ],
      [
        { upstream: "x", path: "/y" },
        { kind: "upstream", upstream: "x", path: "/y" },
      ],
      [{ upstream: "x" }, { kind: "upstream", upstream: "x", path: "/" }],
      [{ binding: "WORKER" }, { kind: "binding", binding: "WORKER" }],
    ] as const;
    for (const [deliver, expected] of deliveries) {
      expect(z.parse(subscriptionSchema, subscription({ deliver })).deliver).toEqual(expected);
    }
  });

  it("may have a target that is only good for local development, and says why", () => {
    const deliver = { ...HOOK, webhook: "http://localhost:3000/hook" };
    expect(z.parse(subscriptionSchema, subscription({ deliver })).deliver).toMatchObject({
      target: { url: "http://localhost:3000/hook", localOnly: TARGET_RULES.scheme },
    });
  });

  it.for<[object, string]>([
    [{ events: [] }, "events: must be a list of at least one event pattern"],
    [{ events: Array.from({ length: 101 }, () => "a") }, "events: must hold at most 100 patterns"],
    [{ events: ["order*"] }, 'events.0: must be an event type, "<prefix>.*" or "*"'],
    [{ deliver: {} }, "deliver: must have exactly one of webhook, pull, upstream and binding"],
    [
      { deliver: { pull: true, binding: "A" } },
      "deliver: must have exactly one of webhook, pull, upstream and binding",
    ],
    [{ deliver: { pull: false } }, "deliver.pull: must be true"],
    [{ deliver: { pull: true, path: "/a" } }, "deliver: cannot have path with pull"],
    [{ deliver: { webhook: HOOK.webhook } }, "deliver: must have secrets with webhook"],
    [{ deliver: { ...HOOK, secrets: [] } }, "deliver.secrets: must be a list of at least one secret"],
    [
      { deliver: { ...HOOK, secrets: ["whsec_x"] } },
      'deliver.secrets.0: must be "env:NAME" with the name of a secret',
    ],
    [
      { deliver: { ...HOOK, secrets: Array.from({ length: 11 }, () => "env:A") } },
      "deliver: must have at most 10 secrets",
    ],
    [{ deliver: { ...HOOK, timeout: "31s" } }, "deliver: must have a timeout of at most 30 s"],
    [{ deliver: { ...HOOK, webhook: "https://10.0.0.1/" } }, `deliver.webhook: ${TARGET_RULES.address}`],
    [
      { deliver: { ...HOOK, webhook: "https://a@example.com/" } },
      `deliver.webhook: ${TARGET_RULES.userinfo}`,
    ],
    [{ deliver: { ...HOOK, webhook: 1 } }, `deliver.webhook: ${TARGET_RULES.malformed}`],
    [{ deliver: { upstream: "x", path: "y" } }, 'deliver.path: must be a path that begins with "/"'],
    [{ deliver: { binding: "a-b" } }, "deliver.binding: must be the name of a binding"],
    [{ ordered: 1 }, "ordered: must be true or false"],
    [{ highWatermark: 200_001 }, "highWatermark: must be a whole number from 1 to 200000"],
  ])("with %j breaks a rule", ([changes, line]) => {
    expect(errorsOf(subscriptionSchema, subscription(changes))).toEqual([line]);
  });
});

describe("a relay", () => {
  it("has the table of its order, checked and quoted", () => {
    expect(z.parse(relaySchema, { hyperdrive: "DB" })).toMatchObject({
      hyperdrive: "DB",
      onPoison: "block",
      table: { order: "key", table: '"outbox"', leaseTable: '"outbox_lease"' },
    });
    const plain = { hyperdrive: "DB", order: "none", table: "shop.outbox", columns: { type: "kind" } };
    expect(z.parse(relaySchema, plain)).toMatchObject({
      table: { order: "none", table: '"shop"."outbox"', columns: { type: '"kind"', status: '"status"' } },
    });
  });

  it.for<[object, string]>([
    [{ hyperdrive: undefined }, "hyperdrive: is required"],
    [{ order: "all" }, 'order: must be "key" or "none"'],
    [
      { table: "a b" },
      "table: must be a plain identifier of at most 63 characters, with a schema or without",
    ],
    [{ columns: { key: "a-b" } }, "columns.key: must be a plain identifier of at most 63 characters"],
    [{ columns: { key: 1 } }, "columns.key: must be the name of a column"],
    [
      { order: "none", columns: { seq: "n" } },
      "columns.seq: must be one of id, type, payload, status, publishedAt, key, createdAt",
    ],
    [{ columns: 1 }, "columns: must be an object of columns"],
  ])("with %j breaks a rule", ([changes, line]) => {
    expect(errorsOf(relaySchema, { hyperdrive: "DB", ...changes })).toEqual([line]);
  });
});
