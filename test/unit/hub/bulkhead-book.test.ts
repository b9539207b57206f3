import * as fc from "fast-check";
import { describe, it } from "vitest";
import { MAX_BULKHEADS, answerBulkheadAsk } from "../../../src/hub/bulkhead-book.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { NOTHING_STORED, bootHub } from "../../../src/hub/hub.ts";
import { SHARE_MS } from "../../../src/hub/load-shares.ts";

const NOW = 1_800_000_000_000;

function ask(hub: Hub, isolate: string, inUse: number, waiting = 0, now = NOW, name = "route:pay"): number {
  return answerBulkheadAsk(hub, isolate, { name, max: 10, inUse, waiting }, now)?.limit ?? -1;
}

describe("a bulkhead that a region shares", () => {
  it("is a single isolate's whole", ({ expect }) => {
    const hub = bootHub("weur", 0, NOTHING_STORED, NOW);
    expect(ask(hub, "one", 3)).toBe(10);
    expect(ask(hub, "one", 10, 5)).toBe(10);
  });

  it("gives everybody all that is free while there is room", ({ expect }) => {
    const hub = bootHub("weur", 0, NOTHING_STORED, NOW);
    ask(hub, "one", 4);
    expect(ask(hub, "two", 0)).toBe(6);
    expect(ask(hub, "one", 4)).toBe(10);
  });

  it("is divided by what each asks for when there is not", ({ expect }) => {
    const hub = bootHub("weur", 0, NOTHING_STORED, NOW);
    ask(hub, "one", 10, 5);
    expect(ask(hub, "two", 5)).toBe(3);
    expect(ask(hub, "one", 10, 5)).toBe(8);
  });

  it("comes back from isolates that are silent", ({ expect }) => {
    const hub = bootHub("weur", 0, NOTHING_STORED, NOW);
    ask(hub, "one", 10);
    expect(ask(hub, "two", 1)).toBe(1);
    expect(ask(hub, "two", 1, 0, NOW + SHARE_MS + 1)).toBe(10);
  });

  it("follows a bounded number of them, and those that are in use first", ({ expect }) => {
    const hub = bootHub("weur", 0, NOTHING_STORED, NOW);
    for (let index = 0; index < MAX_BULKHEADS; index++) ask(hub, "one", 1, 0, NOW, `route:${index}`);
    expect(ask(hub, "one", 1, 0, NOW, "route:new")).toBe(-1);
    expect(ask(hub, "one", 1, 0, NOW + SHARE_MS + 1, "route:new")).toBe(10);
  });

  it("never gives an isolate nothing, nor more than there is; crowded, all get the limit between them", ({
    expect,
  }) => {
    const holdings = fc.array(fc.record({ inUse: fc.nat(50), waiting: fc.nat(50) }), {
      minLength: 1,
      maxLength: 20,
    });
    fc.assert(
      fc.property(holdings, (isolates) => {
        const hub = bootHub("weur", 0, NOTHING_STORED, NOW);
        for (const [index, { inUse, waiting }] of isolates.entries()) ask(hub, `i${index}`, inUse, waiting);
        const limits = isolates.map(({ inUse, waiting }, index) => ask(hub, `i${index}`, inUse, waiting));
        const total = isolates.reduce((sum, { inUse, waiting }) => sum + inUse + waiting, 0);
        const given = limits.reduce((sum, limit) => sum + limit, 0);
        expect(Math.min(...limits)).toBeGreaterThanOrEqual(1);
        expect(Math.max(...limits)).toBeLessThanOrEqual(10);
        if (total > 10) expect(given).toBeLessThanOrEqual(10 + isolates.length);
      }),
    );
  });
});
