// The process's header fields do what the Web's Headers do, as far as the pipeline asks: the same random
// edits on both give the same fields.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Fields } from "../../../src/sidecar/process/fields.ts";

const name = fc.constantFrom("x-a", "X-A", "x-b", "Set-Cookie", "set-cookie", "Via", "content-type");
const value = fc.stringMatching(/^[a-z0-9=;]{1,6}$/);
const edit = fc.oneof(
  fc.record({ kind: fc.constant("append" as const), name, value }),
  fc.record({ kind: fc.constant("set" as const), name, value }),
  fc.record({ kind: fc.constant("delete" as const), name, value }),
);

describe("fields", () => {
  it("are those of the Web's Headers after any edits", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value)), fc.array(edit), (lines, edits) => {
        const fields = Fields.ofRaw(lines.flat());
        const headers = new Headers(lines);
        for (const { kind, name: edited, value: text } of edits) {
          if (kind === "delete") {
            fields.delete(edited);
            headers.delete(edited);
          } else {
            fields[kind](edited, text);
            headers[kind](edited, text);
          }
        }
        expect(sorted(fields)).toEqual(sorted(headers));
        for (const asked of ["X-a", "x-B", "via", "SET-COOKIE", "absent"]) {
          expect([asked, fields.get(asked), fields.has(asked)]).toEqual([
            asked,
            headers.get(asked),
            headers.has(asked),
          ]);
        }
        expect(fields.getSetCookie()).toEqual(headers.getSetCookie());
        const seen: [string, string][] = [];
        fields.forEach((text, field) => seen.push([field, text]));
        expect(seen).toEqual([...fields]);
        expect(Fields.ofRaw(fields.toRaw()).toRaw()).toEqual(fields.toRaw());
      }),
    );
  });

  it("join cookies of several lines as cookies are joined (RFC 9113 8.2.3)", () => {
    expect(Fields.ofRaw(["Cookie", "a=1", "cookie", "b=2"]).get("cookie")).toBe("a=1; b=2");
  });

  it("do not share what is edited with their copy", () => {
    const fields = Fields.ofRecord({
      "x-a": "1",
      "set-cookie": "a",
      via: ["1.1 a", "1.1 b"],
      gone: undefined,
    });
    const copy = fields.copy();
    copy.set("x-a", "2");
    copy.append("set-cookie", "b");
    expect(fields.toRaw()).toEqual(["x-a", "1", "set-cookie", "a", "via", "1.1 a, 1.1 b"]);
    expect(copy.toRaw()).toEqual(["x-a", "2", "set-cookie", "a", "set-cookie", "b", "via", "1.1 a, 1.1 b"]);
  });
});

function sorted(headers: Headers): string[] {
  return [...headers].map((line) => line.join(": ")).toSorted();
}
