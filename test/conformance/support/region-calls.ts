// What an operator asks the regions of a running gateway, and load that knows what became of each request.
import { until, type RunningRegions } from "../../integration/rig/index.ts";
import { jsonObject, readAnswer, type Answer, type ProblemBody } from "./problems.ts";

/** A request to `/_gateway/<path>` of a region. */
export async function askAdmin(
  gateway: RunningRegions,
  region: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer> {
  const headers = { authorization: `Bearer ${gateway.adminToken}` };
  const text = body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body);
  return readAnswer(await fetch(`${gateway.url(region)}/_gateway/${path}`, { method, headers, body: text }));
}

/** The same where anything but 200 is a failure. */
export async function tellAdmin(
  gateway: RunningRegions,
  region: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<ProblemBody> {
  const answer = await askAdmin(gateway, region, method, path, body);
  if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
  return jsonObject(answer.text);
}

export function setFaults(gateway: RunningRegions, faults: object): Promise<ProblemBody> {
  return tellAdmin(gateway, gateway.regions[0], "PUT", "faults", faults);
}

export interface CounterReading {
  readonly value: number;
  readonly slots: Readonly<Record<string, number>>;
  readonly consistency: string;
  readonly ageMs: number;
  readonly bound: number | null;
}

export async function readCounter(
  gateway: RunningRegions,
  region: string,
  counter: string,
  key: string,
): Promise<CounterReading> {
  const reading = await tellAdmin(gateway, region, "GET", `counters/${counter}?key=${key}`);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the tests hold the values
  return reading as unknown as CounterReading;
}

export function readEverywhere(
  gateway: RunningRegions,
  counter: string,
  key: string,
): Promise<readonly number[]> {
  const { regions } = gateway;
  return Promise.all(regions.map(async (region) => (await readCounter(gateway, region, counter, key)).value));
}

/** Waits until every region reads the same that `holds` takes; gives it. */
export async function settledValue(
  gateway: RunningRegions,
  counter: string,
  key: string,
  timeoutMs: number,
  holds: (value: number) => boolean,
): Promise<number> {
  let values: readonly number[] = [];
  const settled = async (): Promise<boolean> => {
    values = await readEverywhere(gateway, counter, key);
    return values.every((value) => value === values[0]) && holds(values[0]);
  };
  await until(`all regions read the same, not ${values.join(", ")}`, timeoutMs, settled).catch(() => {
    throw new Error(
      `not within ${timeoutMs} ms: every region reads the right value; they read ${values.join()}`,
    );
  });
  return values[0];
}

export interface Increments {
  readonly attempted: number;
  readonly acknowledged: number;
}

/** Adds 1 again and again, `workers` at a time; an addition that fails is not tried again. */
export async function addOnes(
  gateway: RunningRegions,
  region: string,
  counter: string,
  key: string,
  { count, workers }: { readonly count: number; readonly workers: number },
): Promise<Increments> {
  let attempted = 0;
  let acknowledged = 0;
  const work = async (): Promise<void> => {
    while (attempted < count) {
      attempted++;
      const answer = await askAdmin(gateway, region, "POST", `counters/${counter}`, { key, by: 1 }).catch(
        () => null,
      );
      if (answer?.status === 200) acknowledged++;
      // Nobody is there: a client would not hammer either.
      if (answer === null) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  return { attempted, acknowledged };
}

export interface Offered {
  readonly statuses: readonly number[];
  readonly passed: number;
}

/** Offers requests at an even rate, whatever becomes of them. */
export async function offer(
  request: (index: number) => Promise<Response>,
  { perSecond, forMs }: { readonly perSecond: number; readonly forMs: number },
): Promise<Offered> {
  const count = Math.round((perSecond * forMs) / 1000);
  const startedAt = performance.now();
  const asked = Array.from({ length: count }, async (_, index) => {
    const waitMs = startedAt + (index * 1000) / perSecond - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const response = await request(index);
    await response.arrayBuffer();
    return response.status;
  });
  const statuses = await Promise.all(asked);
  return { statuses, passed: statuses.filter((status) => status === 200).length };
}

/** A number of `/_gateway/metrics` of a region's isolate. */
export async function readMetrics(gateway: RunningRegions, region: string): Promise<string> {
  const answer = await askAdmin(gateway, region, "GET", "metrics");
  if (answer.status !== 200) throw new Error(`metrics: ${answer.status} ${answer.text}`);
  return answer.text;
}
