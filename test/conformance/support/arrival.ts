// What a client's request looks like when it arrives: sent raw, read back from the upstream's record.
import type { RecordedRequest, RunningGateway, RunningUpstream } from "../../integration/rig/index.ts";
import { lastOf } from "./origin.ts";
import { send, type RawAnswer } from "./raw-http.ts";

export type Fields = readonly (readonly [name: string, value: string])[];

export interface Arrival extends RecordedRequest {
  readonly answer: RawAnswer;
}

/** Sends these fields and gives what arrived upstream, with the gateway's answer. */
export async function arrivingAt(
  gateway: RunningGateway,
  upstream: RunningUpstream,
  fields: Fields,
  target = "/x",
  method = "GET",
): Promise<Arrival> {
  const answer = await send(gateway.url, { method, target, fields });
  return { ...lastOf(upstream.requests), answer };
}
