// Upstreams for the conformance tests, and what they saw.
import { createHash } from "node:crypto";
import type { RecordedRequest } from "../../integration/rig/index.ts";

/** `sha256:<hex>` of an API key, as consumers list it. */
export function hashOfKey(key: string): string {
  return `sha256:${createHash("sha256").update(key).digest("hex")}`;
}

/** Every value of a field as it arrived, one for each line. */
export function linesOf(request: RecordedRequest, name: string): readonly string[] {
  const lines: string[] = [];
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    if (request.rawHeaders[index].toLowerCase() === name) lines.push(request.rawHeaders[index + 1]);
  }
  return lines;
}

/** The members of a list field in order, over all of its lines. */
export function membersOf(request: RecordedRequest, name: string): readonly string[] {
  return linesOf(request, name).flatMap((line) => line.split(",").map((member) => member.trim()));
}

/** The last request that arrived; throws when there is none. */
export function lastOf(requests: readonly RecordedRequest[]): RecordedRequest {
  const last = requests.at(-1);
  if (last === undefined) throw new Error("nothing reached the upstream");
  return last;
}
