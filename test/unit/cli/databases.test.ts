// Databases of the command line: what setup looks after, and what a file that names one without an address
// costs nobody.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { databaseErrors, withDatabases } from "../../../cli/databases.ts";
import { declaredResources } from "../../../cli/setup-resources.ts";

const folder = mkdtempSync(join(tmpdir(), "tidegate-databases-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ID = "0123456789abcdef0123456789abcdef";
const VARIABLE = "CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_UNSET_DB";

describe("setup", () => {
  it("turns off the cache of a database that a relay reads, and touches no other", async () => {
    const file = join(folder, "wrangler.toml");
    const databases = ["DB", "OTHER"].map(
      (binding) => `[[hyperdrive]]\nbinding = "${binding}"\nid = "${ID}"\n`,
    );
    writeFileSync(file, `name = "x"\ncompatibility_date = "2026-10-20"\n${databases.join("\n")}`);
    const [database, ...others] = await declaredResources(new Set(["DB"]), file);
    expect(others).toEqual([]);
    expect(database).toMatchObject({
      kind: "database",
      name: "DB without a cache",
      find: ["hyperdrive", "get", ID],
      create: ["hyperdrive", "update", ID, "--caching-disabled"],
    });
    expect(database.isFound('{"caching": {"disabled": true}}')).toBe(true);
    expect(database.isFound('{"caching": {"disabled": false}}')).toBe(false);
    expect(await declaredResources(new Set(), file)).toEqual([]);
  });
});

describe("a database without an address here", () => {
  it("is no error where nothing relays it, and one where something does", () => {
    const address = withDatabases([{ binding: "UNSET_DB" }], () => process.env[VARIABLE]);
    expect(address).toMatch(/^postgres:/);
    expect(process.env[VARIABLE]).toBeUndefined();
    const relays = [{ name: "shop", hyperdrive: "UNSET_DB" }];
    expect(databaseErrors([], { UNSET_DB: address })).toEqual([]);
    for (const given of [address, new URL(address ?? "")]) {
      expect(databaseErrors(relays, { UNSET_DB: given })).toEqual([
        expect.stringContaining("no database stands for"),
      ]);
    }
  });

  it("keeps the one that it has", () => {
    const declared = [{ binding: "UNSET_DB", localConnectionString: "postgres://a:b@h/d" }];
    expect(withDatabases(declared, () => process.env[VARIABLE])).toBeUndefined();
  });
});
