import { describe, it } from "vitest";
import {
  MAX_PERMITS,
  NO_PERMIT,
  createPermits,
  hasRoom,
  reclaimExpired,
  returnPermit,
  takePermit,
} from "../../../src/resilience/permits.ts";
import { fc, test } from "./property.ts";

const TTL_MS = 1000;
/** After so many uses of a slot its tokens come again. */
const STAMPS = 65_536;

type Step =
  | { readonly kind: "take"; readonly ttlMs: number }
  | { readonly kind: "return"; readonly pick: number }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "resize"; readonly limit: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constant("take" as const), ttlMs: fc.integer({ min: 1, max: 2000 }) }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("return" as const), pick: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.nat({ max: 1500 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("resize" as const), limit: fc.nat({ max: 40 }) }) },
  ),
  { maxLength: 200 },
);

describe("permits", () => {
  test("are never lost, doubled or handed out beyond the limit, whatever expires or comes back late", () => {
    fc.assert(
      fc.property(fc.nat({ max: 20 }), steps, (firstLimit, schedule) => {
        const permits = createPermits(firstLimit);
        /** All tokens ever given, with their ends; those that came back are gone. */
        const given: { token: number; endsAt: number }[] = [];
        let limit = firstLimit;
        let now = 1_800_000_000_000;
        const alive = (): number => given.filter((permit) => permit.endsAt > now).length;
        return schedule.every((step) => {
          switch (step.kind) {
            case "wait":
              now += step.ms;
              break;
            case "resize":
              limit = step.limit;
              permits.limit = limit;
              break;
            case "take": {
              const before = alive();
              const token = takePermit(permits, now, step.ttlMs);
              if ((token !== NO_PERMIT) !== before < limit) return false;
              if (given.some((permit) => permit.token === token && permit.endsAt > now)) return false;
              if (token !== NO_PERMIT) given.push({ token, endsAt: now + step.ttlMs });
              break;
            }
            case "return": {
              if (given.length === 0) return true;
              const [permit] = given.splice(step.pick % given.length, 1);
              const inUse = permits.inUse;
              const cameBack = returnPermit(permits, permit.token);
              if (permit.endsAt > now && !cameBack) return false;
              if (permits.inUse !== inUse - (cameBack ? 1 : 0)) return false;
              if (returnPermit(permits, permit.token)) return false;
              break;
            }
          }
          return permits.inUse >= alive();
        });
      }),
      { numRuns: 1000 },
    );
  });

  it("resilience4j: a capacity of zero refuses all", ({ expect }) => {
    expect(takePermit(createPermits(0), 0, TTL_MS)).toBe(NO_PERMIT);
  });

  it("resilience4j: a permit is returned once", ({ expect }) => {
    const permits = createPermits(2);
    const token = takePermit(permits, 0, TTL_MS);
    expect([returnPermit(permits, token), returnPermit(permits, token)]).toEqual([true, false]);
    expect(permits.inUse).toBe(0);
  });

  it("a permit whose holder never comes back is taken back when room is needed", ({ expect }) => {
    const permits = createPermits(1);
    const lost = takePermit(permits, 0, TTL_MS);
    expect(takePermit(permits, TTL_MS - 1, TTL_MS)).toBe(NO_PERMIT);
    const next = takePermit(permits, TTL_MS, TTL_MS);
    expect(next).not.toBe(NO_PERMIT);
    expect(returnPermit(permits, lost)).toBe(false);
    expect(permits.inUse).toBe(1);
  });

  it("the first slot can expire at time zero's clock as at any other", ({ expect }) => {
    const permits = createPermits(1);
    takePermit(permits, -TTL_MS, TTL_MS / 2);
    reclaimExpired(permits, 0);
    expect(permits.inUse).toBe(0);
  });

  it("resilience4j: a lower limit waits for its holders, a higher one takes effect at once", ({ expect }) => {
    const permits = createPermits(3);
    const tokens = [1, 2, 3].map(() => takePermit(permits, 0, TTL_MS));
    permits.limit = 1;
    returnPermit(permits, tokens[0]);
    expect(hasRoom(permits, 0)).toBe(false);
    returnPermit(permits, tokens[1]);
    returnPermit(permits, tokens[2]);
    expect(hasRoom(permits, 0)).toBe(true);
    permits.limit = 3;
    expect([1, 2, 3, 4].map(() => takePermit(permits, 0, TTL_MS) !== NO_PERMIT)).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });

  it("holds as many as a token can name, and not one more", ({ expect }) => {
    const permits = createPermits(MAX_PERMITS + 10);
    const tokens = new Set<number>();
    for (let index = 0; index < MAX_PERMITS; index++) tokens.add(takePermit(permits, 0, TTL_MS));
    expect(tokens.size).toBe(MAX_PERMITS);
    expect(tokens.has(NO_PERMIT)).toBe(false);
    expect(takePermit(permits, 0, TTL_MS)).toBe(NO_PERMIT);
    for (const token of tokens) returnPermit(permits, token);
    expect(permits.inUse).toBe(0);
  });

  it("a token of a slot used many times since is still told apart", ({ expect }) => {
    const permits = createPermits(1);
    const old = takePermit(permits, 0, TTL_MS);
    returnPermit(permits, old);
    for (let use = 0; use < 60_000; use++) returnPermit(permits, takePermit(permits, 0, TTL_MS));
    takePermit(permits, 0, TTL_MS);
    expect(returnPermit(permits, old)).toBe(false);
  });

  it("a slot that has been used more often than there are stamps is still one slot", ({ expect }) => {
    const permits = createPermits(1);
    const first = takePermit(permits, 0, TTL_MS);
    returnPermit(permits, first);
    const sameAgain: number[] = [];
    let isOne = true;
    for (let use = 1; use < 2 * STAMPS; use++) {
      const token = takePermit(permits, 0, TTL_MS);
      if (token === first) sameAgain.push(use);
      isOne &&= returnPermit(permits, token) && !returnPermit(permits, token) && permits.inUse === 0;
    }
    expect(isOne).toBe(true);
    expect(sameAgain).toEqual([STAMPS]);
  });

  it("a full table that empties and fills again gives each slot once", ({ expect }) => {
    const permits = createPermits(MAX_PERMITS);
    const fill = (): number[] => Array.from({ length: MAX_PERMITS }, () => takePermit(permits, 0, TTL_MS));
    const before = fill();
    expect(before.toReversed().every((token) => returnPermit(permits, token))).toBe(true);
    const after = fill();
    expect(new Set(after.map((token) => token % MAX_PERMITS)).size).toBe(MAX_PERMITS);
    expect(before.some((token) => returnPermit(permits, token))).toBe(false);
    expect(takePermit(permits, 0, TTL_MS)).toBe(NO_PERMIT);
  });
});
