// `GET /_gateway/state`, as far as these tests read it.
import type { RunningGateway } from "../../integration/rig/index.ts";

export interface UpstreamView {
  readonly breaker: {
    readonly phase: string;
    readonly generation: number;
    readonly openUntil: number | null;
  };
  readonly cursor: number;
  readonly limit: number;
  readonly inflight: number;
  readonly waiting: number;
  readonly window: {
    readonly ok: number;
    readonly failRemote: number;
    readonly failLocal: number;
    readonly slow: number;
  };
  readonly targets: readonly {
    readonly drained: boolean;
    readonly ejected: boolean;
    readonly ejectedUntil: number | null;
  }[];
}

/** What the gateway knows about one upstream. */
export async function upstreamView(gateway: RunningGateway, name: string): Promise<UpstreamView> {
  const headers = { authorization: `Bearer ${gateway.adminToken}` };
  const response = await fetch(`${gateway.url}/_gateway/state`, { headers });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- admin.test.ts holds the shape
  const state = (await response.json()) as { readonly upstreams: Readonly<Record<string, UpstreamView>> };
  return state.upstreams[name];
}
