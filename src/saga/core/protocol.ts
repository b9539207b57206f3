// What isolates and executors say to a saga's ledger. Two versions live side by side during a deploy: fields
// are only ever added, and what arrives is checked.

import type { Command, SagaInput, Told } from "./calls.ts";
import type { SagaDefinition } from "./definition.ts";
import type { Operation } from "./operate.ts";
import type { SagaPhase, Work } from "./state.ts";
import { PHASES } from "./state.ts";
import type { SagaView } from "./view.ts";

/** Longest key of an instance. */
export const MAX_KEY_CHARS = 512;
/** A saga's body, and each answer that is kept of its steps. */
export const MAX_INPUT_BYTES = 1024 * 1024;
/** Longest note of an operator. */
export const MAX_NOTE_CHARS = 1000;
/** Instances on one page of a list. */
export const MAX_LISTED = 100;
/** Events in one answer. */
export const MAX_EVENTS = 500;
/** Longest wait of one call for something to happen. */
export const MAX_WAIT_MS = 10_000;

/** Who started it, for its calls: how important they are, and on whose behalf. */
export interface SagaOrigin {
  readonly trafficClass: 0 | 1 | 2 | 3;
  readonly consumer: string | null;
  readonly tenant: string | null;
  readonly region: string;
  readonly requestId: string;
}

export interface StartRequest {
  readonly definition: SagaDefinition;
  readonly key: string;
  readonly input: SagaInput;
  readonly origin: SagaOrigin;
  /** The consumer that alone may see it; null: whoever has its address. */
  readonly owner: string | null;
}

export type StartReply =
  | { readonly kind: "started"; readonly id: string; readonly replayed: boolean }
  | { readonly kind: "full"; readonly retryAfterMs: number };

/** An executor speaks for one run of an instance. */
export interface ExecutorRequest {
  readonly id: string;
  readonly run: number;
}

export interface StepRequest extends ExecutorRequest {
  readonly work: Work;
  /** What became of the call that it was given; null: it begins. */
  readonly told: Told | null;
}

/** `stale`: another run has taken over, or the instance does not exist. */
export type ResumeReply =
  | { readonly kind: "work"; readonly next: readonly Work[] }
  | { readonly kind: "stale" };
export type StepReply =
  | { readonly kind: "command"; readonly command: Command; readonly origin: SagaOrigin }
  | { readonly kind: "stale" };

export interface SagaEvent {
  readonly n: number;
  readonly at: string;
  readonly kind: "state" | "call" | "answer" | "operator" | "watchdog" | "late";
  readonly state?: SagaPhase;
  readonly step?: string;
  readonly direction?: Work["direction"];
  readonly purpose?: Told["purpose"];
  readonly attempt?: number;
  readonly status?: number;
  readonly error?: string;
  readonly note?: string;
}

export type ViewReply =
  | {
      readonly kind: "found";
      readonly view: SagaView;
      readonly owner: string | null;
      readonly isOver: boolean;
    }
  | { readonly kind: "unknown" };

export type EventsReply =
  | { readonly kind: "events"; readonly events: readonly SagaEvent[]; readonly isOver: boolean }
  | { readonly kind: "unknown" };

export type OperateReply =
  | { readonly kind: "done" | "unchanged"; readonly view: SagaView }
  | { readonly kind: "refused"; readonly why: string; readonly view: SagaView }
  | { readonly kind: "unknown" };

export interface ListRequest {
  readonly state: SagaPhase | null;
  /** Only such as are older than so many ms. */
  readonly minAgeMs: number;
  /** Where the page before ended. */
  readonly after: number;
  readonly max: number;
}

export interface SagaSummary {
  readonly id: string;
  readonly saga: string;
  readonly key: string;
  readonly state: SagaPhase;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly ageMs: number;
  /** Steps whose compensation failed for good, or that are stuck behind the pivot. */
  readonly stuck: readonly string[];
}

export interface ListReply {
  readonly items: readonly SagaSummary[];
  /** For `after`; null: this was the last page. */
  readonly next: number | null;
}

export interface SagaCounts {
  readonly byState: Readonly<Record<SagaPhase, number>>;
  /** Times that an instance was parked, and that the watchdog had to move one, since the object exists. */
  readonly parkedTotal: number;
  readonly rescuedTotal: number;
}

/** What the isolate and executors call on a ledger. */
export interface SagaLedgerStub {
  start(request: StartRequest): Promise<StartReply>;
  resume(request: ExecutorRequest): Promise<ResumeReply>;
  step(request: StepRequest): Promise<StepReply>;
  view(id: string): Promise<ViewReply>;
  /** The same once it is over or parked, or after `waitMs`. */
  awaitEnd(id: string, waitMs: number): Promise<ViewReply>;
  events(id: string, after: number, waitMs: number): Promise<EventsReply>;
  operate(id: string, operation: Operation): Promise<OperateReply>;
  list(request: ListRequest): Promise<ListReply>;
  counts(): Promise<SagaCounts>;
}

/** What an instance of the workflow is created with. */
export interface ExecutorParams extends ExecutorRequest {
  readonly saga: string;
  readonly region: string;
}

/** The name of the object that keeps the instances of a saga. */
export function ledgerNameOf(saga: string): string {
  return `saga.${saga}`;
}

export function isPhase(text: unknown): text is SagaPhase {
  return PHASES.some((phase) => phase === text);
}

/** Whether a request to start is well-formed; its definition comes from a configuration that was checked. */
export function isStartRequest(value: StartRequest): boolean {
  const { key, definition, origin } = value;
  const isKey = typeof key === "string" && key !== "" && key.length <= MAX_KEY_CHARS && key.isWellFormed();
  return isKey && Array.isArray(definition?.groups) && typeof origin?.region === "string";
}
