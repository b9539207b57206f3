// Why a request was decided as it was, stage by stage, for the operator who asks with
// `x-tidegate-explain: 1`. Exists only then: nobody else pays for it.

import { formatStage } from "../http/decision.ts";

/** More stages than this are not written down: retries of a request are bounded, headers should be too. */
export const MAX_STAGES = 40;

export class Explanation {
  readonly #stages: string[] = [];

  note(stage: string, verdict: string, numbers: Record<string, string | number> = {}): void {
    if (this.#stages.length < MAX_STAGES) this.#stages.push(formatStage(stage, verdict, numbers));
  }

  /** The value of `x-tidegate-decision`. */
  toString(): string {
    return this.#stages.join(",");
  }
}
