import { fc, test } from "./property.ts";
import { describe, it } from "vitest";
import {
  CLASS_COUNT,
  COHORTS_PER_CLASS,
  LEVEL_COUNT,
  levelOfNobody,
  levelOfUser,
  positionWithinLevel,
} from "../../../src/resilience/level.ts";
import { createRandom, nextRandom, nextUint32 } from "../../../src/resilience/random.ts";

const HOUR_MS = 3_600_000;
const users = Array.from({ length: 12_800 }, (_, index) => `user-${index}@example.com`);

/** Pearson's statistic for counts that should all be equal; its mean is the number of cells less one. */
function unevenness(counts: readonly number[]): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

function spread(values: readonly number[]): number[] {
  const counts = Array.from({ length: COHORTS_PER_CLASS }, () => 0);
  for (const value of values) counts[value % COHORTS_PER_CLASS]++;
  return counts;
}

function draw(seed: number): number[] {
  const random = createRandom(seed);
  return Array.from({ length: 12_800 }, () => nextRandom(random));
}

describe("levels", () => {
  test("a user keeps the level within the hour, in the class it belongs to", () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.nat({ max: CLASS_COUNT - 1 }),
        fc.nat({ max: 500_000 }),
        fc.nat({ max: HOUR_MS - 1 }),
        fc.nat({ max: HOUR_MS - 1 }),
        (user, trafficClass, hour, one, other) => {
          const level = levelOfUser(trafficClass, user, hour * HOUR_MS + one);
          const inClass = Math.floor(level / COHORTS_PER_CLASS) === trafficClass && level < LEVEL_COUNT;
          return inClass && level === levelOfUser(trafficClass, user, hour * HOUR_MS + other);
        },
      ),
    );
  });

  it("gives users other places in the next hour", ({ expect }) => {
    const moved = users.filter((user) => levelOfUser(1, user, 0) !== levelOfUser(1, user, HOUR_MS));
    expect(moved.length / users.length).toBeGreaterThan(0.97);
  });

  it("gives users who stood together in one hour different places in the next", ({ expect }) => {
    const first = levelOfUser(2, users[0], 0);
    const neighbours = users.filter((user) => levelOfUser(2, user, 0) === first);
    const later = new Set(neighbours.map((user) => levelOfUser(2, user, HOUR_MS)));
    expect(neighbours.length).toBeGreaterThan(50);
    expect(later.size).toBeGreaterThan(neighbours.length / 3);
  });

  it("spreads users evenly, hour after hour", ({ expect }) => {
    // 127 degrees of freedom: above 210 once in 200,000 draws.
    for (let hour = 495_000; hour < 495_020; hour++) {
      const levels = users.map((user) => levelOfUser(0, user, hour * HOUR_MS));
      expect(unevenness(spread(levels))).toBeLessThan(210);
    }
  });

  it("spreads addresses that differ in their last digits evenly", ({ expect }) => {
    const addresses = Array.from({ length: 12_800 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
    const levels = addresses.map((address) => levelOfUser(3, address, 0));
    expect(unevenness(spread(levels))).toBeLessThan(210);
  });

  it("spreads requests of nobody evenly", ({ expect }) => {
    const random = createRandom(5);
    const levels = users.map(() => levelOfNobody(2, nextUint32(random)));
    expect(unevenness(spread(levels))).toBeLessThan(210);
    expect(Math.min(...levels)).toBeGreaterThanOrEqual(2 * COHORTS_PER_CLASS);
    expect(Math.max(...levels)).toBeLessThan(3 * COHORTS_PER_CLASS);
  });

  it("places requests within a level evenly in [0, 1)", ({ expect }) => {
    const positions = users.map((user) => positionWithinLevel(user));
    expect(Math.min(...positions)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...positions)).toBeLessThan(1);
    expect(unevenness(spread(positions.map((position) => Math.floor(position * 128))))).toBeLessThan(210);
  });
});

describe("random", () => {
  it("repeats itself from a seed, differs between seeds, and is uniform", ({ expect }) => {
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    for (const seed of [0, 1, 0xffffffff, -5]) {
      const cells = draw(seed).map((value) => Math.floor(value * 128));
      expect(unevenness(spread(cells))).toBeLessThan(210);
    }
  });
});
