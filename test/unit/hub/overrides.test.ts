// What an operator forces on an upstream, written in one region and in force in all (C 5: 33).

import { describe, expect, it } from "vitest";
import { MAX_REGISTER_CHARS, writeRegister } from "../../../src/crdt/lww-register.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { nextVersion } from "../../../src/hub/hub.ts";
import {
  MAX_DRAINED_TARGETS,
  MAX_NOTE_CHARS,
  MAX_TARGET_CHARS,
  OVERRIDE_DRIFT_MS,
  overridesInForce,
  readOverrides,
  toOverrideTerms,
  writeOverride,
} from "../../../src/hub/overrides.ts";
import { snapshotOf } from "../../../src/hub/sync.ts";
import { Rows, T0, exchange, metHubs, settle, usedHub } from "./hubs.ts";

const until = T0 + 600_000;

function inForce(hubs: readonly Hub[], now = T0): unknown[] {
  return hubs.map((hub) => overridesInForce(hub, now).up);
}

describe("an override", () => {
  it("is in force in all regions, and the later write wins whichever region it came from", () => {
    const hubs = metHubs(["weur", "enam", "apac"]);
    const [weur, enam] = hubs;
    expect(writeOverride(weur, "up", { until, breaker: "open", note: "first" }, T0)).toBe(true);
    settle(hubs, T0);
    expect(inForce(hubs)).toEqual(hubs.map(() => ({ until, breaker: "open", note: "first" })));
    // Enam's clock is behind; it has seen the first write, and its own comes after it.
    writeOverride(enam, "up", { until, cursor: 300 }, T0 - 5000);
    settle(hubs, T0);
    expect(inForce(hubs)).toEqual(hubs.map(() => ({ until, cursor: 300 })));
    expect(readOverrides(weur, T0).up.concurrent).toEqual([]);
    expect(snapshotOf(weur, T0).overrides).toEqual({ up: { until, cursor: 300 } });
  });

  it("that did not know of the one in force stays visible beside it until somebody writes again", () => {
    const hubs = metHubs(["weur", "enam"]);
    const [weur, enam] = hubs;
    writeOverride(weur, "up", { until, cursor: 1 }, T0);
    writeOverride(enam, "up", { until, cursor: 2 }, T0 + 5);
    settle(hubs, T0 + 10);
    for (const hub of hubs) {
      expect(readOverrides(hub, T0)).toEqual({
        up: {
          until,
          cursor: 2,
          region: "enam",
          at: T0 + 5,
          concurrent: [{ until, cursor: 1, region: "weur", at: T0 }],
        },
      });
    }
    writeOverride(weur, "up", { until, cursor: 3 }, T0 + 20);
    settle(hubs, T0 + 20);
    for (const hub of hubs) expect(readOverrides(hub, T0).up).toMatchObject({ cursor: 3, concurrent: [] });
  });

  it("written twice in one millisecond in two regions is the same one everywhere", () => {
    const hubs = metHubs(["weur", "enam", "apac"]);
    for (const [index, hub] of hubs.entries()) writeOverride(hub, "up", { until, cursor: index }, T0);
    settle(hubs, T0);
    expect(new Set(inForce(hubs).map((terms) => JSON.stringify(terms))).size).toBe(1);
  });

  it("that is cleared is gone everywhere, also over an old copy of it", () => {
    const hubs = metHubs(["weur", "enam"]);
    const [weur, enam] = hubs;
    writeOverride(weur, "up", { until, cursor: 1 }, T0);
    settle(hubs, T0);
    writeOverride(enam, "up", null, T0 + 1);
    writeOverride(enam, "other", null, T0 + 1);
    exchange(weur, enam, T0 + 1);
    expect(inForce(hubs)).toEqual([undefined, undefined]);
    expect(readOverrides(weur, T0)).toEqual({});
    writeOverride(weur, "up", { until, cursor: 4 }, T0 + 2);
    settle(hubs, T0 + 2);
    expect(inForce(hubs)).toEqual([
      { until, cursor: 4 },
      { until, cursor: 4 },
    ]);
  });

  it("ends by itself, and what stood beside it does not come back", () => {
    const hubs = metHubs(["weur", "enam"]);
    writeOverride(hubs[0], "up", { until: T0 + 9000, cursor: 1 }, T0);
    writeOverride(hubs[1], "up", { until: T0 + 5000, cursor: 2 }, T0 + 1);
    settle(hubs, T0 + 1);
    expect(inForce(hubs, T0 + 4999)).toEqual([2, 2].map((cursor) => ({ until: T0 + 5000, cursor })));
    expect(inForce(hubs, T0 + 5000)).toEqual([undefined, undefined]);
    expect(readOverrides(hubs[0], T0 + 5000)).toEqual({});
  });

  it("is there after a restart", () => {
    const rows = new Rows();
    const hub = rows.start("weur", T0);
    writeOverride(hub, "up", { until, drain: ["https://a.test"] }, T0);
    rows.store(hub);
    const again = rows.start("weur", T0);
    expect(inForce([again])).toEqual([{ until, drain: ["https://a.test"] }]);
    expect(writeOverride(again, "up", null, T0 + 1)).toBe(true);
    expect(inForce([again])).toEqual([undefined]);
  });

  it("that is stamped further ahead than clocks may differ is not believed", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    writeOverride(enam, "up", { until: until + OVERRIDE_DRIFT_MS, cursor: 9 }, T0 + OVERRIDE_DRIFT_MS + 1);
    settle([weur, enam], T0);
    expect(inForce([weur])).toEqual([undefined]);
    expect(weur.clock.ms).toBeLessThanOrEqual(T0);
    writeOverride(enam, "near", { until, cursor: 9 }, T0);
    expect(writeOverride(weur, "up", { until, cursor: 1 }, T0 + 1)).toBe(true);
  });

  it("needs a name of an upstream, and room for its text", () => {
    const hub = usedHub("weur");
    const states = [...hub.states.keys()];
    const drain = Array.from({ length: 10 }, () => "x".repeat(MAX_REGISTER_CHARS / 10));
    expect(writeOverride(hub, "not a name", { until, cursor: 1 }, T0)).toBe(false);
    expect(writeOverride(hub, "up", { until, drain }, T0)).toBe(false);
    expect([...hub.states.keys()]).toEqual(states);
    expect(hub.unstored.has("o:up")).toBe(false);
  });
});

describe("a value in a register that no override is", () => {
  const hostile = [
    "",
    "{",
    "null",
    "7",
    '"x"',
    "[]",
    "{}",
    '{"until":"later"}',
    `{"until":${until}.5}`,
    `{"until":${until},"breaker":"half"}`,
    `{"until":${until},"cursor":513}`,
    `{"until":${until},"cursor":-1}`,
    `{"until":${until},"drain":"all"}`,
    `{"until":${until},"drain":[7]}`,
    `{"until":${until},"note":{}}`,
    '{"until":1e999}',
  ];

  it.for(hostile)("counts as none: %s", (value) => {
    const hub = usedHub("weur");
    writeOverride(hub, "up", { until, cursor: 1 }, T0);
    const register = hub.states.get("o:up");
    if (register?.kind !== "lww-register") throw new Error("no register");
    const stamp = { ms: T0 + 1, count: 0 };
    expect(writeRegister(register, "enam.0.0.0", stamp, value, nextVersion(hub, T0))).toBe("written");
    expect(overridesInForce(hub, T0)).toEqual({});
    expect(readOverrides(hub, T0)).toEqual({});
  });

  it("has fields of a later version left out", () => {
    const newer = { until, cursor: 1, weight: 7 };
    expect(toOverrideTerms(newer, until)).toEqual({ until, cursor: 1 });
  });
});

describe("terms", () => {
  it("hold at their bounds and not one past them", () => {
    const target = "t".repeat(MAX_TARGET_CHARS);
    const targets = Array.from({ length: MAX_DRAINED_TARGETS }, () => target);
    const note = "n".repeat(MAX_NOTE_CHARS);
    expect(toOverrideTerms({ cursor: 512, drain: targets, note, breaker: "closed" }, until)).toEqual({
      until,
      cursor: 512,
      drain: targets,
      note,
      breaker: "closed",
    });
    const over = [
      { cursor: 513 },
      { cursor: 0.5 },
      { drain: [...targets, target] },
      { drain: [`${target}t`] },
      { note: `${note}n` },
    ];
    for (const terms of over) expect(toOverrideTerms(terms, until)).toBeNull();
    expect(toOverrideTerms({}, NaN)).toBeNull();
    expect([undefined, null, "x", 7].map((value) => toOverrideTerms(value, until))).toEqual([
      null,
      null,
      null,
      null,
    ]);
  });
});
