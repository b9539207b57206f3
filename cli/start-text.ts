// What `npm start` prints: four things to try, each a command to copy.
import type { DemoAddresses } from "./demo/servers.ts";

export interface StartTextInput {
  readonly url: string;
  readonly adminToken: string;
  readonly demo: DemoAddresses;
}

/** Where a demo upstream is looked at and set. */
export function demoLine(name: string, address: string): string {
  return `demo upstream ${name.padEnd(9)} ${address}/_demo`;
}

/** What to try with the project's own configuration, as far as its demo upstreams run. */
export function startText({ url, adminToken, demo }: StartTextInput): string {
  const shop = demo.get("shop");
  const parts = demo.has("catalog") ? [plainCall(url)] : [];
  if (shop !== undefined) {
    parts.push(overload(url), breaker(url, shop, adminToken), explained(url, adminToken));
  }
  return parts.join("\n");
}

function plainCall(url: string): string {
  return `
1. A plain call. The answer shows the headers that the gateway added.

   curl -i ${url}/v1/catalog/shoes`;
}

function overload(url: string): string {
  return `
2. Overload. The shop serves 10 requests of 100 ms at a time, so 100/s; this offers 300/s: 20% payments (P0),
   30% browsing (P1), 50% tracking (P2). Every payment gets through, tracking is shed, the shop stays busy.

   npx tidegate load --url ${url} --rate 300 --seconds 10`;
}

function breaker(url: string, shop: string, adminToken: string): string {
  return `
3. A breaker that opens and heals. The shop goes down, five failures open its breaker (the calls after them
   are refused at once: circuit_open), the shop comes back and probes close it again.

   curl -X POST '${shop}/_demo?down=1'
   for i in 1 2 3 4 5 6 7 8; do curl -s -o /dev/null -w '%{http_code} ' ${url}/shop/browse/1; done; echo
   curl -s -H 'authorization: Bearer ${adminToken}' ${url}/_gateway/state \\
     | grep -o '"shop":{"breaker":{[^}]*}' | head -n 1
   curl -X POST '${shop}/_demo?down=0'
   for i in 1 2 3 4 5 6 7 8; do sleep 1; curl -s -o /dev/null -w '%{http_code} ' ${url}/shop/browse/1; done; echo`;
}

function explained(url: string, adminToken: string): string {
  return `
4. An explained decision. The header x-tidegate-decision tells what every stage decided, and its numbers.

   curl -s -o /dev/null -D - -H 'x-tidegate-admin: ${adminToken}' -H 'x-tidegate-explain: 1' ${url}/shop/pay/1
`;
}
