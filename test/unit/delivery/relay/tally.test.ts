// What a relay tells of itself: each thing once, and what it has counted.

import { describe, expect, it } from "vitest";
import { ALERT_AFTER_MS } from "../../../../src/delivery/core/alert.ts";
import {
  NEW_TALLY,
  describeTally,
  failed,
  tallyLag,
  tallyStep,
  type RelayTally,
} from "../../../../src/delivery/core/relay-tally.ts";
import type { PassReport } from "../../../../src/delivery/relay/connection.ts";
import { NEW_PROGRESS, type RelayStep } from "../../../../src/delivery/relay/step.ts";

function passed(changes: Partial<PassReport> = {}): RelayStep {
  const report = { published: 0, dead: 0, stale: 0, isFull: false, failures: [], refused: [], ...changes };
  return { kind: "passed", progress: NEW_PROGRESS, report };
}

function at(before: RelayTally, rows: number, measuredAt: number) {
  return tallyLag(before, { rows, oldestAgeMs: 7, measuredAt }, 100);
}

describe("a relay", () => {
  it("adds up what its passes did", () => {
    const { tally } = tallyStep(NEW_TALLY, passed({ published: 3, stale: 1, dead: 2 }), 5);
    expect(tallyStep(tally, passed({ published: 4 }), 9).tally).toMatchObject({
      counts: { published: 7, stale: 1, dead: 2, failures: 0 },
      passedAt: 9,
    });
  });

  it("tells once that it fails, and once that it goes on", () => {
    const down: RelayStep = { kind: "database-failed", progress: NEW_PROGRESS, error: "no" };
    const first = tallyStep(NEW_TALLY, down, 1_000);
    expect(first.notices).toEqual([{ kind: "failing", error: "no" }]);
    const second = tallyStep(first.tally, passed({ failures: ["full"] }), 2_000);
    expect(second.notices).toEqual([]);
    expect(second.tally).toMatchObject({ failingSince: 1_000, error: "full", counts: { failures: 2 } });
    const third = tallyStep(second.tally, passed(), 4_000);
    expect(third.notices).toEqual([{ kind: "recovered", afterMs: 3_000 }]);
    expect(third.tally).toMatchObject({ failingSince: null, error: null });
    expect(tallyStep(third.tally, passed(), 5_000).notices).toEqual([]);
  });

  it("names a row that is no event, and does not fail for it", () => {
    const refused = [{ id: "1", error: "payload is not JSON" }];
    const { tally, notices } = tallyStep(
      NEW_TALLY,
      passed({ failures: ["payload is not JSON"], refused }),
      1,
    );
    expect(notices).toEqual([{ kind: "row-refused", ...refused[0] }]);
    expect(tally.failingSince).toBeNull();
  });

  it("raises one alert when much has waited for a minute, and clears it below 0.7 of that", () => {
    const over = at(NEW_TALLY, 101, 0);
    const still = at(over.tally, 500, ALERT_AFTER_MS - 1);
    const raised = at(still.tally, 500, ALERT_AFTER_MS);
    expect([over, still, raised].flatMap(({ notices }) => notices)).toEqual([
      { kind: "lag-alert", lag: 500 },
    ]);
    const above = at(raised.tally, 70, ALERT_AFTER_MS + 1);
    const below = at(above.tally, 69, ALERT_AFTER_MS + 2);
    expect([above, below].flatMap(({ notices }) => notices)).toEqual([
      { kind: "lag-alert-cleared", lag: 69 },
    ]);
  });

  it("is described with the age of its figures", () => {
    expect(describeTally(NEW_TALLY, 10)).toMatchObject({
      lag: null,
      measuredAgeMs: null,
      lastPassAgeMs: null,
    });
    const { tally } = tallyLag(
      failed(NEW_TALLY, "no", 3).tally,
      { rows: 2, oldestAgeMs: 7, measuredAt: 4 },
      1,
    );
    expect(describeTally(tally, 10)).toEqual({
      lag: 2,
      oldestAgeMs: 7,
      measuredAgeMs: 6,
      alert: false,
      failingSince: 3,
      error: "no",
      lastPassAgeMs: null,
      counts: { published: 0, stale: 0, dead: 0, failures: 1 },
    });
  });
});
