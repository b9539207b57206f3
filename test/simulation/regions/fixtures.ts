// Runs that find a mistake, one that was in the code or one that was made on purpose. Every test run repeats
// them.

export interface Fixture {
  readonly scenario: string;
  readonly seed: number;
  readonly found: string;
}

export const FIXTURES: readonly Fixture[] = [
  { scenario: "calm", seed: 1, found: "claimed cells, and cells of other regions, were never forgotten" },
  { scenario: "joining", seed: 9, found: "a region whose greeting was lost was not greeted again" },
  { scenario: "lost-storage", seed: 7, found: "a boot number was used again after lost storage" },
  { scenario: "silence", seed: 1, found: "a first batch was counted again by a hub that had forgotten it" },
  { scenario: "clocks", seed: 41, found: "an override could not be changed after a restart, clock set back" },
  { scenario: "restarts", seed: 1, found: "a batch was counted again after a restart" },
  { scenario: "restarts", seed: 5, found: "a batch changed between two tries" },
  { scenario: "restarts", seed: 42, found: "rights were given away and not stored" },
  { scenario: "twins", seed: 8, found: "rights were leased and not stored; a value fell after a restart" },
];
