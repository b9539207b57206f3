// One isolate in simulated time: requests come at random at a rate, and each does what the pipeline does
// with the hub (src/edge/limits.ts, pipeline.ts): limits before it is sent, counters and the sync behind it.
import type { LimitTerms } from "../../src/hub/protocol.ts";
import { HubLink } from "../../src/region/hub-link.ts";
import { createReplica } from "../../src/region/replica.ts";
import { nextRandom } from "../../src/resilience/random.ts";
import type { HubModel, World } from "./hub-model.ts";

/** One way between an isolate and its region's hub. */
const HUB_APART_MS = 5;

/** What a request does. */
export interface Traffic {
  /** Keys of a usage counter; 0: none. */
  readonly counterKeys: number;
  /** Keys of a global limit; 0: none. */
  readonly limitKeys: number;
}

const WINDOW_MS = 60_000;
/** Far more than any key gets. */
const UNITS = 10_000_000;

export class IsolateModel {
  requests = 0;
  refused = 0;
  isStopped = false;
  readonly #world: World;
  readonly #link: HubLink;
  readonly #traffic: Traffic;
  readonly #perMs: number;

  constructor(world: World, hub: HubModel, region: string, traffic: Traffic, perSecond: number) {
    const { time } = world;
    this.#world = world;
    this.#traffic = traffic;
    this.#perMs = perSecond / 1_000;
    this.#link = new HubLink(createReplica(region, `${region}-1`, "bench", time.now), {
      now: () => time.now,
      send: (request, done) => {
        time.after(HUB_APART_MS, () =>
          hub.sync(request, (reply) => time.after(HUB_APART_MS, () => done(reply))),
        );
      },
      startTimer: (ms, fire) => {
        let isCancelled = false;
        time.after(ms, () => {
          if (!isCancelled) fire();
        });
        return () => {
          isCancelled = true;
        };
      },
      newSession: () => `${region}-${time.now}`,
    });
    this.#expect();
  }

  #expect(): void {
    const { time, random } = this.#world;
    time.after(-Math.log(1 - nextRandom(random)) / this.#perMs, () => {
      if (this.isStopped) return;
      this.#request();
      this.#expect();
    });
  }

  #request(): void {
    this.requests++;
    const { limitKeys } = this.#traffic;
    if (limitKeys === 0) {
      this.#answer();
      return;
    }
    const link = this.#link;
    const view = link.view(termsOf(this.#keyOf(limitKeys)));
    const outcome = view === null ? "refused" : link.take(view, 1);
    if (view === null || outcome === "refused") {
      this.refused++;
      this.#answer();
    } else if (outcome === "taken") {
      link.prefetch(view);
      this.#answer();
    } else {
      link.wait(view, 1, "allow", (passes) => {
        if (!passes) this.refused++;
        this.#answer();
      });
    }
  }

  #answer(): void {
    const { counterKeys } = this.#traffic;
    if (counterKeys > 0) this.#link.count("requests", this.#keyOf(counterKeys), 1);
    this.#link.afterResponse();
  }

  #keyOf(keys: number): string {
    return `customer-${Math.floor(nextRandom(this.#world.random) * keys)}`;
  }
}

function termsOf(key: string): LimitTerms {
  return { limit: "per-customer", key, consistency: "global", units: UNITS, windowMs: WINDOW_MS };
}
