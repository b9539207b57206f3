// What JavaScript programs use otherwise, on the same two paths: a call that succeeds through a closed
// breaker, and one that an open breaker refuses. Both are promises by nature; so is the bare await.
import { ConsecutiveBreaker, SamplingBreaker, circuitBreaker, handleAll } from "cockatiel";
import CircuitBreaker from "opossum";

export const PEER_NAMES = [
  "await alone",
  "opossum: call through",
  "cockatiel: call through",
  "opossum: refuse",
  "cockatiel: refuse",
] as const;

export interface AsyncSubject {
  readonly name: (typeof PEER_NAMES)[number];
  readonly run: () => Promise<unknown>;
}

const HOUR_MS = 3_600_000;

const succeed = async (): Promise<number> => 1;
const fail = async (): Promise<never> => {
  throw new Error("failed");
};
const swallow = (): null => null;

export async function createPeers(): Promise<readonly AsyncSubject[]> {
  const closedOpossum = new CircuitBreaker(succeed, { timeout: false });
  const openOpossum = new CircuitBreaker(fail, { timeout: false, resetTimeout: HOUR_MS });
  openOpossum.open();
  const closedCockatiel = circuitBreaker(handleAll, {
    halfOpenAfter: HOUR_MS,
    breaker: new SamplingBreaker({ threshold: 0.5, duration: 10_000, minimumRps: 2 }),
  });
  const openCockatiel = circuitBreaker(handleAll, {
    halfOpenAfter: HOUR_MS,
    breaker: new ConsecutiveBreaker(1),
  });
  await openCockatiel.execute(fail).catch(swallow);
  return [
    { name: "await alone", run: succeed },
    { name: "opossum: call through", run: () => closedOpossum.fire() },
    { name: "cockatiel: call through", run: () => closedCockatiel.execute(succeed) },
    { name: "opossum: refuse", run: () => openOpossum.fire().catch(swallow) },
    { name: "cockatiel: refuse", run: () => openCockatiel.execute(fail).catch(swallow) },
  ];
}
