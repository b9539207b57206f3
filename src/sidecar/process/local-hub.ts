// A hub of one, in the process: the production hub and its link, without objects, peers and storage between
// them. It keeps what only a hub can: usage counters, shared limits, what an operator forces. The loops of
// upstreams stay the engine's own: this process sees every call there is, and a second opinion that comes
// once a second could only be later.

import type { Hub } from "../../hub/hub.ts";
import { NOTHING_STORED, bootHub } from "../../hub/hub.ts";
import { describeHub } from "../../hub/description.ts";
import { announceUse } from "../../hub/membership.ts";
import { readOverrides, writeOverride } from "../../hub/overrides.ts";
import { beginRound } from "../../hub/rounds.ts";
import { takeCommit } from "../../hub/storage.ts";
import { serveSync, snapshotOf } from "../../hub/sync.ts";
import { addUsage, readUsage } from "../../hub/usage.ts";
import type { HubStub } from "../../region/worker-hub.ts";
import { WorkerHub } from "../../region/worker-hub.ts";

/** What is over expires this often. */
const ROUND_MS = 1_000;
/** The one region that there is. */
export const LOCAL_REGION = "local";

export interface LocalHub {
  readonly hub: WorkerHub;
  stop(): void;
}

export function startLocalHub(config: string): LocalHub {
  const hub = bootHub(LOCAL_REGION, 0, NOTHING_STORED, Date.now());
  announceUse(hub, Date.now());
  const stub = stubOf(hub);
  const timer = setInterval(() => {
    beginRound(hub, [], ROUND_MS, Date.now());
    forgetUnstored(hub);
  }, ROUND_MS);
  timer.unref();
  const namespace = { idFromName: (name: string) => name, get: () => stub };
  return {
    hub: new WorkerHub({ hubs: namespace, ledgers: null }, LOCAL_REGION, crypto.randomUUID(), config),
    stop: () => clearInterval(timer),
  };
}

function stubOf(hub: Hub): HubStub {
  const serve = <Answer>(act: (now: number) => Answer): Promise<Answer> => {
    const answer = act(Date.now());
    forgetUnstored(hub);
    return Promise.resolve(answer);
  };
  return {
    sync: (request) => serve((now) => serveSync(hub, request, now)),
    add: (counter, key, by) => serve((now) => ({ kind: addUsage(hub, counter, key, by, now) })),
    read: (counter, key) => serve((now) => readUsage(hub, counter, key, ROUND_MS, now)),
    override: (upstream, terms) =>
      serve((now) => ({ kind: writeOverride(hub, upstream, terms, now) ? "written" : "malformed" })),
    overrides: () => serve((now) => readOverrides(hub, now)),
    describe: (session) => serve((now) => describeHub(hub, now, session)),
    metrics: () => serve(() => [...hub.metrics]),
    snapshot: () => serve((now) => snapshotOf(hub, now)),
    // There is nobody to be cut off from.
    setFaults: () => Promise.resolve(false),
    wake: () => Promise.resolve(),
    abort: () => Promise.resolve(),
  };
}

/** Nothing is stored: what waits for it would only grow. */
function forgetUnstored(hub: Hub): void {
  takeCommit(hub, true);
}
