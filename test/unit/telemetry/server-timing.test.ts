// Where the time of a request went.
import { describe, expect, it } from "vitest";
import { serverTiming } from "../../../src/edge/server-timing.ts";
import { RequestTrace } from "../../../src/telemetry/request-trace.ts";

const TRIED = { spanId: "", baseUrl: "", path: "/", target: 0, phase: "closed" };

describe("server-timing", () => {
  it("adds up: line, tries with the pause between them, and the rest", () => {
    const trace = new RequestTrace("", false);
    trace.waitedMs = 30 + 5;
    trace.begin({ ...TRIED, startMs: 1_040, waitedMs: 30 });
    trace.end(1_140, 503, null);
    trace.begin({ ...TRIED, startMs: 1_170, waitedMs: 5 });
    trace.end(1_220, 200, null);
    expect(serverTiming(trace, 1_000, 1_223)).toBe(
      'total;dur=223, queue;dur=35, upstream;dur=150, tries;dur=180;desc="2", gateway;dur=13',
    );
  });

  it("has no tries where none has left", () => {
    const trace = new RequestTrace("", false);
    trace.end(1_005, null, "nothing to end");
    expect(serverTiming(trace, 1_000, 1_002)).toBe(
      'total;dur=2, queue;dur=0, upstream;dur=0, tries;dur=0;desc="0", gateway;dur=2',
    );
  });

  it("counts a try that is still under way", () => {
    const trace = new RequestTrace("", false);
    trace.begin({ ...TRIED, startMs: 1_000, waitedMs: 0 });
    expect(serverTiming(trace, 1_000, 1_050)).toContain("upstream;dur=50");
  });
});
