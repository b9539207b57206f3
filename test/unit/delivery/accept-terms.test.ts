// What a client says of how its request is to be stored, and what it is told of it.

import { describe, it } from "vitest";
import { appliedPreferences, readTerms } from "../../../src/delivery/accept-terms.ts";

const QUEUE = { idempotencyKey: "optional", orderBy: "x-order" } as const;
const NOTHING = { idempotencyKey: null, prefer: null, orderKey: null };

describe("terms of a request", () => {
  it("ask for nothing where nothing is said", ({ expect }) => {
    expect(readTerms(QUEUE, NOTHING)).toEqual({
      kind: "terms",
      idempotencyKey: null,
      key: null,
      respondAsync: false,
      waitMs: null,
    });
  });

  it("hold the key, the place in the order and the wait", ({ expect }) => {
    const fields = { idempotencyKey: '"k"', prefer: "respond-async, wait=3", orderKey: "o-1" };
    expect(readTerms(QUEUE, fields)).toMatchObject({
      idempotencyKey: "k",
      key: "o-1",
      respondAsync: true,
      waitMs: 3_000,
    });
  });

  it("never wait for more than 10 s", ({ expect }) => {
    expect(readTerms(QUEUE, { ...NOTHING, prefer: "wait=10" })).toMatchObject({ waitMs: 10_000 });
    expect(readTerms(QUEUE, { ...NOTHING, prefer: "wait=11" })).toMatchObject({ waitMs: 10_000 });
  });

  it("need a key where the queue says so", ({ expect }) => {
    const queue = { ...QUEUE, idempotencyKey: "required" } as const;
    expect(readTerms(queue, NOTHING)).toEqual({ kind: "key-required" });
    expect(readTerms(queue, { ...NOTHING, idempotencyKey: "k" })).toMatchObject({ kind: "terms" });
  });

  it("name what is malformed or too long", ({ expect }) => {
    expect(readTerms(QUEUE, { ...NOTHING, idempotencyKey: "a, b" })).toMatchObject({ kind: "malformed" });
    expect(readTerms(QUEUE, { ...NOTHING, orderKey: "x".repeat(257) })).toEqual({
      kind: "malformed",
      detail: "Send at most 256 characters in x-order.",
    });
    expect(readTerms(QUEUE, { ...NOTHING, orderKey: "x".repeat(256) })).toMatchObject({ kind: "terms" });
    expect(readTerms(QUEUE, { ...NOTHING, orderKey: "" })).toMatchObject({ key: null });
  });
});

describe("applied preferences", () => {
  it.for([
    [false, null, "with-job", null],
    [true, null, "with-job", "respond-async"],
    [true, 10_000, "with-job", "respond-async, wait=10"],
    [true, 10_000, "with-result", "wait=10"],
    [false, 0, "with-job", "wait=0"],
    [true, null, "with-result", null],
  ] as const)(
    "async %s, wait %s, answered %s: %s",
    ([respondAsync, waitMs, answered, applied], { expect }) => {
      expect(appliedPreferences({ respondAsync, waitMs }, answered)).toBe(applied);
    },
  );
});
