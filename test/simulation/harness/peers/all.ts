// Who is compared in an overload, in the order of the tables. A further policy is one more line here.

import { noShedding, plainConcurrencyLimit } from "../plain-policies.ts";
import type { PolicyFactory } from "../policy.ts";
import { region } from "../region.ts";
import { tidegate } from "../tidegate-policy.ts";
import type { UpstreamModelOptions } from "../upstream-model.ts";
import { dagor } from "./dagor.ts";
import { googleByClass, googleInOrder } from "./google.ts";
import { netflixGradient2, netflixTold, netflixVegas } from "./netflix.ts";

/** All of Netflix's and the plain limit are told how many requests the upstream serves at a time. */
export function comparedPolicies({ servers }: UpstreamModelOptions): readonly PolicyFactory[] {
  return [
    tidegate(),
    region({ isolates: 10 }),
    netflixTold(servers),
    netflixVegas(servers),
    netflixGradient2(servers),
    googleByClass(),
    googleInOrder(),
    dagor(),
    plainConcurrencyLimit(servers),
    noShedding(),
  ];
}
