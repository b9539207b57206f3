// Runs that failed once, with what they found. They are run with every test.

export interface Fixture {
  readonly scenario: string;
  readonly seed: number;
  readonly found: string;
}

export const FIXTURES: readonly Fixture[] = [
  { scenario: "bad-network", seed: 2, found: "claimed cells of a hub without a book of the limit stayed" },
  { scenario: "bad-network", seed: 20, found: "claimed cells were never forgotten while the key was used" },
  { scenario: "clocks", seed: 4, found: "the same, with clocks apart" },
  { scenario: "lost-storage", seed: 24, found: "a boot number was used again after lost storage" },
  { scenario: "lost-storage", seed: 33, found: "its slot then hid what the new boot counted" },
  { scenario: "joining", seed: 25, found: "a region whose greeting was lost was not greeted again" },
  { scenario: "silence", seed: 59, found: "a first batch was counted again by a hub that had forgotten it" },
  { scenario: "everything", seed: 20, found: "an answer left a hub that had failed to store" },
  { scenario: "lost-storage", seed: 30, found: "a late delta was taken for all that came before it" },
];
