// The body of a request that is to be stored: how much is read, and what it becomes.

import { createHash } from "node:crypto";
import { describe, it } from "vitest";
import type { BodyBounds, ClaimStore, ReadBody } from "../../../src/delivery/accept-body.ts";
import {
  MAX_HELD_BYTES,
  MAX_STORED_BODY_BYTES,
  digestOf,
  readBody,
  release,
  storeBody,
} from "../../../src/delivery/accept-body.ts";
import { MAX_INLINE_BODY_BYTES } from "../../../src/delivery/core/protocol.ts";

const MIB = 1024 * 1024;
const BOUNDS: BodyBounds = { limitBytes: 100 * MIB, hasBucket: true, waitMs: 10_000 };

function streamOf(...chunks: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

function read(
  bytes: number,
  bounds: Partial<BodyBounds> = {},
  declared: string | null = null,
): Promise<ReadBody> {
  return readBody(streamOf(new Uint8Array(bytes)), declared, { ...BOUNDS, ...bounds });
}

/** Takes what is read and lets go of it. */
async function sizeOf(reading: Promise<ReadBody>): Promise<number | string> {
  const body = await reading;
  if (body.kind !== "read") return body.kind;
  release(body.body);
  return body.body?.byteLength ?? 0;
}

describe("reading a body", () => {
  it("gives its bytes, whatever pieces they came in, in a buffer of their own", async ({ expect }) => {
    const large = new TextEncoder().encode("..hello..");
    const body = await readBody(streamOf(large.subarray(2, 4), large.subarray(4, 7)), null, BOUNDS);
    const one = await readBody(streamOf(large.subarray(2, 7)), null, BOUNDS);
    for (const each of [body, one]) {
      if (each.kind !== "read" || each.body === null) throw new Error(each.kind);
      expect(new TextDecoder().decode(each.body)).toBe("hello");
      expect(each.body.buffer.byteLength).toBe(5);
    }
  });

  it("gives null for none, and for one of no bytes", async ({ expect }) => {
    expect(await readBody(null, null, BOUNDS)).toEqual({ kind: "read", body: null });
    expect(await readBody(streamOf(), "0", BOUNDS)).toEqual({ kind: "read", body: null });
  });

  it("ends at the route's limit, declared or not", async ({ expect }) => {
    expect(await sizeOf(read(1000, { limitBytes: 1000 }))).toBe(1000);
    expect(await read(1001, { limitBytes: 1000 })).toEqual({
      kind: "too-large",
      limitBytes: 1000,
      why: "route",
    });
    expect(await read(1, { limitBytes: 1000 }, "1001")).toMatchObject({ kind: "too-large", why: "route" });
  });

  it("ends at what a row holds where there is no bucket", async ({ expect }) => {
    const hasBucket = false;
    expect(await sizeOf(read(MAX_INLINE_BODY_BYTES, { hasBucket }))).toBe(MAX_INLINE_BODY_BYTES);
    expect(await read(MAX_INLINE_BODY_BYTES + 1, { hasBucket })).toEqual({
      kind: "too-large",
      limitBytes: MAX_INLINE_BODY_BYTES,
      why: "no-bucket",
    });
  });

  it("ends at what is stored whole where there is one", async ({ expect }) => {
    expect(await sizeOf(read(MAX_STORED_BODY_BYTES))).toBe(MAX_STORED_BODY_BYTES);
    expect(await read(MAX_STORED_BODY_BYTES + 1)).toMatchObject({ kind: "too-large", why: "storage" });
  });

  it("takes no more large ones than the isolate may hold, and all again once they are gone", async ({
    expect,
  }) => {
    const held = [await read(MAX_STORED_BODY_BYTES), await read(MAX_HELD_BYTES - MAX_STORED_BODY_BYTES)];
    expect(await sizeOf(read(MAX_INLINE_BODY_BYTES + 1))).toBe("busy");
    expect(await sizeOf(read(MAX_INLINE_BODY_BYTES))).toBe(MAX_INLINE_BODY_BYTES);
    for (const body of held) if (body.kind === "read") release(body.body);
    expect(await sizeOf(read(MAX_STORED_BODY_BYTES))).toBe(MAX_STORED_BODY_BYTES);
  });

  it("says that a client broke off, or took too long", async ({ expect }) => {
    const broken = new ReadableStream<Uint8Array>({
      start: (controller) => controller.error(new Error("reset")),
    });
    expect(await readBody(broken, null, BOUNDS)).toEqual({ kind: "broken" });
    const silent = new ReadableStream<Uint8Array>();
    expect(await readBody(silent, null, { ...BOUNDS, waitMs: 0 })).toEqual({ kind: "too-slow" });
  });
});

describe("storing a body", () => {
  it("puts what is too large for a row into the bucket, under its hash", async ({ expect }) => {
    const puts: [string, number, string][] = [];
    const bucket: ClaimStore = {
      async put(key, value, { sha256 }) {
        puts.push([key, value.byteLength, sha256]);
      },
      async delete() {},
    };
    const small = new Uint8Array(MAX_INLINE_BODY_BYTES);
    expect(await storeBody(small, "q", bucket)).toBe(small);
    expect(await storeBody(null, "q", bucket)).toBeNull();
    expect(puts).toEqual([]);
    const large = new Uint8Array(MAX_INLINE_BODY_BYTES + 1).fill(7);
    const claim = await storeBody(large, "q", bucket);
    const sha256 = createHash("sha256").update(large).digest("hex");
    expect(claim).toEqual({
      ref: expect.stringMatching(/^claims\/q\/[0-9a-f-]{36}$/),
      sha256,
      length: large.length,
    });
    expect(puts).toEqual([[expect.any(String), large.length, sha256]]);
  });

  it("fails with the bucket", async ({ expect }) => {
    const bucket: ClaimStore = {
      put: () => Promise.reject(new Error("down")),
      delete: () => Promise.resolve(),
    };
    await expect(storeBody(new Uint8Array(MAX_INLINE_BODY_BYTES + 1), "q", bucket)).rejects.toThrow("down");
  });

  it("knows a body by its SHA-256", ({ expect }) => {
    expect(digestOf(null)).toBe(createHash("sha256").digest("hex"));
    expect(digestOf(new TextEncoder().encode("abc"))).toBe(createHash("sha256").update("abc").digest("hex"));
  });
});
