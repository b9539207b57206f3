// A shop that pays through `payments` and shows what `catalog` has: upstreams of Tidegate's configuration. It
// knows neither their addresses nor what to do when they fail: it gets an answer, at once where need be.

interface Env {
  readonly SIDECAR: Fetcher;
}

/** What a page may wait for all of its calls together. */
const DEADLINE_MS = 2_000;

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/pay") {
      // Method, fields and body are the caller's; trace and request id go on.
      return env.SIDECAR.fetch(new Request("http://payments.upstream/v1/charges", request));
    }
    const headers = { "x-tidegate-deadline-ms": String(DEADLINE_MS), "x-tidegate-class": "P2" };
    const catalog = await env.SIDECAR.fetch("http://catalog.upstream/v1/catalog/today", { headers });
    // A refusal is a problem (RFC 9457) with `retry-after`; the page goes on without.
    const products: unknown = catalog.ok ? await catalog.json() : [];
    return Response.json({ products });
  },
};
