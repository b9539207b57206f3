import * as fc from "fast-check";
import { describe, it } from "vitest";
import { appendVia, viaNames } from "../../../src/http/via.ts";

describe("appendVia", () => {
  it("adds this hop behind those before it", ({ expect }) => {
    expect(appendVia(null, "tidegate")).toBe("1.1 tidegate");
    expect(appendVia("", "tidegate")).toBe("1.1 tidegate");
    expect(appendVia("1.0 fred (a, b)", "tidegate")).toBe("1.0 fred (a, b), 1.1 tidegate");
  });
});

describe("viaNames", () => {
  it("finds its own pseudonym in any case, version and place", ({ expect }) => {
    for (const field of [
      "1.1 tidegate",
      "1.0 a, 2 TideGate",
      "HTTP/3 \t tidegate (x)",
      "1.1 a (y),1.1 tidegate,1.1 b",
    ]) {
      expect(viaNames(field, "Tidegate"), field).toBe(true);
    }
  });

  it("is not misled by names that only contain it", ({ expect }) => {
    for (const field of [
      "",
      "1.1 tidegate-sidecar",
      "1.1 my.tidegate",
      "tidegate",
      "1.1 a tidegate",
      "1.1 tidegate:80",
    ]) {
      expect(viaNames(field, "tidegate"), field).toBe(false);
    }
  });

  it("ignores comments, nested and quoted ones too", ({ expect }) => {
    for (const field of [
      "1.1 a (b, 1.1 tidegate)",
      "1.1 a (b (c), 1.1 tidegate)",
      String.raw`1.1 a (\), 1.1 tidegate , b)`,
    ]) {
      expect(viaNames(field, "tidegate"), field).toBe(false);
    }
  });

  it("sees itself behind a comment that a client left open", ({ expect }) => {
    for (const field of [
      "1.1 a (, 1.1 tidegate",
      "1.1 a ((x), 1.1 tidegate",
      String.raw`1.1 a (\, 1.1 tidegate`,
    ]) {
      expect(viaNames(field, "tidegate"), field).toBe(true);
    }
  });

  it("finds every hop that was appended, whatever came before", ({ expect }) => {
    const before = fc.array(fc.constantFrom("1.1 ", "a", ",", "(", ")", "\\", " ", '"', "tidegate"), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(before, (pieces) => {
        expect(viaNames(appendVia(pieces.join(""), "gw"), "gw")).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
