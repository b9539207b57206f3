// A dependency that dies, slows and flaps, for callers that know nothing of a sidecar: one that has only set
// a base address, and a program in another language that has only HTTP_PROXY.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, it } from "vitest";
import { startUpstream, until, type RunningUpstream } from "../rig/index.ts";
import { SidecarProcess } from "../rig/sidecar.ts";

const PYTHON = ["python3", "python"].find((name) => spawnSync(name, ["--version"]).status === 0);
const SLOW_MS = 250;
const AT_ONCE = 5;
const HEAL_MS = 20_000;
const FLAP_MS = 1_000;
const FLAPS = 3;

/** For each line it reads: so many calls at once, and a line with their statuses. */
const PYTHON_CALLER = `
import sys, urllib.request, urllib.error
from concurrent.futures import ThreadPoolExecutor
def call(_):
    try:
        with urllib.request.urlopen(urllib.request.Request(sys.argv[1], data=b"1"), timeout=10) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        error.read()
        return error.code
with ThreadPoolExecutor(${AT_ONCE}) as pool:
    for _ in sys.stdin:
        print(" ".join(str(status) for status in pool.map(call, range(${AT_ONCE}))), flush=True)
`;

/** Makes `AT_ONCE` calls at the same time; their statuses. */
type Caller = () => Promise<readonly number[]>;

let dependency: RunningUpstream;
let sidecar: SidecarProcess;
let mode: "well" | "down" | "slow" = "well";
let python: ChildProcess | null = null;

// Anew for each: a breaker remembers how its upstream has flapped.
beforeEach(async () => {
  mode = "well";
  dependency = await startUpstream((message, response) => {
    message.resume();
    if (mode === "down") return void message.socket.destroy();
    setTimeout(() => response.end("done"), mode === "slow" ? SLOW_MS : 0);
  });
  const breaker = {
    slowCall: `${SLOW_MS / 2}ms`,
    openFor: "500ms",
    maxOpenFor: "500ms",
    probes: 2,
    rampUp: "1s",
    window: "3s",
  };
  sidecar = await new SidecarProcess(["--outbound", "127.0.0.1:0", "--admin", "127.0.0.1:0"], {
    upstreams: { dependency: { targets: [dependency.url], retry: false, breaker } },
    routes: [],
  }).ready();
});

afterEach(async () => {
  python?.kill("SIGKILL");
  await sidecar.stop();
  await dependency.stop();
});

async function callOnce(): Promise<number> {
  const headers = { host: "dependency.upstream" };
  const sent = request({ port: sidecar.port("outbound"), method: "POST", path: "/x", headers });
  sent.end("1");
  const [answer] = await once(sent, "response");
  await answer.resume().toArray();
  return answer.statusCode;
}

function byBaseAddress(): Caller {
  return () => Promise.all(Array.from({ length: AT_ONCE }, callOnce));
}

function byProxyVariable(): Caller {
  python = spawn(PYTHON ?? "", ["-c", PYTHON_CALLER, `${dependency.url}/x`], {
    env: { ...process.env, http_proxy: sidecar.url("outbound"), HTTP_PROXY: sidecar.url("outbound") },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const { stdin, stdout } = python;
  if (stdin === null || stdout === null) throw new Error("nothing to write to and to read from");
  const lines = createInterface(stdout)[Symbol.asyncIterator]();
  return async () => {
    stdin.write("go\n");
    const { value } = await lines.next();
    return String(value).split(" ").map(Number);
  };
}

async function phase(): Promise<string> {
  const state: { upstreams: { dependency: { breaker: { phase: string } } } } = JSON.parse(
    await (await fetch(`${sidecar.url("admin")}/state`)).text(),
  );
  return state.upstreams.dependency.breaker.phase;
}

describe.for([
  ["that has only set a base address", true, byBaseAddress],
  ["in another language that has only set HTTP_PROXY", PYTHON !== undefined, byProxyVariable],
] as const)("for a caller %s", ([, exists, start]) => {
  // There is no Python here.
  it.skipIf(!exists)(
    "a dependency is broken, probed and healed",
    { timeout: 120_000 },
    async ({ expect }) => {
      const call = start();
      const heal = async (): Promise<void> => {
        mode = "well";
        await until("healed", HEAL_MS, async () => {
          await call();
          return (await phase()) === "closed";
        });
        expect(await call()).toEqual(Array.from({ length: AT_ONCE }, () => 200));
      };
      const breakWith = async (how: typeof mode): Promise<void> => {
        mode = how;
        await until(`open: ${how}`, HEAL_MS, async () => {
          await call();
          return (await phase()) === "open";
        });
      };

      await heal();
      await breakWith("down");
      const reached = dependency.requests.length;
      const refusals: number[] = [];
      for (const end = Date.now() + 2_000; Date.now() < end;) refusals.push(...(await call()));
      // One probe at a time, half a second apart.
      expect(dependency.requests.length - reached).toBeLessThanOrEqual(6);
      expect(refusals.filter((status) => status === 503).length).toBeGreaterThanOrEqual(refusals.length - 6);
      await heal();

      await breakWith("slow");
      const startedAt = Date.now();
      expect(await call()).toContain(503);
      expect(Date.now() - startedAt).toBeLessThan(2_000);
      await heal();

      let whileDown = 0;
      let refused = 0;
      for (let flap = 0; flap < FLAPS; flap++) {
        for (mode of ["down", "well"] as const) {
          for (const end = Date.now() + FLAP_MS; Date.now() < end; await pause(10)) {
            const statuses = await call();
            if (mode === "down") {
              whileDown += statuses.length;
              refused += statuses.filter((status) => status === 503).length;
            }
          }
        }
      }
      expect(refused / whileDown).toBeGreaterThan(0.5);
      await heal();
    },
  );
});
