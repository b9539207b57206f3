import { describe, it } from "vitest";
import {
  beginWindow,
  clearWindow,
  createSampleWindow,
  latencyOf,
  noteServed,
} from "../../../src/resilience/sample-window.ts";
import {
  createUsualLatency,
  learnUsual,
  takeAsUsual,
  type UsualLatency,
} from "../../../src/resilience/usual-latency.ts";

const START = 1_000;

/** Learns from windows that each end at a time and have served calls of these latencies. */
function learned(
  windows: readonly (readonly [endsAt: number, latencies: readonly number[]])[],
): UsualLatency {
  const usual = createUsualLatency();
  const window = createSampleWindow();
  beginWindow(window, START, 1);
  for (const [endsAt, latencies] of windows) {
    for (const latencyMs of latencies) noteServed(window, latencyMs, 10);
    learnUsual(usual, window, latencyOf(window, 0.25), endsAt);
    clearWindow(window, endsAt);
  }
  return usual;
}

describe("what an upstream usually takes", () => {
  it("is at first what the slowest answer took: only the fast ones are back", ({ expect }) => {
    expect(learned([[START + 100, [10, 20, 90, 30]]]).baselineMs).toBe(90);
  });

  it("is not less for as long as three times that, however fast the next answers seem", ({ expect }) => {
    const first = [START + 100, [90]] as const;
    const [young, grown] = [START + 269, START + 270].map(
      (endsAt) => learned([first, [endsAt, [10]]]).baselineMs,
    );
    expect([young, grown]).toEqual([90, 90 - 80 / 8]);
  });

  it("keeps the least of the last 30 to 60 seconds", ({ expect }) => {
    const usual = learned([
      [START + 100, [100]],
      [START + 10_000, [20]],
    ]);
    expect(usual.baselineMs).toBe(90);
    const window = createSampleWindow();
    const learnAt = (now: number): boolean => {
      noteServed(window, 500, 10);
      return learnUsual(usual, window, 500, now);
    };
    const turned = [learnAt(START + 20_000), learnAt(START + 30_100), learnAt(START + 60_101)];
    expect(turned).toEqual([false, true, true]);
    expect(usual.baselineMs).toBeGreaterThan(140);
  });

  it("is what is seen now, once it is known that nobody here makes it slow", ({ expect }) => {
    const usual = learned([
      [START + 100, [100]],
      [START + 10_000, [900]],
    ]);
    takeAsUsual(usual);
    expect(usual.baselineMs).toBe(200);
  });
});
