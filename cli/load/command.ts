// `tidegate load`: runs the open-loop generator and prints one row per path.
import { parseOptions, parseWhole } from "../arguments.ts";
import { print, report } from "../output.ts";
import { runOpenLoop, type LoadOptions } from "./open-loop.ts";
import { parseMix } from "./mix.ts";
import { loadTable } from "./table.ts";

const SPECS = {
  url: { type: "string", default: "http://127.0.0.1:8787" },
  rate: { type: "string", default: "300" },
  seconds: { type: "string", default: "10" },
  mix: { type: "string", default: "/shop/pay/1=20,/shop/browse/1=30,/shop/track/1=50" },
  addresses: { type: "string", default: "300" },
  arrivals: { type: "string", default: "poisson" },
  seed: { type: "string", default: "1" },
  json: { type: "boolean", default: false },
} as const;

const MAX_RATE = 100_000;
const MAX_SECONDS = 86_400;
/** As many as 198.18.0.0/15 holds. */
const MAX_ADDRESSES = 131_072;
const MAX_SEED = 2 ** 32 - 1;

export async function load(args: string[]): Promise<number> {
  const parsed = parseOptions("load", args, SPECS);
  if (!parsed.ok) return usageError(parsed.error);
  const options = loadOptions(parsed.values);
  if (typeof options === "string") return usageError(`tidegate load: ${options}`);
  report(`${options.rate} requests/s for ${options.seconds} s to ${options.url}`);
  const result = await runOpenLoop(options);
  print(parsed.values.json ? JSON.stringify(result) : loadTable(result));
  return 0;
}

type Values = Record<"url" | "rate" | "seconds" | "mix" | "addresses" | "arrivals" | "seed", string>;

/** The options, or what is wrong with them. */
function loadOptions(values: Values): LoadOptions | string {
  const { url, arrivals } = values;
  const rate = parseWhole("rate", values.rate, 1, MAX_RATE);
  if (typeof rate === "string") return rate;
  const seconds = parseWhole("seconds", values.seconds, 1, MAX_SECONDS);
  if (typeof seconds === "string") return seconds;
  const addresses = parseWhole("addresses", values.addresses, 0, MAX_ADDRESSES);
  if (typeof addresses === "string") return addresses;
  const seed = parseWhole("seed", values.seed, 0, MAX_SEED);
  if (typeof seed === "string") return seed;
  const mix = parseMix(values.mix);
  if (typeof mix === "string") return mix;
  if (arrivals !== "poisson" && arrivals !== "even") {
    return `--arrivals must be poisson or even, got "${arrivals}"`;
  }
  if (!/^https?:/.test(url) || !URL.canParse(url)) {
    return "--url must be an address like http://127.0.0.1:8787";
  }
  return { url: new URL(url).origin, rate, seconds, mix, addresses, arrivals, seed };
}

function usageError(line: string): number {
  report(line);
  return 2;
}
