import { it } from "vitest";
import { absentWorkers } from "../../../cli/absent-workers.ts";

it("stands in once for each Worker that is bound and does not run here", ({ expect }) => {
  const bindings = {
    PAY: "payments",
    PAY_ADMIN: { name: "payments", entrypoint: "Admin" },
    SELF: { name: "tidegate" },
    SHOP: { name: "shop" },
    LOCAL: () => new Response(),
  };
  const absent = absentWorkers("tidegate", bindings);
  expect(absent.map(({ name }) => name)).toEqual(["payments", "shop"]);
  expect(JSON.stringify(absent[0])).toContain("export class Admin extends Absent");
  expect(absentWorkers("tidegate", undefined)).toEqual([]);
});
