// Signatures and targets in the runtime that sends them: its own cryptography and its own URL parser.

import { describe, expect, it } from "vitest";
import { checkTarget } from "../../src/delivery/webhooks/core/target-url.ts";
import { deliverWebhook } from "../../src/delivery/webhooks/deliver.ts";
import { signWebhook } from "../../src/delivery/webhooks/signature.ts";
import type { CloudEvent } from "../../src/delivery/events/cloud-event.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const RULES = { isLocal: false, ownHosts: ["api.acme.com"], ports: [] };
const EVENT: CloudEvent = {
  id: "1",
  source: "/s",
  type: "order.paid",
  subject: "\u20ac 5",
  time: null,
  dataContentType: "application/json",
  dataSchema: null,
  extensions: {},
  data: { kind: "json", text: "{}" },
};

it("signs the specification's example as the specification does", async () => {
  const body = new TextEncoder().encode('{"test": 2432232314}');
  const signed = { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp: 1_614_265_330, body };
  expect(await signWebhook(signed, [SECRET])).toBe("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
});

describe("a target", () => {
  it.for([
    ["https://example.com/hook", "allowed"],
    ["https://2130706433/", "address"],
    ["https://0x7f.1/", "address"],
    ["https://0177.0.0.1/", "address"],
    ["https://127.0.0.1./", "address"],
    ["https://%31%32%37.0.0.1/", "address"],
    ["https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/", "address"],
    ["https://127\u30020\u30020\u30021/", "address"],
    ["https://[::ffff:127.0.0.1]/", "address"],
    ["https://[64:ff9b::a9fe:a9fe]/", "address"],
    ["https://[::1]/", "address"],
    ["https://@[::1]/", "userinfo"],
    ["https://LOCALHOST./", "special-host"],
    ["https://API.acme.com./", "own-host"],
    ["https://example.com\\@127.0.0.1/", "malformed"],
  ])("%s: %s", ([url, expected]) => {
    const check = checkTarget(url, RULES);
    expect(check.kind === "allowed" ? "allowed" : check.reason).toBe(expected);
  });
});

it("sends headers that the runtime takes, and reads the answer", async () => {
  const sent: Request[] = [];
  const fetcher: typeof fetch = async (input, init) => {
    sent.push(new Request(input, init));
    return new Response("thanks");
  };
  const endpoint = {
    url: "https://example.com/hook",
    secrets: [SECRET],
    timeoutMs: 1_000,
    mode: "binary",
    headers: [],
    rules: RULES,
  } as const;
  const outcome = await deliverWebhook(
    { event: EVENT, attempt: 1 },
    endpoint,
    fetcher,
    Date.now,
    Math.random,
  );
  expect(outcome).toMatchObject({ kind: "delivered", record: { status: 200, answer: "thanks" } });
  expect(sent[0].headers.get("ce-subject")).toBe("%E2%82%AC%205");
});
