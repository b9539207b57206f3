// The object that relays a Postgres outbox: one for each relay of the configuration, named as the relay is.
// Its alarm makes a run, and is set for the next one. What it does is what the configuration of this version
// of the Worker says of it: a relay that is gone from there does nothing more.
//
//   a run at a time; any number of other relays (of another deployment) may work at the same table
//   an alarm never throws, because the platform gives it up after some failures
//   isolates and the Worker's cron wake the object, so that an alarm that was lost is set again

import { DurableObject } from "cloudflare:workers";
import type { Plan, RelayPlan } from "../../config/plan.ts";
import {
  NEW_TALLY,
  describeTally,
  failed,
  tallyLag,
  tallyStep,
  type RelayDescription,
  type RelayTally,
  type Tallied,
} from "../core/relay-tally.ts";
import { Outboxes, outboxBindingsOf } from "../outboxes.ts";
import { IDLE_PAUSE_MS } from "../relay/pacing.ts";
import { NEW_PROGRESS, type RelayProgress } from "../relay/step.ts";
import { runRelay, type HyperdriveBinding } from "./relay-run.ts";
import type { RelayCalls } from "./relays.ts";

/** An alarm for now may not fire. */
const SOON_MS = 10;
/** An alarm that is late by so much is lost. */
const LATE_MS = 10_000;

const TABLE =
  "CREATE TABLE IF NOT EXISTS tally (only INTEGER PRIMARY KEY CHECK (only = 1), tally TEXT NOT NULL)";

/** What a relay needs of the gateway: the configuration in force. */
export interface RelayGateway {
  plan(): Plan;
}

type Env = Readonly<Record<string, unknown>>;

/** The class that Cloudflare instantiates. */
export function createRelayObject(gateway: RelayGateway) {
  return class Relay extends DurableObject<Env> implements RelayCalls {
    readonly #keeper: RelayKeeper;

    constructor(ctx: DurableObjectState, env: Env) {
      super(ctx, env);
      this.#keeper = new RelayKeeper(ctx, env, gateway);
    }

    async wake(): Promise<void> {
      this.#keeper.wake();
    }

    async describe(): Promise<RelayDescription> {
      return this.#keeper.describe();
    }

    override async alarm(): Promise<void> {
      await this.#keeper.alarm();
    }
  };
}

class RelayKeeper {
  readonly #state: DurableObjectState;
  readonly #env: Env;
  readonly #gateway: RelayGateway;
  readonly #owner: string;
  /** No run of this boot has reached the database. */
  #isFirst = true;
  #progress: RelayProgress = NEW_PROGRESS;
  #tally: RelayTally;
  #stored: string;
  #alarmAt: number | null = null;
  #isRunning = false;

  constructor(state: DurableObjectState, env: Env, gateway: RelayGateway) {
    this.#state = state;
    this.#env = env;
    this.#gateway = gateway;
    const { sql } = state.storage;
    sql.exec(TABLE);
    const [row] = sql.exec<{ tally: string }>("SELECT tally FROM tally").toArray();
    this.#stored = row?.tally ?? "";
    const { owner = crypto.randomUUID(), ...tally } = row === undefined ? {} : parseStored(row.tally);
    this.#owner = owner;
    this.#tally = { ...NEW_TALLY, ...tally };
    this.#save();
    void state.blockConcurrencyWhile(async () => {
      this.#alarmAt = await state.storage.getAlarm();
    });
  }

  describe(): RelayDescription {
    return describeTally(this.#tally, Date.now());
  }

  wake(): void {
    const isSet = this.#alarmAt !== null && this.#alarmAt > Date.now() - LATE_MS;
    if (!this.#isRunning && !isSet && this.#relay() !== null) this.#arm(SOON_MS);
  }

  async alarm(): Promise<void> {
    this.#alarmAt = null;
    const relay = this.#relay();
    if (relay === null || this.#isRunning) return;
    this.#isRunning = true;
    try {
      await this.#run(relay);
      this.#save();
    } catch (error) {
      console.error(JSON.stringify({ event: "relay-run-failed", relay: relay.name, error: String(error) }));
    } finally {
      this.#isRunning = false;
      this.#arm(Math.max(SOON_MS, this.#progress.pauseMs));
    }
  }

  #relay(): RelayPlan | null {
    return this.#gateway.plan().relays.find(({ name }) => name === this.#state.id.name) ?? null;
  }

  async #run(relay: RelayPlan): Promise<void> {
    const hyperdrive = this.#env[relay.hyperdrive];
    const bound = outboxBindingsOf(this.#env);
    if (!isHyperdrive(hyperdrive) || bound === null) {
      this.#fail(relay, `the Worker has no binding ${bound === null ? "OUTBOX" : relay.hyperdrive}`);
      return;
    }
    const { TIDEGATE_REGION: region } = this.#env;
    const { progress, error } = await runRelay(relay, this.#progress, {
      hyperdrive,
      outboxes: new Outboxes(bound, typeof region === "string" ? region : ""),
      plan: this.#gateway.plan(),
      owner: this.#owner,
      isFirst: this.#isFirst,
      onStep: (step) => this.#note(relay, tallyStep(this.#tally, step, Date.now())),
      onLag: (lag) => this.#note(relay, tallyLag(this.#tally, lag, relay.alertAt)),
    });
    this.#progress = progress;
    if (error === null) this.#isFirst = false;
    else this.#fail(relay, error);
  }

  #fail(relay: RelayPlan, error: string): void {
    this.#progress = { ...this.#progress, pauseMs: IDLE_PAUSE_MS };
    this.#note(relay, failed(this.#tally, error, Date.now()));
  }

  #note(relay: RelayPlan, { tally, notices }: Tallied): void {
    this.#tally = tally;
    for (const { kind, ...rest } of notices) {
      console.warn(JSON.stringify({ event: `relay-${kind}`, relay: relay.name, ...rest }));
    }
  }

  /** What a restart must not forget; nothing is written while nothing happens. */
  #save(): void {
    const text = JSON.stringify({ ...this.#tally, lag: null, passedAt: null, owner: this.#owner });
    if (text === this.#stored) return;
    this.#state.storage.sql.exec("INSERT OR REPLACE INTO tally VALUES (1, ?)", text);
    this.#stored = text;
  }

  #arm(afterMs: number): void {
    const at = Date.now() + afterMs;
    this.#alarmAt = at;
    this.#state.storage.setAlarm(at).catch((error: unknown) => {
      this.#alarmAt = null;
      console.error(JSON.stringify({ event: "relay-alarm-not-set", error: String(error) }));
    });
  }
}

function parseStored(text: string): Partial<RelayTally> & { readonly owner?: string } {
  const stored: Partial<RelayTally> & { readonly owner?: string } = JSON.parse(text);
  return stored;
}

function isHyperdrive(value: unknown): value is HyperdriveBinding {
  return typeof value === "object" && value !== null && "connect" in value && "connectionString" in value;
}
