// What may go wrong in a run, by name. A seed draws how much of each and when.

export interface Scenario {
  readonly name: string;
  readonly regions: number;
  readonly isolates: number;
  readonly seconds: number;
  /** Requests per second and isolate. */
  readonly rate: number;
  /** Regions that join only later. */
  readonly joining: number;
  /** Parts of all messages, at most. */
  readonly loss: number;
  readonly duplicate: number;
  readonly late: number;
  readonly skewMs: number;
  /** Times each of these happens, at most. */
  readonly partitions: number;
  readonly hubKills: number;
  readonly isolateKills: number;
  readonly twins: number;
  readonly lostStorages: number;
  readonly clockSteps: number;
  readonly overrides: number;
  /** Parts of alarms that come late or never, at most; parts of timers and answers that isolates lose. */
  readonly alarms: number;
  readonly dropped: number;
  /** Two configurations side by side. */
  readonly mixed: boolean;
  /** New isolates hear nothing of their hub, and then it nothing of them, for so long in the middle. */
  readonly silentMinutes: number;
}

const CALM: Scenario = {
  name: "calm",
  regions: 3,
  isolates: 2,
  seconds: 30,
  rate: 7,
  joining: 0,
  loss: 0,
  duplicate: 0,
  late: 0,
  skewMs: 0,
  partitions: 0,
  hubKills: 0,
  isolateKills: 0,
  twins: 0,
  lostStorages: 0,
  clockSteps: 0,
  overrides: 2,
  alarms: 0,
  dropped: 0,
  mixed: false,
  silentMinutes: 0,
};

export const SCENARIOS: readonly Scenario[] = [
  CALM,
  { ...CALM, name: "bad-network", loss: 0.3, duplicate: 0.2, late: 0.1, partitions: 3, overrides: 4 },
  { ...CALM, name: "restarts", hubKills: 6, isolateKills: 4, loss: 0.05, alarms: 0.2, dropped: 0.05 },
  { ...CALM, name: "clocks", skewMs: 5_000, clockSteps: 8, overrides: 12, loss: 0.05, hubKills: 4 },
  { ...CALM, name: "twins", twins: 4, hubKills: 2, loss: 0.1, duplicate: 0.1, late: 0.02 },
  { ...CALM, name: "lost-storage", lostStorages: 3, hubKills: 2, loss: 0.1, duplicate: 0.2, late: 0.1 },
  { ...CALM, name: "joining", regions: 5, joining: 3, loss: 0.3, partitions: 2, hubKills: 2 },
  { ...CALM, name: "mixed-versions", mixed: true, loss: 0.05, hubKills: 1, overrides: 4 },
  { ...CALM, name: "silence", silentMinutes: 20, rate: 5, hubKills: 2 },
  {
    ...CALM,
    name: "everything",
    regions: 4,
    isolates: 3,
    seconds: 60,
    rate: 5,
    joining: 1,
    loss: 0.2,
    duplicate: 0.1,
    late: 0.05,
    skewMs: 5_000,
    partitions: 3,
    hubKills: 5,
    isolateKills: 5,
    twins: 2,
    clockSteps: 4,
    overrides: 6,
    alarms: 0.2,
    dropped: 0.05,
    mixed: true,
  },
];

export function scenarioNamed(name: string): Scenario {
  const found = SCENARIOS.find((scenario) => scenario.name === name);
  if (found === undefined) throw new Error(`no scenario is called ${name}`);
  return found;
}
