// The same with Hono and its proxy helper, as its documentation shows it.
import { Hono } from "hono";
import { proxy } from "hono/proxy";

interface Env {
  readonly Bindings: { readonly UPSTREAM: string };
}

const app = new Hono<Env>();

app.all("/*", (c) => {
  const { url } = c.req;
  // oxlint-disable-next-line typescript/no-misused-spread -- as the helper's documentation has it
  return proxy(c.env.UPSTREAM + url.slice(url.indexOf("/", url.indexOf("://") + 3)), { ...c.req });
});

export default app;
