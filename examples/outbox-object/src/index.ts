// The Worker in front of the orders.

import type { OrderObject } from "./order.ts";

export { OrderObject } from "./order.ts";

interface Bindings {
  readonly ORDERS: DurableObjectNamespace<OrderObject>;
}

const PATH = /^\/orders\/([A-Za-z0-9-]{1,64})(\/pay)?$/;

async function answer(request: Request, { ORDERS }: Bindings): Promise<Response> {
  const [, name, pay] = PATH.exec(new URL(request.url).pathname) ?? [];
  if (name === undefined) return new Response("no such path\n", { status: 404 });
  const order = ORDERS.getByName(name);
  if (request.method === "GET") return Response.json(await order.read());
  if (request.method !== "POST") return new Response("GET or POST\n", { status: 405 });
  if (pay !== undefined) return Response.json(await order.pay());
  const body: unknown = await request.json().catch(() => null);
  const cents: unknown = typeof body === "object" && body !== null ? Reflect.get(body, "cents") : null;
  if (typeof cents !== "number" || !Number.isSafeInteger(cents) || cents < 1) {
    return new Response("cents must be a whole number\n", { status: 400 });
  }
  return Response.json(await order.place(cents), { status: 201 });
}

export default { fetch: answer };
