// One try at a receiver that is a function: what it gets, checked by the reference library, and what it can
// answer.

import { Webhook } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import { MAX_KEPT_CHARS, MAX_READ_BYTES } from "../../../../src/delivery/webhooks/core/answers.ts";
import {
  DEFAULT_TIMEOUT_MS,
  deliverWebhook,
  webhookRequest,
  type WebhookEndpoint,
} from "../../../../src/delivery/webhooks/deliver.ts";
import {
  MAX_SECRETS,
  secretBytes,
  signWebhook,
  webhookId,
} from "../../../../src/delivery/webhooks/signature.ts";
import { sampleEvent } from "../events/samples.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET = `whsec_${btoa("another-secret-of-24-byte")}`;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function endpoint(changes: Partial<WebhookEndpoint> = {}): WebhookEndpoint {
  return {
    url: "https://billing.example.com/hook",
    secrets: [SECRET],
    timeoutMs: DEFAULT_TIMEOUT_MS,
    mode: "binary",
    headers: [],
    rules: { isLocal: false, ownHosts: [], ports: [] },
    ...changes,
  };
}

interface Received {
  readonly url: string;
  readonly init: RequestInit;
  readonly headers: Record<string, string>;
  readonly body: string;
}

function receiver(answer: () => Response | Promise<Response>) {
  const received: Received[] = [];
  const fetcher: typeof fetch = async (input, init = {}) => {
    const request = new Request(input instanceof Request ? input : String(input), init);
    const headers = Object.fromEntries(request.headers);
    received.push({ url: request.url, init, headers, body: await request.text() });
    return await answer();
  };
  return { received, fetcher };
}

function tryOnce(
  answer: () => Response | Promise<Response>,
  changes: Partial<WebhookEndpoint> = {},
  attempt = 1,
) {
  const { received, fetcher } = receiver(answer);
  const outcome = deliverWebhook(
    { event: sampleEvent(), attempt },
    endpoint(changes),
    fetcher,
    Date.now,
    () => 0.5,
  );
  return outcome.then((value) => ({ outcome: value, received }));
}

describe("signatures", () => {
  const vector = {
    id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    timestamp: 1_614_265_330,
    body: bytes('{"test": 2432232314}'),
  };
  const expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

  it("are the specification's, with and without the secret's prefix", async () => {
    expect(await signWebhook(vector, [SECRET])).toBe(expected);
    expect(await signWebhook(vector, [SECRET.slice("whsec_".length)])).toBe(expected);
  });

  it("are one for each secret", async () => {
    const both = await signWebhook(vector, [OTHER_SECRET, SECRET]);
    expect(both).toBe(`${await signWebhook(vector, [OTHER_SECRET])} ${expected}`);
    expect(
      await signWebhook(
        vector,
        Array.from({ length: MAX_SECRETS }, () => SECRET),
      ),
    ).not.toBeNull();
    expect(
      await signWebhook(
        vector,
        Array.from({ length: MAX_SECRETS + 1 }, () => SECRET),
      ),
    ).toBeNull();
  });

  it("need a secret that is one", async () => {
    for (const secret of ["", "whsec_", "whsec_?", "not base64!"]) {
      expect(secretBytes(secret)).toBeNull();
      expect(await signWebhook(vector, [secret])).toBeNull();
    }
    expect(await signWebhook(vector, [])).toBeNull();
  });

  it.for(["", "{}", '{"z":1,"a":"\u00e9\u{1F600}"}', "\u0000\u00ff", " spaces "])(
    "of %j are taken by the reference library",
    async (body) => {
      const id = "msg_1";
      const timestamp = Math.floor(Date.now() / 1_000);
      const signature = await signWebhook({ id, timestamp, body: bytes(body) }, [OTHER_SECRET, SECRET]);
      const headers = {
        "webhook-id": id,
        "webhook-timestamp": String(timestamp),
        "webhook-signature": signature ?? "",
      };
      for (const secret of [SECRET, OTHER_SECRET]) {
        const verify = () => new Webhook(secret).verify(body, headers, { jsonParse: false });
        expect(verify).not.toThrow();
      }
      expect(() => new Webhook(SECRET).verify(`${body}x`, headers)).toThrow("No matching signature");
    },
  );

  it("name an event by its id, or by one made of it where it holds a dot", async () => {
    expect(await webhookId("/s", "018f2b5e-7b1a")).toBe("018f2b5e-7b1a");
    const made = await webhookId("/s", "a.b");
    expect(made).toMatch(/^evt_[A-Za-z0-9_-]{32}$/);
    expect(await webhookId("/s", "a.b")).toBe(made);
    expect(await webhookId("/t", "a.b")).not.toBe(made);
    expect(await webhookId("/s", "x".repeat(129))).toMatch(/^evt_/);
  });
});

describe("a try", () => {
  it("sends a signed CloudEvent in binary mode, redirects not followed", async () => {
    const { outcome, received } = await tryOnce(() => new Response("ok"), {
      headers: [
        ["x-tenant", "acme"],
        ["webhook-id", "mine"],
        ["Host", "other"],
      ],
    });
    expect(outcome).toMatchObject({ kind: "delivered", record: { attempt: 1, status: 200, answer: "ok" } });
    const [{ url, headers, body, init }] = received;
    expect([url, init.method, init.redirect]).toEqual(["https://billing.example.com/hook", "POST", "manual"]);
    expect(body).toBe('{"orderId":"1","cents":1200}');
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "ce-specversion": "1.0",
      "ce-id": sampleEvent().id,
      "ce-source": "/objects/orders/1",
      "ce-type": "order.paid",
      "ce-subject": "order/1",
      "ce-time": "2026-11-24T10:00:00.000Z",
      "webhook-id": sampleEvent().id,
      "x-tenant": "acme",
    });
    expect(headers.host).not.toBe("other");
    expect(new Webhook(SECRET).verify(body, headers)).toEqual({ orderId: "1", cents: 1200 });
  });

  it("sends the whole event in structured mode", async () => {
    const { received } = await tryOnce(() => new Response(), { mode: "structured" });
    expect(received[0].headers["content-type"]).toBe("application/cloudevents+json");
    expect(JSON.parse(received[0].body)).toMatchObject({ id: sampleEvent().id, data: { cents: 1200 } });
    expect(() => new Webhook(SECRET).verify(received[0].body, received[0].headers)).not.toThrow();
  });

  it("signs each try anew, under the same id, for as long as both secrets count", async () => {
    const first = await webhookRequest(
      sampleEvent(),
      endpoint({ secrets: [OTHER_SECRET, SECRET] }),
      1_000_000,
    );
    const second = await webhookRequest(sampleEvent(), endpoint(), 2_000_000);
    expect(first?.headers.get("webhook-timestamp")).toBe("1000");
    expect(second?.headers.get("webhook-timestamp")).toBe("2000");
    expect(first?.headers.get("webhook-id")).toBe(second?.headers.get("webhook-id"));
    expect(first?.headers.get("webhook-signature")?.split(" ")).toHaveLength(2);
  });

  it.for<[number, Record<string, string>, number]>([
    [500, {}, 5_000],
    [302, { location: "https://elsewhere.example.com/" }, 5_000],
    [404, {}, 5_000],
    [429, {}, 60_000],
    [503, { "retry-after": "120.1" }, 121_000],
    [503, { "retry-after": "999999" }, 24 * 3_600_000],
  ])("that is answered %i with %j is made again in %i ms", async ([status, headers, nextInMs]) => {
    const { outcome } = await tryOnce(() => new Response("no", { status, headers }));
    expect(outcome).toMatchObject({
      kind: "failed",
      nextInMs,
      counts: true,
      record: { status, error: null },
    });
  });

  it("that is the last is not made again", async () => {
    const { outcome } = await tryOnce(() => new Response("", { status: 500 }), {}, 10);
    expect(outcome).toMatchObject({ kind: "failed", nextInMs: null });
  });

  it("that is answered 410 ends the endpoint", async () => {
    const { outcome } = await tryOnce(() => new Response("", { status: 410 }));
    expect(outcome.kind).toBe("gone");
  });

  it("that times out waits a minute; one that reaches nobody does not", async () => {
    const timeout = await tryOnce(() => Promise.reject(new DOMException("late", "TimeoutError")));
    expect(timeout.outcome).toMatchObject({ nextInMs: 60_000, record: { error: "timeout", status: null } });
    const refused = await tryOnce(() => Promise.reject(new TypeError("connect ECONNREFUSED 10.0.0.1")));
    expect(refused.outcome).toMatchObject({ nextInMs: 5_000, record: { error: "unreachable", answer: "" } });
  });

  it("is given up after its timeout", async () => {
    const { outcome } = await deliverSlowly(1);
    expect(outcome).toMatchObject({ kind: "failed", record: { error: "timeout" } });
  });

  it("to a target that is not allowed, or without a usable secret, sends nothing", async () => {
    for (const [changes, error] of [
      [{ url: "https://127.0.0.1/" }, "target-refused"],
      [{ secrets: ["whsec_"] }, "secret-unusable"],
      [{ secrets: [] }, "secret-unusable"],
    ] as const) {
      const { outcome, received } = await tryOnce(() => new Response(), changes);
      expect(outcome).toMatchObject({ kind: "failed", counts: false, record: { error, status: null } });
      expect(received).toEqual([]);
    }
  });

  it("reads a bounded part of the answer and keeps less", async () => {
    let pulled = 0;
    let isCancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled += 1;
        controller.enqueue(bytes("x".repeat(1_024)));
      },
      cancel() {
        isCancelled = true;
      },
    });
    const { outcome } = await tryOnce(() => new Response(endless));
    expect(outcome.record.answer).toHaveLength(MAX_KEPT_CHARS);
    expect(pulled).toBeLessThanOrEqual(MAX_READ_BYTES / 1_024 + 2);
    expect(isCancelled).toBe(true);
  });

  it("was delivered even when the answer's body breaks off", async () => {
    const broken = new ReadableStream({
      pull(controller) {
        controller.error(new Error("reset"));
      },
    });
    const { outcome } = await tryOnce(() => new Response(broken));
    expect(outcome).toMatchObject({ kind: "delivered", record: { answer: "" } });
  });
});

const silentFetch: typeof fetch = (_, init) =>
  new Promise((_resolve, reject) => {
    init?.signal?.addEventListener("abort", () => reject(init.signal?.reason));
  });

async function deliverSlowly(timeoutMs: number) {
  const work = { event: sampleEvent(), attempt: 1 };
  return {
    outcome: await deliverWebhook(
      work,
      endpoint({ timeoutMs }),
      silentFetch,
      () => Date.now(),
      () => 0.5,
    ),
  };
}
