import { describe, it } from "vitest";
import type { Bulkhead } from "../../../src/resilience/bulkhead.ts";
import {
  createBulkhead,
  enterBulkhead,
  leaveBulkhead,
  resizeBulkhead,
  stopWaiting,
  waitAtBulkhead,
} from "../../../src/resilience/bulkhead.ts";
import { NO_PERMIT } from "../../../src/resilience/permits.ts";
import type { Waiter } from "../../../src/resilience/waiting-line.ts";
import { CROWDED_MS, takeBusyMs } from "../../../src/resilience/waiting-line.ts";
import { fc, test } from "./property.ts";

const TTL_MS = 10_000;

function bulkheadOf(max: number, waiting: number): Bulkhead {
  return createBulkhead({ max, waiting, maxWaitMs: 100, permitTtlMs: TTL_MS });
}

/** Puts requests in line and notes in which order they are settled, as `name` or `!name` for a refusal. */
class Desk {
  readonly bulkhead: Bulkhead;
  readonly settled: string[] = [];
  readonly permits: number[] = [];

  constructor(bulkhead: Bulkhead) {
    this.bulkhead = bulkhead;
  }

  wait(name: string, trafficClass: number, now: number, deadline = now + 1000): Waiter | null {
    return waitAtBulkhead(this.bulkhead, trafficClass, deadline, now, (permit) => {
      this.settled.push(permit === NO_PERMIT ? `!${name}` : name);
      if (permit !== NO_PERMIT) this.permits.push(permit);
    });
  }
}

describe("random schedules", () => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constant("arrive" as const), trafficClass: fc.nat({ max: 3 }) }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("leave" as const), pick: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("give up" as const), pick: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.nat({ max: 80 }) }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant("resize" as const), limit: fc.integer({ min: 0, max: 8 }) }),
    },
  );

  interface Entry {
    readonly trafficClass: number;
    waiter: Waiter | null;
    state: "waiting" | "holding" | "refused";
    permit: number;
  }

  test("none is refused room while a less important one waits, and each is settled once", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.nat({ max: 6 }),
        fc.array(step, { maxLength: 150 }),
        (max, waiting, schedule) => {
          const bulkhead = bulkheadOf(max, waiting);
          const entries: Entry[] = [];
          let now = 0;
          let limit = max;
          let fair = true;
          const waits = (entry: Entry): boolean => entry.state === "waiting" && entry.waiter !== null;
          const refuse = (entry: Entry): void => {
            entry.state = "refused";
            const inTime = entry.waiter === null || entry.waiter.deadline > now;
            if (inTime && entries.some((other) => waits(other) && other.trafficClass > entry.trafficClass)) {
              fair = false;
            }
          };
          // Who has just got in: below the limit, or as the most important class below the ceiling.
          const checkRoom = (trafficClass: number): void => {
            const most = trafficClass === 0 ? Math.max(limit, max) : limit;
            if (bulkhead.permits.inUse > most) fair = false;
          };
          const arrive = (trafficClass: number): void => {
            const entry: Entry = { trafficClass, waiter: null, state: "waiting", permit: NO_PERMIT };
            const permit = enterBulkhead(bulkhead, now, trafficClass);
            entries.push(entry);
            if (permit !== NO_PERMIT) {
              checkRoom(trafficClass);
              entry.state = "holding";
              entry.permit = permit;
              return;
            }
            entry.waiter = waitAtBulkhead(bulkhead, trafficClass, now + 100, now, (granted) => {
              if (entry.state !== "waiting") fair = false;
              if (granted !== NO_PERMIT) checkRoom(trafficClass);
              if (granted === NO_PERMIT) refuse(entry);
              else Object.assign(entry, { state: "holding", permit: granted });
            });
            if (entry.waiter === null) refuse(entry);
          };
          const tick = (ms: number): void => {
            now += ms;
            for (const entry of entries) {
              const isLate = waits(entry) && (entry.waiter?.deadline ?? 0) <= now;
              if (isLate && entry.waiter !== null && stopWaiting(bulkhead, entry.waiter, now)) {
                entry.state = "refused";
              }
            }
          };
          const run = (action: typeof step extends fc.Arbitrary<infer T> ? T : never): void => {
            const holders = entries.filter((entry) => entry.state === "holding");
            const waiters = entries.filter((entry) => waits(entry));
            if (action.kind === "arrive") arrive(action.trafficClass);
            else if (action.kind === "wait") tick(action.ms);
            else if (action.kind === "resize") resizeBulkhead(bulkhead, (limit = action.limit), now);
            else if (action.kind === "leave" && holders.length > 0) {
              const entry = holders[action.pick % holders.length];
              entry.state = "refused";
              leaveBulkhead(bulkhead, entry.permit, now);
            } else if (action.kind === "give up" && waiters.length > 0) {
              const entry = waiters[action.pick % waiters.length];
              entry.state = "refused";
              if (entry.waiter !== null) stopWaiting(bulkhead, entry.waiter, now);
            }
          };
          return schedule.every((action) => {
            run(action);
            const holding = entries.filter((entry) => entry.state === "holding").length;
            const inLine = entries.filter((entry) => waits(entry)).length;
            const { inUse } = bulkhead.permits;
            const roomLeft = inLine > 0 && inUse < limit;
            // The most important class may pass so small a limit by four, below the ceiling.
            const criticalWaits = entries.some((entry) => waits(entry) && entry.trafficClass === 0);
            const criticalRoomLeft = criticalWaits && inUse < Math.min(max, limit + 4);
            return (
              fair &&
              holding === inUse &&
              inLine === bulkhead.line.length &&
              inLine <= waiting &&
              !criticalRoomLeft &&
              !roomLeft
            );
          });
        },
      ),
      { numRuns: 1000 },
    );
  });
});

/** Fills a line of three at 0 and says who is served when a permit comes back. */
function servedFirst(serveAt: number): string[] {
  const desk = new Desk(bulkheadOf(1, 3));
  const permit = enterBulkhead(desk.bulkhead, 0, 1);
  for (const name of ["old", "middle", "new"]) desk.wait(name, 1, 0);
  leaveBulkhead(desk.bulkhead, permit, serveAt);
  return desk.settled;
}

describe("who goes first", () => {
  it("cockatiel: refuses beyond its line; who gave up is skipped and the next one goes", ({ expect }) => {
    const desk = new Desk(bulkheadOf(1, 2));
    const permit = enterBulkhead(desk.bulkhead, 0, 1);
    const first = desk.wait("a", 1, 0);
    desk.wait("b", 1, 0);
    expect(desk.wait("c", 1, 0)).toBeNull();
    if (first !== null) stopWaiting(desk.bulkhead, first, 1);
    leaveBulkhead(desk.bulkhead, permit, 2);
    expect(desk.settled).toEqual(["b"]);
  });

  it("hands a permit to the waiter whose turn it is before anybody new can take it", ({ expect }) => {
    const desk = new Desk(bulkheadOf(1, 2));
    const permit = enterBulkhead(desk.bulkhead, 0, 1);
    desk.wait("a", 3, 0);
    leaveBulkhead(desk.bulkhead, permit, 1);
    expect(desk.settled).toEqual(["a"]);
    expect(enterBulkhead(desk.bulkhead, 1, 1)).toBe(NO_PERMIT);
  });

  it("calls the more important class first, within a class the oldest", ({ expect }) => {
    const desk = new Desk(bulkheadOf(1, 8));
    let permit = enterBulkhead(desk.bulkhead, 0, 1);
    for (const [name, trafficClass] of [
      ["c1", 2],
      ["a1", 0],
      ["b1", 1],
      ["a2", 0],
      ["c2", 2],
    ] as const) {
      desk.wait(name, trafficClass, 0);
    }
    for (let turn = 0; turn < 5; turn++) {
      leaveBulkhead(desk.bulkhead, permit, 1);
      permit = desk.permits[turn];
    }
    expect(desk.settled).toEqual(["a1", "a2", "b1", "c1", "c2"]);
  });

  it("a full line evicts the newest of its least important class", ({ expect }) => {
    const desk = new Desk(bulkheadOf(0, 3));
    for (const name of ["c1", "c2"]) desk.wait(name, 2, 0);
    desk.wait("b1", 1, 0);
    expect(desk.wait("c3", 2, 1)).toBeNull();
    expect(desk.wait("a1", 0, 1)).not.toBeNull();
    expect(desk.settled).toEqual(["!c2"]);
  });

  it("newest first once a single class has crowded the line for a tenth of a second", ({ expect }) => {
    expect(servedFirst(CROWDED_MS)).toEqual(["old"]);
    expect(servedFirst(CROWDED_MS + 1)).toEqual(["new"]);
  });

  it("a class that passes through a line crowded by others keeps its order", ({ expect }) => {
    const desk = new Desk(bulkheadOf(1, 4));
    const permit = enterBulkhead(desk.bulkhead, 0, 1);
    for (const name of ["c1", "c2", "c3", "c4"]) desk.wait(name, 2, 0);
    desk.wait("a1", 0, 150);
    desk.wait("a2", 0, 160);
    leaveBulkhead(desk.bulkhead, permit, 170);
    leaveBulkhead(desk.bulkhead, desk.permits[0], 180);
    expect(desk.settled).toEqual(["!c4", "!c3", "a1", "a2"]);
  });

  it("drops those whose deadline has passed, and settles them", ({ expect }) => {
    const desk = new Desk(bulkheadOf(1, 4));
    const permit = enterBulkhead(desk.bulkhead, 0, 1);
    desk.wait("late", 0, 0, 50);
    desk.wait("in time", 1, 0, 500);
    leaveBulkhead(desk.bulkhead, permit, 60);
    expect(desk.settled).toEqual(["!late", "in time"]);
  });

  it("resilience4j: raising the capacity lets waiters in at once", ({ expect }) => {
    const desk = new Desk(bulkheadOf(0, 4));
    for (const name of ["a", "b", "c"]) desk.wait(name, 1, 0);
    resizeBulkhead(desk.bulkhead, 2, 1);
    expect(desk.settled).toEqual(["a", "b"]);
  });

  it("resilience4j: waits for nobody with a line of no places", ({ expect }) => {
    expect(new Desk(bulkheadOf(0, 0)).wait("a", 0, 0)).toBeNull();
  });

  it("an expired permit lets the next one in when somebody asks", ({ expect }) => {
    const desk = new Desk(bulkheadOf(1, 2));
    enterBulkhead(desk.bulkhead, 0, 1);
    desk.wait("a", 1, TTL_MS - 10);
    expect(enterBulkhead(desk.bulkhead, TTL_MS, 1)).toBe(NO_PERMIT);
    expect(desk.settled).toEqual(["a"]);
  });
});

describe("how long somebody stood in line", () => {
  it("counts each ms once, however many wait and however often it is asked", ({ expect }) => {
    const desk = new Desk(bulkheadOf(0, 4));
    const { line } = desk.bulkhead;
    const first = desk.wait("a", 1, 100);
    const second = desk.wait("b", 1, 150);
    expect(takeBusyMs(line, 200)).toBe(100);
    if (first !== null) stopWaiting(desk.bulkhead, first, 250);
    if (second !== null) stopWaiting(desk.bulkhead, second, 300);
    expect(takeBusyMs(line, 400)).toBe(100);
    expect(takeBusyMs(line, 500)).toBe(0);
  });
});
