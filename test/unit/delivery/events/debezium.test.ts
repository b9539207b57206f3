// Change events as Debezium writes them, and what is made of outbox tables (mirrors its event router).

import { describe, expect, it } from "vitest";
import { readChangeEvent, type ChangeEvent } from "../../../../src/delivery/events/debezium.ts";
import { parseStructured } from "../../../../src/delivery/events/json-format.ts";

const SOURCE = {
  version: "3.0.0.Final",
  connector: "postgresql",
  name: "shop",
  ts_ms: 1_559_033_904_000,
  snapshot: "false",
  db: "store",
  schema: "public",
  table: "customers",
  txId: 555,
  lsn: 24_023_128,
  xmin: null,
};

function change(parts: Record<string, unknown>, isWrapped = true): string {
  const payload = { before: null, after: null, source: SOURCE, op: "c", ts_ms: 1_559_033_904_863, ...parts };
  return JSON.stringify(isWrapped ? { schema: { type: "struct" }, payload } : payload);
}

function eventOf(read: ChangeEvent) {
  if (read.kind !== "event") throw new Error(JSON.stringify(read));
  return read.event;
}

describe("a change of a table", () => {
  it("names table, operation, row, time and place, with or without its schema", () => {
    const after = { id: 1004, email: "anne@example.com" };
    for (const isWrapped of [true, false]) {
      const event = eventOf(readChangeEvent(change({ after }, isWrapped)));
      expect(event).toMatchObject({
        type: "customers.created",
        source: "/debezium/postgresql/shop",
        subject: "store.public.customers/1004",
        time: "2019-05-28T08:58:24.000Z",
        extensions: { partitionkey: "1004" },
        dataContentType: "application/json",
      });
      expect(event.id).toMatch(/^lsn=24023128;txId=555;c;[0-9a-f]{16}$/);
    }
  });

  it.for([
    ["u", "customers.updated"],
    ["d", "customers.deleted"],
    ["r", "customers.read"],
  ])("%s is %s", ([op, type]) => {
    expect(eventOf(readChangeEvent(change({ op, before: { id: 7 } })))).toMatchObject({
      type,
      extensions: { partitionkey: "7" },
    });
  });

  it("of a truncation has no row", () => {
    const event = eventOf(readChangeEvent(change({ op: "t" })));
    expect(event).toMatchObject({
      type: "customers.truncated",
      subject: "store.public.customers",
      extensions: {},
    });
  });

  it("keeps the payload's own text, with 64-bit numbers as they are", () => {
    const text = change({ after: { id: 1 } }).replace('"id":1', '"id": 9007199254740993');
    const { data } = eventOf(readChangeEvent(text));
    expect(data.kind === "json" && data.text).toContain('"id": 9007199254740993');
  });

  it("has the same id each time it comes, and another one for another row at the same place", () => {
    const one = change({ op: "r", after: { id: 1 } });
    const other = change({ op: "r", after: { id: 2 } });
    expect(eventOf(readChangeEvent(one)).id).toBe(eventOf(readChangeEvent(one)).id);
    expect(eventOf(readChangeEvent(one)).id).not.toBe(eventOf(readChangeEvent(other)).id);
  });

  it("takes the key from the columns that it is told", () => {
    const after = { tenant: "a", no: 3 };
    expect(
      eventOf(readChangeEvent(change({ after }), { keyColumns: ["tenant", "no"] })).extensions.partitionkey,
    ).toBe("a,3");
    expect(eventOf(readChangeEvent(change({ after }))).extensions).toEqual({});
  });
});

describe("an outbox table", () => {
  const row = {
    id: "cbd8-1",
    aggregatetype: "order",
    aggregateid: "17",
    type: "order.placed",
    payload: '{"b":1,"a":12345678901234567890}',
  };

  it("is the event that its row holds", () => {
    const event = eventOf(readChangeEvent(change({ after: row })));
    expect(event).toMatchObject({
      id: "cbd8-1",
      type: "order.placed",
      subject: "order/17",
      extensions: { partitionkey: "17" },
      dataContentType: "application/json",
      data: { kind: "json", text: row.payload },
    });
  });

  it("may hold a text that is no JSON", () => {
    const event = eventOf(readChangeEvent(change({ after: { ...row, payload: "hello" } })));
    expect(event).toMatchObject({ dataContentType: "text/plain", data: { kind: "bytes" } });
  });

  it("says nothing when its rows are marked or deleted", () => {
    const skipped = { kind: "skipped", reason: "outbox-row-changed" };
    expect(readChangeEvent(change({ op: "u", after: row }))).toEqual(skipped);
    expect(readChangeEvent(change({ op: "d", before: row }))).toEqual(skipped);
  });

  it("refuses a row without a type", () => {
    expect(readChangeEvent(change({ after: { ...row, type: null } }))).toMatchObject({ at: "type" });
  });
});

describe("a CloudEvent that Debezium has made", () => {
  const written = {
    id: "name:test_server;lsn:29274832;txId:565",
    source: "/debezium/postgresql/test_server",
    specversion: "1.0",
    type: "io.debezium.postgresql.datachangeevent",
    time: "2020-01-13T13:55:39.738Z",
    datacontenttype: "application/json",
    iodebeziumop: "r",
    iodebeziumsnapshot: "true",
    iodebeziumxmin: null,
    iodebeziumtxId: "565",
    data: { before: null, after: { pk: 1 } },
  };

  it("is read although some of its attributes have capitals in their names", () => {
    const parsed = parseStructured(JSON.stringify(written));
    expect(parsed).toMatchObject({
      kind: "event",
      event: {
        id: "name:test_server;lsn:29274832;txId:565",
        extensions: { iodebeziumop: "r", iodebeziumsnapshot: "true", iodebeziumtxid: "565" },
      },
    });
  });

  it("may have such an attribute in both spellings, of which the one without capitals counts", () => {
    for (const members of [
      { ...written, iodebeziumtxid: "566" },
      { iodebeziumtxid: "566", ...written },
    ]) {
      expect(parseStructured(JSON.stringify(members))).toMatchObject({
        event: { extensions: { iodebeziumtxid: "566" } },
      });
    }
  });

  it("is alone in that: nobody else's attributes may have capitals", () => {
    expect(parseStructured(JSON.stringify({ ...written, orderId: "1" }))).toMatchObject({
      kind: "invalid",
      at: "orderId",
    });
  });
});

it("skips tombstones and tells what is no change", () => {
  const tombstone = { kind: "skipped", reason: "tombstone" };
  for (const text of ["", "null", '{"schema":{},"payload":null}']) {
    expect(readChangeEvent(text)).toEqual(tombstone);
  }
  for (const text of ["{}", "[]", "no", change({ op: "x" }), change({ source: 1 }), change({ after: 1 })]) {
    expect(readChangeEvent(text)).toEqual({ kind: "no-change" });
  }
});
