// Behaviours of peers that ours shares, under their names: Standard Webhooks, Svix, Convoy, Outpost,
// Debezium. What they do otherwise stands in docs/events.md.

import { Webhook } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import { readChangeEvent } from "../../../../src/delivery/events/debezium.ts";
import { matchesEvent } from "../../../../src/delivery/events/event-pattern.ts";
import { MAX_READ_BYTES } from "../../../../src/delivery/webhooks/core/answers.ts";
import {
  MAX_TRIES,
  nextTryInMs,
  readRetryAfterMs,
} from "../../../../src/delivery/webhooks/core/retry-schedule.ts";
import { checkTarget } from "../../../../src/delivery/webhooks/core/target-url.ts";
import { deliverWebhook, type WebhookEndpoint } from "../../../../src/delivery/webhooks/deliver.ts";
import { secretBytes, signWebhook } from "../../../../src/delivery/webhooks/signature.ts";
import { sampleEvent } from "../events/samples.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEXT_SECRET = `whsec_${btoa("the-secret-that-comes-next")}`;
const OUTSIDE = { isLocal: false, ownHosts: [], ports: [] };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const HOUR = 3600 * 1000;

function endpoint(changes: Partial<WebhookEndpoint> = {}): WebhookEndpoint {
  const url = "https://billing.example.com/hook";
  return {
    url,
    secrets: [SECRET],
    timeoutMs: 1_000,
    mode: "binary",
    headers: [],
    rules: OUTSIDE,
    ...changes,
  };
}

/** One try; what was sent, and what came of it. */
async function send(answer: () => Response, changes: Partial<WebhookEndpoint> = {}, now = Date.now) {
  const sent: { init: RequestInit; headers: Record<string, string>; body: string }[] = [];
  const fetcher: typeof fetch = async (input, init = {}) => {
    const request = new Request(input instanceof Request ? input : String(input), init);
    sent.push({ init, headers: Object.fromEntries(request.headers), body: await request.text() });
    return answer();
  };
  const outcome = await deliverWebhook(
    { event: sampleEvent(), attempt: 1 },
    endpoint(changes),
    fetcher,
    now,
    () => 0.5,
  );
  return { outcome, sent };
}

const ok = (): Response => new Response("ok");

function verdict(secret: string, body: string, headers: Record<string, string>): string {
  try {
    new Webhook(secret).verify(body, headers);
    return "verified";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

describe("Standard Webhooks", () => {
  it("its vector is signed to the letter, with the secret's prefix or without", async () => {
    const signed = {
      id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
      timestamp: 1_614_265_330,
      body: bytes('{"test": 2432232314}'),
    };
    for (const secret of [SECRET, SECRET.slice("whsec_".length)]) {
      expect(await signWebhook(signed, [secret])).toBe("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
  });

  it("a secret that is empty, or a prefix alone, is none", () => {
    expect(["", "whsec_"].map(secretBytes)).toEqual([null, null]);
  });

  it("a message without one of its three headers, or with one that is changed, is rejected", async () => {
    const [{ headers, body }] = (await send(ok)).sent;
    expect(verdict(SECRET, body, headers)).toBe("verified");
    for (const name of ["webhook-id", "webhook-timestamp", "webhook-signature"]) {
      expect(verdict(SECRET, body, { ...headers, [name]: "" })).toMatch(/Missing required headers/);
      expect(verdict(SECRET, body, { ...headers, [name]: `${headers[name]}0` })).not.toBe("verified");
    }
    expect(verdict(SECRET, `${body} `, headers)).toMatch(/No matching signature/);
    expect(verdict(SECRET, body, { ...headers, "webhook-timestamp": "soon" })).not.toBe("verified");
    expect(verdict(SECRET, body, { ...headers, "webhook-signature": "v1," })).toMatch(
      /No matching signature/,
    );
  });

  it("a message is accepted within five minutes of its try, however old its event is", async () => {
    for (const [offMs, expected] of [
      [-4 * 60_000, "verified"],
      [4 * 60_000, "verified"],
      [-6 * 60_000, "Message timestamp too old"],
      [6 * 60_000, "Message timestamp too new"],
    ] as const) {
      const [{ headers, body }] = (await send(ok, {}, () => Date.now() + offMs)).sent;
      expect(verdict(SECRET, body, headers)).toBe(expected);
    }
  });

  it("while a secret is replaced a receiver verifies with the old one and with the new one", async () => {
    const [{ headers, body }] = (await send(ok, { secrets: [NEXT_SECRET, SECRET] })).sent;
    expect(headers["webhook-signature"].split(" ")).toHaveLength(2);
    expect([SECRET, NEXT_SECRET].map((secret) => verdict(secret, body, headers))).toEqual([
      "verified",
      "verified",
    ]);
    const unknown = { ...headers, "webhook-signature": `v2,x ${headers["webhook-signature"]} v1,AAAA` };
    expect(verdict(SECRET, body, unknown)).toBe("verified");
  });
});

function elsewhere(): Response {
  return new Response(null, { status: 302, headers: { location: "http://10.0.0.1/" } });
}

describe("Svix", () => {
  it("a redirect is not followed: it is a failed try", async () => {
    const { outcome, sent } = await send(elsewhere);
    expect(sent).toHaveLength(1);
    expect(sent[0].init.redirect).toBe("manual");
    expect(outcome).toMatchObject({ kind: "failed", record: { status: 302 } });
  });

  it("Retry-After is a number of seconds, whole or not, or a date, or nothing", () => {
    const now = Date.UTC(2026, 10, 24, 10);
    const wished = ["120", "120.1", "Tue, 24 Nov 2026 10:02:00 GMT", "invalid"];
    expect(wished.map((value) => readRetryAfterMs(value, now))).toEqual([120_000, 121_000, 120_000, null]);
  });

  it("after 429 or a timeout a receiver has a minute at least", () => {
    expect(nextTryInMs({ attempt: 1, retryAfterMs: null, isOverload: true }, 0)).toBe(60_000);
  });

  it("a schedule that has no more tries schedules nothing", () => {
    expect(nextTryInMs({ attempt: 1, retryAfterMs: null, isOverload: false }, 0.5, [])).toBeNull();
    expect(nextTryInMs({ attempt: MAX_TRIES, retryAfterMs: null, isOverload: false }, 0.5)).toBeNull();
  });

  it("a subscription hears the types that it names and no other", () => {
    expect(matchesEvent(["order.paid", "user.*"], "user.made.twice")).toBe(true);
    expect(matchesEvent(["order.paid", "user.*"], "order.paid.late")).toBe(false);
  });

  it("only https goes out, to no address of one's own, in whatever spelling", () => {
    const refused = [
      "http://example.com/",
      "https://[::1]/",
      "https://@[::1]/",
      "https://[::ffff:10.0.0.1]/",
      "https://user:password@example.com/",
    ];
    expect(refused.filter((url) => checkTarget(url, OUTSIDE).kind === "allowed")).toEqual([]);
  });
});

describe("Convoy", () => {
  it("an answer that is too long is cut off, and the event was delivered", async () => {
    const { outcome } = await send(() => new Response("x".repeat(2 * MAX_READ_BYTES)));
    expect(outcome.kind).toBe("delivered");
    expect(outcome.record.answer?.length ?? 0).toBeLessThanOrEqual(MAX_READ_BYTES);
  });

  it("the pause between two tries has a bound, whatever a receiver asks for", () => {
    const asked = { attempt: 3, retryAfterMs: 1_000 * HOUR, isOverload: false };
    expect(nextTryInMs(asked, 1)).toBeLessThanOrEqual(24 * 1.2 * HOUR);
  });
});

describe("Outpost", () => {
  it("a fault on the way there is not the receiver's", async () => {
    const { outcome, sent } = await send(ok, { url: "https://10.0.0.1/" });
    expect(sent).toEqual([]);
    expect(outcome).toMatchObject({ kind: "failed", counts: false });
  });

  it("the payload keeps the order of its keys", async () => {
    const [{ body }] = (await send(ok)).sent;
    expect(body).toBe('{"orderId":"1","cents":1200}');
  });
});

describe("Debezium's event router", () => {
  const source = {
    connector: "postgresql",
    name: "shop",
    db: "shop",
    schema: "public",
    table: "outbox",
    lsn: 7,
  };
  const row = { id: "0f1e", aggregatetype: "order", aggregateid: "o-1", type: "order.paid", payload: "{}" };

  it("an inserted row is the event that it holds: its id, its type, its aggregate as the key", () => {
    const change = readChangeEvent(JSON.stringify({ op: "c", ts_ms: 1, before: null, after: row, source }));
    expect(change).toMatchObject({
      kind: "event",
      event: { id: "0f1e", type: "order.paid", extensions: { partitionkey: "o-1" } },
    });
  });

  it("a tombstone, a deleted row and an updated one are no events", () => {
    const texts = [
      "null",
      ...["d", "u"].map((op) => JSON.stringify({ op, ts_ms: 1, before: row, after: row, source })),
    ];
    expect(texts.map((text) => readChangeEvent(text).kind)).toEqual(["skipped", "skipped", "skipped"]);
  });
});
