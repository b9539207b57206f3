// The configurations of HAProxy and nginx that the bench fills in.

import { readFileSync } from "node:fs";
import { describe, it } from "vitest";
import { fillIn } from "../../../bench/peers/gateways.ts";

const VALUES = { PORT: 1111, UPSTREAM_PORT: 2222, PLACES: 15, QUEUE_MS: 1000, FOLDER: "/tmp/folder" };

function filled(name: string): string {
  return fillIn(readFileSync(new URL(`../../../bench/peers/${name}`, import.meta.url), "utf8"), VALUES);
}

describe("the peers' configurations", () => {
  it("have a value for every name, and tell both peers what the server takes", ({ expect }) => {
    for (const name of ["haproxy.cfg", "nginx.conf"]) expect(filled(name)).not.toContain("${");
    expect(filled("haproxy.cfg")).toContain('server one "127.0.0.1:2222" maxconn 15');
    expect(filled("haproxy.cfg")).toContain("timeout queue 1000ms");
    expect(filled("nginx.conf")).toContain("limit_conn places 15;");
  });

  it("are refused when they ask for what nobody gives", ({ expect }) => {
    expect(() => fillIn("listen ${NOWHERE}", VALUES)).toThrow(/no value for NOWHERE/);
    expect(() => fillIn("listen ${toString}", VALUES)).toThrow(/no value for toString/);
  });
});
