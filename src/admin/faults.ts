// `/_gateway/faults`: faults between the hubs of this machine. Local development alone; elsewhere it does not
// exist. What is set replaces what was set; healing wakes the hubs, so they catch up at once.

import { makeProblem } from "../edge/answer.ts";
import type { Exchange } from "../edge/exchange.ts";
import type { WorkerHub } from "../region/worker-hub.ts";
import { parseFaults } from "../hub/faults.ts";
import { notAnswered, problem, readJson } from "./answers.ts";

export async function putFaults(x: Exchange, request: Request | null): Promise<Response> {
  const { hub, isLocal, regions } = x.engine;
  if (!isLocal || hub === null) return makeProblem(x, "route_not_found", {}, new Headers());
  const body = request === null ? {} : await readJson(request);
  const parsed = parseFaults(body);
  if (parsed.kind === "invalid") return problem(x, "bad_request", `Nothing was set: ${parsed.rule}.`);
  const { faults, abort } = parsed;
  const stranger = unknownRegion(regions, [...faults.partition.flat(), ...abort]);
  if (stranger !== null) {
    const rule = `there is no region ${stranger} here, there are ${regions.join(", ")}`;
    return problem(x, "bad_request", `Nothing was set: ${rule}.`);
  }
  if (!(await hub.ask((stub) => stub.setFaults(faults)))) return notAnswered(x);
  await Promise.all(abort.map((region) => kill(hub, region)));
  const isHealed = faults.partition.length + faults.loss + faults.duplicate + faults.delayMs === 0;
  if (isHealed) await Promise.all(regions.map((region) => wake(hub, region)));
  return Response.json({ ...faults, aborted: abort });
}

/** With one region alone nothing can be cut off, so whatever is named is taken. */
function unknownRegion(regions: readonly string[], named: readonly string[]): string | null {
  if (regions.length < 2) return null;
  return named.find((region) => !regions.includes(region)) ?? null;
}

/** The call of a hub that is killed fails: that is how it is seen to be dead. */
async function kill(hub: WorkerHub, region: string): Promise<void> {
  await hub
    .stub(region)
    .abort()
    .catch(() => {});
}

async function wake(hub: WorkerHub, region: string): Promise<void> {
  await hub
    .stub(region)
    .wake()
    .catch(() => {});
}
