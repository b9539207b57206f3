// `tidegate sidecar` on the command line: what it refuses, in one line each, and what it does untold.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { portIsOpen, startUpstream } from "../rig/index.ts";
import { SidecarProcess } from "../rig/sidecar.ts";

interface Ended {
  readonly code: number | null;
  readonly errors: readonly string[];
}

async function end(
  args: readonly string[],
  config?: object,
  env: Record<string, string> = {},
): Promise<Ended> {
  const sidecar = new SidecarProcess(args, config, env);
  const code = await sidecar.exited();
  await sidecar.stop();
  expect(sidecar.output).not.toContain("ready");
  return { code, errors: sidecar.errors };
}

const INBOUND = ["--inbound", "127.0.0.1:0", "--app", "http://127.0.0.1:3000"];
const OUTBOUND = ["--outbound", "127.0.0.1:0"];

describe("the command line", () => {
  it.each([
    [[], "tidegate sidecar: give --inbound, --outbound or both"],
    [["--inbound", "127.0.0.1:0"], "tidegate sidecar: --inbound and --app go together"],
    [OUTBOUND, "tidegate sidecar: --outbound alone needs --config, which names its upstreams"],
    [
      ["--config", "x", "--outbound", "nowhere"],
      'tidegate sidecar: --outbound must be an address like 127.0.0.1:9080, got "nowhere"',
    ],
    [
      ["--config", "x", "--outbound", "127.0.0.1:70000"],
      'tidegate sidecar: --outbound must be an address like 127.0.0.1:9080, got "127.0.0.1:70000"',
    ],
    [
      ["--config", "x", ...OUTBOUND, "--outbound-hosts", "some"],
      'tidegate sidecar: --outbound-hosts must be any or known, got "some"',
    ],
    [[...INBOUND, "--tls-cert", "x"], "tidegate sidecar: --tls-cert and --tls-key go together"],
    [[...INBOUND, "--client-ca", "x"], "tidegate sidecar: --client-ca needs --tls-cert and --tls-key"],
    [[...INBOUND, "--grace", "soon"], 'tidegate sidecar: --grace must be a duration like 30s, got "soon"'],
    [
      ["--inbound", "127.0.0.1:0", "--app", "localhost"],
      'tidegate sidecar: --app must be a URL like http://127.0.0.1:3000, got "localhost"',
    ],
  ])("%j is refused with 2", async (args, line) => {
    expect(await end(args)).toEqual({ code: 2, errors: [line] });
  });

  it("tells all that is wrong with a configuration, one line each, and ends with 1", async () => {
    const config = {
      upstreams: { a: { targets: ["http://127.0.0.1:1"], timeout: "fast" }, b: {} },
      routes: [{ path: "/x", upstream: "c", priority: "P9" }],
      colour: "blue",
    };
    const { code, errors } = await end(OUTBOUND, config);
    expect(code).toBe(1);
    expect(errors.map((line) => line.split(":")[0]).toSorted()).toEqual(
      [
        "colour",
        "routes[0].priority",
        "routes[0].upstream",
        "upstreams.a.timeout",
        "upstreams.b.targets",
      ].toSorted(),
    );
  });

  it("refuses what a process cannot do: bindings, ledgers, secrets that nobody gave", async () => {
    const config = {
      upstreams: { a: { targets: [{ binding: "SERVICE" }] } },
      queues: { later: { upstream: "a" } },
      limits: { money: { key: "ip", rate: 1, per: "1m", consistency: "exact" } },
      routes: [
        {
          path: "/x",
          upstream: "a",
          limits: ["money"],
          request: { set: { "x-key": "env:SIDECAR_TEST_KEY" } },
        },
      ],
    };
    const { code, errors } = await end(OUTBOUND, config);
    expect(code).toBe(1);
    expect(errors).toEqual([
      'upstreams.a.targets[0].binding: a process has no bindings, give a url (got "SERVICE")',
      'limits.money.consistency: a sidecar keeps no ledger, use "local" or "global" (got "exact")',
      "queues.later: a sidecar keeps no queue, the gateway does",
      // It reads no .dev.vars.
      "env:SIDECAR_TEST_KEY has no value: give it with --env SIDECAR_TEST_KEY=... or in the environment",
    ]);
  });

  it("says which files of certificates are missing or wrong", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tidegate-test-"));
    const file = join(folder, "text.pem");
    writeFileSync(file, "text");
    const gone = join(folder, "gone.pem");
    const missing = await end([...INBOUND, "--tls-cert", gone, "--tls-key", gone, "--client-ca", gone]);
    expect(missing.code).toBe(1);
    expect(missing.errors.map((line) => line.split(":")[0])).toEqual([
      `--tls-cert ${gone}`,
      `--tls-key ${gone}`,
      `--client-ca ${gone}`,
    ]);
    const wrong = await end([...INBOUND, "--tls-cert", file, "--tls-key", file]);
    expect(wrong.errors).toEqual([expect.stringContaining(`--tls-cert ${file} and --tls-key ${file}: `)]);
    rmSync(folder, { recursive: true });
  });

  it("says which port is in use", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const { code, errors } = await end(["--inbound", `127.0.0.1:${port}`, "--app", "http://127.0.0.1:3000"]);
    const line = `port ${port} on 127.0.0.1 is in use: end what listens there or give another`;
    expect({ code, errors }).toEqual({ code: 1, errors: [line] });
    server.close();
  });

  it("needs no configuration, and is ready when it says so", async () => {
    const app = await startUpstream();
    const sidecar = await new SidecarProcess([
      "--inbound",
      "127.0.0.1:0",
      "--app",
      `${app.url}/base/`,
      ...OUTBOUND,
    ]).ready();
    expect(sidecar.output.filter((line) => line === "ready")).toHaveLength(1);
    expect(sidecar.errors).toEqual([]);
    expect(await portIsOpen(sidecar.port("inbound"))).toBe(true);
    expect(await (await fetch(`${sidecar.url("inbound")}/x`)).text()).toBe("ok");
    expect(app.requests[0].target).toBe("/base/x");
    await sidecar.stop();
    await app.stop();
  });
});
