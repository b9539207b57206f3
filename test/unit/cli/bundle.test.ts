import { randomBytes } from "node:crypto";
import { describe, it } from "vitest";
import { BUNDLE_CEILING_BYTES, bundleProblems, FORBIDDEN_STRINGS } from "../../../cli/verify/bundle.ts";

describe("bundleProblems", () => {
  it("finds each forbidden string and says why it is one", ({ expect }) => {
    for (const { text, reason } of FORBIDDEN_STRINGS) {
      const { problems } = bundleProblems(Buffer.from(`const a = 1; ${text}`));
      expect(problems.some((problem) => problem.includes(reason))).toBe(true);
    }
    expect(bundleProblems(Buffer.from("export default {}")).problems).toEqual([]);
  });

  it("holds the ceiling after compression", ({ expect }) => {
    // Random bytes do not compress; gzip adds 23 bytes or so.
    const noise = randomBytes(BUNDLE_CEILING_BYTES).toString("latin1");
    expect(bundleProblems(Buffer.from(noise, "latin1")).problems).toHaveLength(1);
    expect(bundleProblems(Buffer.from(noise.slice(1024), "latin1")).problems).toEqual([]);
    expect(bundleProblems(Buffer.alloc(10 * BUNDLE_CEILING_BYTES, "a")).problems).toEqual([]);
  });
});
