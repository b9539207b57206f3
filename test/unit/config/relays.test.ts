// Relays of a configuration: every rule, and what is made of a value that keeps it.

import { describe, expect, it } from "vitest";
import * as z from "zod/mini";
import { relaySchema } from "../../../src/config/schema-relays.ts";

/** Each broken rule as `path: rule`. */
function errorsOf(schema: z.core.$ZodType, value: unknown): string[] {
  const { error } = z.safeParse(schema, value);
  return (error?.issues ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`);
}

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
