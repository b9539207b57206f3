// Relays of a configuration: every rule, and what is made of a value that keeps it.

import { describe, expect, it } from "vitest";
import * as z from "zod/mini";
import { missingBindings } from "../../../src/config/bindings.ts";
import { relaySchema } from "../../../src/config/schema-relays.ts";
import { relayCode } from "../../../cli/chosen-relay.ts";
import { databaseErrors, localDatabases } from "../../../cli/databases.ts";
import { errorsOf as linesOf, minimalConfig, planOf } from "./sample.ts";

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
      alertAt: 10_000,
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
    [{ columns: { type: "payload" } }, "columns.type: is the column of payload already"],
    [{ alertAt: 0 }, "alertAt: must be a whole number, at least 1"],
  ])("with %j breaks a rule", ([changes, line]) => {
    expect(errorsOf(relaySchema, { hyperdrive: "DB", ...changes })).toEqual([line]);
  });
});

describe("relays of a configuration", () => {
  const relays = {
    shop: { hyperdrive: "DB", columns: { type: "kind" } },
    plain: { hyperdrive: "DB", order: "none", table: "events" },
  };

  it("are plans with their tables", () => {
    expect(planOf(minimalConfig({ relays })).relays).toMatchObject([
      {
        name: "shop",
        hyperdrive: "DB",
        onPoison: "block",
        table: { order: "key", columns: { type: '"kind"' } },
      },
      { name: "plain", table: { order: "none", table: '"events"' } },
    ]);
    expect(planOf(minimalConfig()).relays).toEqual([]);
  });

  it("share no table", () => {
    const twice = {
      one: { hyperdrive: "DB" },
      two: { hyperdrive: "DB", table: "outbox" },
      three: { hyperdrive: "D2" },
    };
    expect(linesOf(minimalConfig({ relays: twice }))).toEqual([
      'relays.two.table: is the table of relays.one already (got "outbox")',
    ]);
    expect(linesOf(minimalConfig({ relays: { "a b": { hyperdrive: "DB" } } }))).toEqual([
      expect.stringContaining('relays["a b"]: must be a name'),
    ]);
  });

  it("need their database, their object and what publishes events", () => {
    const none = {
      fetchers: new Set<string>(),
      objects: new Set<string>(),
      queues: new Set<string>(),
      consumed: new Set<string>(),
    };
    expect(missingBindings(planOf(minimalConfig({ relays })), none)).toEqual([
      'relays.shop.hyperdrive: is no Hyperdrive binding in wrangler.toml (got "DB")',
      'relays.plain.hyperdrive: is no Hyperdrive binding in wrangler.toml (got "DB")',
      "relays: need the Durable Object binding OUTBOX in wrangler.toml",
      "relays: need the binding DELIVERY to a Cloudflare Queue in wrangler.toml",
      "relays: need a consumer, with a dead_letter_queue, of DELIVERY's queue in wrangler.toml",
      "relays: need the Durable Object binding RELAY in wrangler.toml",
    ]);
    const all = {
      fetchers: new Set<string>(),
      objects: new Set(["OUTBOX", "RELAY"]),
      queues: new Set(["DELIVERY"]),
      consumed: new Set(["DELIVERY"]),
      hyperdrives: new Set(["DB"]),
    };
    expect(missingBindings(planOf(minimalConfig({ relays })), all)).toEqual([]);
  });

  it("are uploaded only where there are some", () => {
    const folder = "/nowhere";
    expect(relayCode(planOf(minimalConfig({ relays })), folder)).toContain("relays/relay-object.ts");
    expect(relayCode(planOf(minimalConfig()), folder)).toContain("relays/relay-absent.ts");
  });
});

describe("a database on this machine", () => {
  it("is named by the command line, else by the environment", () => {
    const environment = {
      CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_A: "postgres://a:a@h/a",
      WRANGLER_HYPERDRIVE_LOCAL_CONNECTION_STRING_A: "postgres://old:a@h/a",
      WRANGLER_HYPERDRIVE_LOCAL_CONNECTION_STRING_B: "postgres://b:b@h/b",
      OTHER: "postgres://o:o@h/o",
    };
    expect(localDatabases({ B: "postgresql://given:b@h/b", SECRET: "x" }, environment)).toEqual({
      A: "postgres://a:a@h/a",
      B: "postgresql://given:b@h/b",
    });
  });

  it.for([
    [undefined, "no database stands for DB here: give it with --env DB="],
    ["mysql://a:b@h/d", "the address of DB must be postgres://"],
    ["postgres://h/d", "the address of DB must be postgres://"],
    ["postgres://a:b@h", "the address of DB must be postgres://"],
  ] as const)("of the address %j is not there", ([address, line]) => {
    const errors = databaseErrors(
      [{ name: "shop", hyperdrive: "DB" }],
      address === undefined ? {} : { DB: address },
    );
    expect(errors).toEqual([expect.stringContaining(line)]);
  });

  it("with a whole address is there", () => {
    expect(databaseErrors([{ name: "shop", hyperdrive: "DB" }], { DB: "postgres://a:b@h:5432/d" })).toEqual(
      [],
    );
  });
});
