// The cron of wrangler.toml: what has lost its alarm goes on within a minute.

import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createGateway } from "../../src/edge/gateway.ts";
import { acceptAll, alarmOf, bind, items, listQueue, stopClock } from "./outbox-rig.ts";

let clock: ReturnType<typeof stopClock>;

beforeEach(() => {
  clock = stopClock();
  vi.spyOn(console, "error").mockImplementation(() => {});
});

afterEach(() => {
  vi.restoreAllMocks();
  clock.restore();
});

const gateway = createGateway({
  upstreams: { a: { targets: ["http://a.test"] } },
  routes: [{ path: "/*", methods: ["POST"], queue: "watched" }],
  queues: { watched: { upstream: "a" } },
  subscriptions: { heard: { events: ["*"], deliver: { pull: true } } },
});

it("wakes every outbox of the configuration, also one that has lost its alarm", async () => {
  const outbox = env.OUTBOX.getByName("queue.watched.0");
  let isDown = true;
  const queue = listQueue(() => {
    if (isDown) throw new Error("the queue is down");
  });
  await bind(outbox, { DELIVERY: queue });
  await acceptAll(outbox, items(3));
  await outbox.wake();
  expect(queue.sent).toEqual([]);
  isDown = false;
  await runInDurableObject(outbox, (_, { storage }) => storage.deleteAlarm());
  clock.advance(60_000);
  await gateway.handler.scheduled({}, { ...env });
  expect(queue.sent).toHaveLength(3);
  expect(await alarmOf(outbox)).not.toBeNull();
});

it("needs no outbox", async () => {
  await expect(gateway.handler.scheduled({}, {})).resolves.toBeUndefined();
});
