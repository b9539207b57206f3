// Hands what a reaction has brought about to the outbox of the events, one page at a time. Only what is
// stored is seen there, and it waits here until it is stored there.

import type { WaitingSequels } from "../../src/delivery/core/event-protocol.ts";
import { EVENTS_OUTBOX, outboxName } from "../../src/delivery/core/job-id.ts";
import type { AcceptReply } from "../../src/delivery/core/protocol.ts";
import type { NamedSequel, SequelRelay } from "../../src/delivery/core/sequel-relay.ts";
import {
  afterOffer,
  describeSequels,
  newSequelRelay,
  nextSequelAt,
  sequelItem,
  watchSequels,
} from "../../src/delivery/core/sequel-relay.ts";
import type { Sequel } from "../../src/delivery/core/storage.ts";
import { REQUEST_KEY_EXTENSION } from "../../src/delivery/events/correlation.ts";
import { EVENT_TERMS } from "../../src/delivery/events/event-terms.ts";
import { Gathering } from "./gathering.ts";
import type { HandOverParts } from "./hand-over.ts";
import { lostOf, offerTo } from "./offer.ts";
import { oldestSequelAt, readSequels } from "./sequel-rows.ts";

/** What ends within this time is published together. */
const GATHER_MS = 2;
/** The hex digits of a hash that an event's id takes: 128 bits. */
const ID_HEX_DIGITS = 32;

export type SequelsParts = Omit<HandOverParts, "routes">;

export class Sequels {
  readonly #parts: SequelsParts;
  readonly #relay: SequelRelay = newSequelRelay();
  readonly #gathering: Gathering;

  constructor(parts: SequelsParts) {
    this.#parts = parts;
    this.#gathering = new Gathering(parts.state, GATHER_MS, () => this.run());
    watchSequels(parts.book, this.#relay);
  }

  /** When the alarm should call `run`; null: never, as things are. */
  nextAt(now: number): number | null {
    return nextSequelAt(this.#parts.book, this.#relay, now);
  }

  describe(): WaitingSequels {
    const { book, state } = this.#parts;
    return describeSequels(book, this.#relay, oldestSequelAt(state.storage.sql), Date.now());
  }

  /** Publishes shortly, together with what comes meanwhile. */
  soon(): void {
    watchSequels(this.#parts.book, this.#relay);
    if (this.#mayGo()) this.#gathering.soon();
  }

  /** Publishes what can be; never throws. */
  async run(): Promise<void> {
    const { book, log } = this.#parts;
    if (!this.#mayGo()) return;
    this.#relay.isBusy = true;
    try {
      while (await this.#publishPage());
    } catch (error) {
      log.failure("sequel-failed", error);
      afterOffer(book, this.#relay, [], null, Date.now());
    } finally {
      this.#relay.isBusy = false;
    }
  }

  #mayGo(): boolean {
    const { isBusy, heldUntil } = this.#relay;
    return this.#parts.book.sequels.waiting > 0 && !isBusy && heldUntil <= Date.now();
  }

  /** False: there is nothing more, or nothing more is taken. */
  async #publishPage(): Promise<boolean> {
    const { book, state, failpoints, commit, log } = this.#parts;
    const rows = readSequels(state.storage.sql);
    if (rows.length === 0) {
      book.sequels.waiting = 0;
      return false;
    }
    const page = await Promise.all(rows.map((sequel) => nameSequel(book.name.queue, sequel)));
    // No event must be seen before it is durable here.
    await state.storage.sync();
    failpoints.pass("before_sequel");
    const reply = await this.#offer(page);
    failpoints.pass("after_sequel");
    for (const { index, kind } of lostOf(reply)) log.failure("sequel-refused", `${page[index].id}: ${kind}`);
    commit(afterOffer(book, this.#relay, page, reply, Date.now()));
    return this.#relay.reason === null;
  }

  #offer(page: readonly NamedSequel[]): Promise<AcceptReply | null> {
    const { book, outboxes, log } = this.#parts;
    const route = `reaction.${book.name.queue}`;
    const items = page.map((named) => sequelItem(named, route));
    const { region } = page[0].sequel;
    const request = { region, config: "", terms: EVENT_TERMS, items, refused: 0 };
    return offerTo(outboxes(), outboxName(EVENTS_OUTBOX), request, log);
  }
}

/**
 * The same cause, reaction and kind of ending make the same event, however often it is published. Its first
 * part is the key of the reaction's request, see src/delivery/react.ts.
 */
async function nameSequel(reaction: string, sequel: Sequel): Promise<NamedSequel> {
  const { cause, kind } = sequel;
  const text = new TextEncoder().encode(`${cause.source}\n${cause.id}\n${reaction}`);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", text));
  const fingerprint = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const key = fingerprint.slice(0, ID_HEX_DIGITS);
  return { sequel: withKey(sequel, key), fingerprint, id: `${key}-${kind}` };
}

/** Whoever undoes what the request may have done can name it, also when its answer was lost. */
function withKey(sequel: Sequel, key: string): Sequel {
  const extensions = { ...sequel.event.extensions, [REQUEST_KEY_EXTENSION]: key };
  return { ...sequel, event: { ...sequel.event, extensions } };
}
