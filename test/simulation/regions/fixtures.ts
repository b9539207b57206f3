// Runs that found a mistake, in the code or in one that was made on purpose. Every test run repeats them.

export interface Fixture {
  readonly scenario: string;
  readonly seed: number;
  readonly found: string;
}

export const FIXTURES: readonly Fixture[] = [
  { scenario: "calm", seed: 1, found: "claimed cells, and cells of other regions, were never forgotten" },
  { scenario: "restarts", seed: 3, found: "a region whose greeting was lost was not greeted again" },
  { scenario: "restarts", seed: 10, found: "a batch was counted again after a restart" },
  { scenario: "lost-storage", seed: 1, found: "a boot number was used again after lost storage" },
  { scenario: "lost-storage", seed: 38, found: "a durable identity was taken up again after a second loss" },
  { scenario: "twins", seed: 5, found: "rights were leased and not stored; a value fell after a restart" },
  { scenario: "silence", seed: 3, found: "a first batch was counted again by a hub that had forgotten it" },
  { scenario: "everything", seed: 20, found: "an answer left a hub that had failed to store" },
];
