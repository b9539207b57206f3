// `tidegate setup` with a wrangler that plays an account in a file.
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeEach, describe, it } from "vitest";
import { runCommand } from "./rig/index.ts";

const folder = mkdtempSync(join(tmpdir(), "tidegate-setup-test-"));
const account = join(folder, "account");
const calls = join(folder, "calls");

// Names that exist, one a line; what is created is appended. Without credentials it fails as wrangler does.
const FAKE = `#!/bin/sh
echo "$*" >> "${calls}"
if [ -n "$FAKE_NO_CREDENTIALS" ]; then echo '[ERROR] not authenticated' >&2; exit 1; fi
case "$*" in
  "whoami --json") echo '{"loggedIn":true}' ;;
  "queues info "*) grep -qx "queue $3" "${account}" || { echo "[ERROR] Queue $3 does not exist." >&2; exit 1; } ;;
  "queues create "*)
    if [ "$3" = "$FAKE_REFUSES" ]; then echo "X [ERROR] You need a paid plan" >&2; exit 1; fi
    if grep -qx "hidden $3" "${account}"; then echo "X [ERROR] Queue name already taken" >&2; exit 1; fi
    echo "queue $3" >> "${account}" ;;
  "r2 bucket info "*) grep -qx "bucket $4" "${account}" ;;
  "r2 bucket create "*) echo "bucket $4" >> "${account}" ;;
  "r2 bucket lifecycle list "*) cat "${account}" ;;
  "r2 bucket lifecycle add "*) echo "rule $6 $7" >> "${account}" ;;
  *) echo "unknown: $*" >&2; exit 1 ;;
esac
`;

writeFileSync(join(folder, "wrangler"), FAKE);
chmodSync(join(folder, "wrangler"), 0o755);
const path = [folder, dirname(process.execPath), process.env.PATH ?? ""].join(delimiter);

const EVERYTHING = [
  "queue tidegate-dead-letters",
  "queue tidegate-delivery",
  "bucket tidegate-claims",
  "rule tidegate-claims-expire claims/",
];

beforeEach(() => {
  writeFileSync(account, "");
  writeFileSync(calls, "");
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function setup(args: readonly string[] = [], env: Record<string, string> = {}) {
  return runCommand(["setup", ...args], { PATH: path, ...env }).ended;
}

function inAccount(): readonly string[] {
  return readFileSync(account, "utf8").split("\n").filter(Boolean);
}

function created(): readonly string[] {
  return readFileSync(calls, "utf8")
    .split("\n")
    .filter((line) => / (?:create|add) /.test(line));
}

describe("setup", () => {
  it("creates what wrangler.toml names, dead letters first, and nothing the second time", async ({
    expect,
  }) => {
    const first = await setup();
    expect([first.code, first.stderr]).toEqual([0, ""]);
    expect(inAccount()).toEqual(EVERYTHING);
    expect(first.stdout).toMatch(
      /^created\s+queue tidegate-dead-letters\ncreated\s+queue tidegate-delivery\n/,
    );
    writeFileSync(calls, "");
    const second = await setup();
    expect(second.code).toBe(0);
    expect(second.stdout.match(/^exists/gm)).toHaveLength(EVERYTHING.length);
    expect(created()).toEqual([]);
  });

  it("creates only what is missing, and takes one that it could not see for existing", async ({ expect }) => {
    writeFileSync(account, "queue tidegate-delivery\nhidden tidegate-dead-letters\n");
    const { code, stdout } = await setup();
    expect(code).toBe(0);
    expect(stdout).toMatch(/^exists\s+queue tidegate-dead-letters$/m);
    expect(inAccount().slice(2)).toEqual(EVERYTHING.slice(2));
  });

  it("says what is missing without creating it", async ({ expect }) => {
    writeFileSync(account, "queue tidegate-delivery\n");
    const { code, stdout, stderr } = await setup(["--dry-run"]);
    expect(code).toBe(1);
    expect(stdout.match(/^missing/gm)).toHaveLength(3);
    expect(stderr).toContain("npx wrangler queues create tidegate-dead-letters");
    expect(created()).toEqual([]);
  });

  it("goes on past what the account refuses, and says why", async ({ expect }) => {
    const { code, stdout, stderr } = await setup([], { FAKE_REFUSES: "tidegate-delivery" });
    expect(code).toBe(1);
    expect(stdout).toMatch(/^failed\s+queue tidegate-delivery: You need a paid plan$/m);
    expect(inAccount()).toEqual(EVERYTHING.filter((each) => each !== "queue tidegate-delivery"));
    expect(stderr).toContain("1 of 4 are missing");
  });

  it("says what to do without credentials", async ({ expect }) => {
    const { code, stderr } = await setup([], { FAKE_NO_CREDENTIALS: "1" });
    expect(code).toBe(1);
    expect(stderr).toContain("npx wrangler login");
    expect(stderr).toContain("CLOUDFLARE_API_TOKEN");
    expect(stderr).toContain("npx wrangler queues create tidegate-delivery");
    expect(created()).toEqual([]);
  });

  it("refuses options that it does not know", async ({ expect }) => {
    const { code, stderr } = await setup(["--force"]);
    expect(code).toBe(2);
    expect(stderr).toContain("it takes --dry-run");
  });
});
