// The request mix as it is written on a command line: `/pay=20,/browse=30`.
import type { LoadTarget } from "./open-loop.ts";

/** The paths with their weights, or what is wrong with the text. */
export function parseMix(text: string): readonly LoadTarget[] | string {
  const targets: LoadTarget[] = [];
  for (const part of text.split(",")) {
    const match = /^(\/.*)=(\d+(?:\.\d+)?)$/.exec(part.trim());
    if (match === null || Number(match[2]) === 0) {
      return `--mix must be paths with a weight above 0, like /pay=20,/browse=30, got ${JSON.stringify(part)}`;
    }
    targets.push({ path: match[1], weight: Number(match[2]) });
  }
  return targets;
}
