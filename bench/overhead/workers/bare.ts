// The least that a proxy on Workers can do: another address for the same request. The yardstick.
interface Env {
  readonly UPSTREAM: string;
}

export default {
  fetch: (request: Request, env: Env): Promise<Response> => fetch(upstreamUrl(request, env), request),
};

function upstreamUrl({ url }: Request, { UPSTREAM }: Env): string {
  return UPSTREAM + url.slice(url.indexOf("/", url.indexOf("://") + 3));
}
