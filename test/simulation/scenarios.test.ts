// Short runs of overload scenarios that no other test has, and the judge of them all. The whole table is made
// by `npm run scenarios`.

import { describe, it } from "vitest";
import { fleet } from "./harness/fleet.ts";
import { LevelWitness } from "./harness/level-witness.ts";
import { region } from "./harness/region.ts";
import { LARGE_UPSTREAM, outage, steadyLoad } from "./harness/scenarios.ts";
import { tidegate } from "./harness/tidegate-policy.ts";
import { ISOLATE_START_LIMIT } from "../../src/resilience/concurrency-limit.ts";
import { createShedLoop } from "../../src/resilience/cursor.ts";
import { ENTRIES, KNOWN_TO_BE_MET } from "./scenarios/all.ts";
import type { Entry, Measure, Row } from "./scenarios/row.ts";
import { atLeast, atMost, never, rowOf, told } from "./scenarios/row.ts";
import { successPicture } from "./scenarios/pictures.ts";
import { summaryOf, tableOf, withTable } from "./scenarios/table.ts";

const SEEDS = [1, 2];
const SHORT = [
  "S1.1",
  "S1.6",
  "S3.2",
  "S4.2",
  "S4.4",
  "S6.4",
  "S8.3",
  "S9.1",
  "S12.1",
  "S12.3",
  "S12.5",
  "S14.2",
];

describe("scenarios", () => {
  it.for(ENTRIES.filter(({ id }) => SHORT.includes(id)))("$id is met: $what", (entry, { expect }) => {
    const row = rowOf(entry, { seeds: SEEDS, isShort: true });
    expect(row.verdict, `seeds ${SEEDS.join(", ")}: ${row.measured}`).toBe("met");
  });

  it("have names of their own, and the ones known to be met exist", ({ expect }) => {
    const ids = ENTRIES.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(SHORT.filter((id) => !ids.includes(id))).toEqual([]);
    expect([...KNOWN_TO_BE_MET].filter((id) => !ids.includes(id))).toEqual([]);
  });

  it("cover S1 to S15", ({ expect }) => {
    const numbers = new Set(ENTRIES.map(({ id }) => id.slice(1).split(".")[0]));
    expect([...numbers]).toEqual(Array.from({ length: 15 }, (_, index) => String(index + 1)));
  });
});

describe("lost requests", () => {
  it("hold permits until those expire, and no longer", ({ expect }) => {
    const load = { seed: 3, upstream: LARGE_UPSTREAM, durationMs: 20_000, cancelled: 0.02 };
    const result = steadyLoad({ ...load, policy: tidegate() }, 0.5);
    const lost = result.classes.reduce((sum, { endings }) => sum + (endings.cancelled ?? 0), 0);
    const last = result.seconds[19].reading.inflight;
    const usual = steadyLoad({ ...load, policy: tidegate(), cancelled: 0 }, 0.5).seconds[19].reading.inflight;
    expect(lost).toBeGreaterThan(50);
    expect(last).toBeGreaterThan(usual + 20);
    expect(result.permitsLeaked).toBe(0);
  });
});

describe("an overload", () => {
  it("sheds nobody while it lets somebody less important pass", ({ expect }) => {
    for (const times of [1, 3, 10]) {
      const result = steadyLoad({ policy: tidegate(), seed: 5, durationMs: 20_000 }, times);
      expect(result.levelBreaches, `${times}x`).toBe(0);
      if (times > 1) expect(result.classes[2].endings.shed, `${times}x`).toBeGreaterThan(100);
    }
  });
});

describe("a fleet", () => {
  it("replaces its isolates and forgets nothing of what they did", ({ expect }) => {
    const policy = fleet(tidegate(), { isolates: 4, churn: 0.25 });
    const result = steadyLoad({ policy, seed: 1, durationMs: 10_000 }, 0.5);
    for (const { offered, ok } of result.classes) expect(ok).toBe(offered);
    expect(result.policy).toBe("4 x tidegate");
    expect(result.seconds[9].reading.limit).toBe(4 * ISOLATE_START_LIMIT);
    const again = steadyLoad({ policy, seed: 1, durationMs: 10_000 }, 0.5);
    expect(again).toEqual(result);
  });
});

describe("a region", () => {
  it("goes on through new isolates and a hub that begins anew, the same way each time", ({ expect }) => {
    const policy = region({ isolates: 4, churn: 0.25, hubRestartsAtMs: 5000 });
    const result = steadyLoad({ policy, seed: 1, durationMs: 10_000 }, 0.5);
    for (const { offered, ok } of result.classes) expect(ok).toBe(offered);
    expect(result.policy).toBe("region of 4");
    expect(result.permitsLeaked).toBe(0);
    expect(steadyLoad({ policy, seed: 1, durationMs: 10_000 }, 0.5)).toEqual(result);
  });

  it("tells how its breaker moves, over a restart of its hub, too", ({ expect }) => {
    const load = { seed: 1, upstream: LARGE_UPSTREAM };
    const changes = [undefined, 25_000].map((hubRestartsAtMs) => {
      const policy = region({ isolates: 4, ...(hubRestartsAtMs !== undefined && { hubRestartsAtMs }) });
      return outage({ ...load, policy }, 100).regionChanges.filter(({ atMs }) => atMs < 25_000);
    });
    expect(changes[0][0]).toMatchObject({ from: "closed", to: "open" });
    expect(changes[1]).toEqual(changes[0]);
  });
});

describe("the witness of levels", () => {
  it("counts who was shed although a less important one had passed, and the other way round", ({
    expect,
  }) => {
    const witness = new LevelWitness();
    const loop = createShedLoop();
    for (const [level, passes] of [
      [300, false],
      [100, true],
      [300, true],
    ] as const) {
      witness.see(loop, level, passes);
    }
    expect(witness.breaches).toBe(0);
    witness.see(loop, 200, false);
    expect(witness.breaches).toBe(1);
    witness.see(loop, 250, true);
    expect(witness.breaches).toBe(2);
    loop.cursor = 150;
    witness.see(loop, 200, false);
    expect(witness.breaches).toBe(2);
  });
});

function entryOf(measures: readonly Measure[]): Entry {
  return { id: "S0", what: "x", measure: () => measures };
}

function judge(...measures: Measure[]): Row {
  return rowOf(entryOf(measures), { seeds: [1, 2, 3], isShort: true });
}

describe("a row", () => {
  it("judges shares and times by the median, and says by how much they miss", ({ expect }) => {
    const share = atLeast("P0", "share", 0.999, [0.95, 0.9992, 1]);
    expect(judge(share)).toMatchObject({
      measured: "P0 99.92 % (95.00 % to 100.00 %)",
      line: "P0 at least 99.90 %",
      verdict: "met",
    });
    expect(judge(share, atMost("open", "seconds", 3, [8, 6, 4])).measured).toContain(
      "open 6.0 s (4.0 s to 8.0 s), **missed by 100 %**",
    );
    expect(judge(atMost("open", "seconds", 3, [8, 6, 4])).verdict).toBe("missed");
  });

  it("judges what must never be by the worst run, and does not judge what is only told", ({ expect }) => {
    expect(judge(never("leaks", [0, 0, 1])).verdict).toBe("missed");
    expect(judge(never("leaks", [0, 0, 0]), told("seen", "count", [9, 9, 9])).verdict).toBe("met");
  });

  it("says that what never ends is missed, and that too few hours prove nothing", ({ expect }) => {
    const endless = judge(
      atMost("back", "seconds", 5, [Number.POSITIVE_INFINITY, 1, Number.POSITIVE_INFINITY]),
    );
    expect(endless).toMatchObject({ verdict: "missed", measured: "back never (1.0 s to never), **missed**" });
    expect(judge(told("seen", "count", [1, 2, 3])).verdict).toBe("not covered");
    expect(judge(atMost("opens", "rate", 0.001, [0.1, 0.1, 0.2])).measured).toContain(
      "**missed, 100 times as much**",
    );
    const few = { ...never("opens", [0, 0, 0]), isConclusive: false };
    expect(judge(few).verdict).toBe("not covered");
    expect(judge({ ...few, values: [0, 1, 0] }).verdict).toBe("missed");
    expect(rowOf({ ...entryOf([]), note: "elsewhere" }, { seeds: [1], isShort: true }).verdict).toBe(
      "not covered",
    );
  });

  it("stands in the document between its markers", ({ expect }) => {
    const row = judge(never("leaks", [0, 0, 0]));
    const before = "a\n<!-- scenarios -->\nold\n<!-- /scenarios -->\nb";
    const after = withTable(before, tableOf([row]));
    expect(after).toMatch(
      /^a\n<!-- scenarios -->\n\n\| \|[\s\S]*\| S0 \| x \| met \|[\s\S]*<!-- \/scenarios -->\nb$/,
    );
    expect(after).not.toContain("old");
    expect(withTable(after, tableOf([row]))).toBe(after);
    expect(() => withTable("no markers", "")).toThrow(/no <!-- scenarios -->/);
    expect(summaryOf([row])).toBe("1 rows: 1 met, 0 missed, 0 not covered. Met in every row: S0.");
  });
});

describe("a picture", () => {
  it("is well-formed and puts more success higher", ({ expect }) => {
    const picture = successPicture([
      { times: 0.5, shares: [1, 1, 1] },
      { times: 10, shares: [1, 0.5, 0] },
    ]);
    expect(picture.match(/<(\w+)[^>/]*>/g)?.length).toBeGreaterThan(5);
    const heights = [...picture.matchAll(/points="[\d.]+,([\d.]+) [\d.]+,([\d.]+)"/g)].map(([, , to]) =>
      Number(to),
    );
    expect(heights).toEqual(heights.toSorted((one, other) => one - other));
    expect(heights).toHaveLength(3);
  });
});
