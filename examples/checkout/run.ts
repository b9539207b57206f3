// Starts the services of the checkout on the ports of its configuration.
import { createCheckout } from "./servers.ts";

const PORTS = { inventory: 8811, payment: 8812, shipping: 8813, mail: 8814 } as const;

for (const service of Object.values(createCheckout())) {
  const port = Object.entries(PORTS).find(([name]) => name === service.name)?.[1];
  console.log(`${service.name} ${await service.listen(port)}`);
}
