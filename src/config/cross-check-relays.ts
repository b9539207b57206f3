// What binds relays to each other: a table belongs to one of them. Two would publish its rows under two
// sources, some under this one and some under that one.

import type { ConfigIssue } from "./error-lines.ts";

type Fields = Readonly<Record<string, unknown>>;

export function relayIssues(relays: readonly (readonly [name: string, relay: Fields])[]): ConfigIssue[] {
  const owners = new Map<string, string>();
  return relays.flatMap(([name, { hyperdrive, table = "outbox" }]): ConfigIssue[] => {
    if (typeof hyperdrive !== "string" || typeof table !== "string") return [];
    const place = JSON.stringify([hyperdrive, table]);
    const owner = owners.get(place);
    if (owner === undefined) owners.set(place, name);
    return owner === undefined
      ? []
      : [{ path: ["relays", name, "table"], rule: `is the table of relays.${owner} already`, value: table }];
  });
}
