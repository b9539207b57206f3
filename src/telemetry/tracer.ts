// The traces of one isolate or process: which are recorded, and where their spans go.

import { isSampled } from "../http/trace-context.ts";
import { flagsOf, type Sampling } from "./sampling.ts";
import { SpanExporter } from "./span-exporter.ts";
import type { TraceSettings, TraceVariable } from "./trace-settings.ts";
import { readTraceSettings } from "./trace-settings.ts";

export class Tracer {
  readonly #sampling: Sampling;
  /** null: spans go nowhere, and none is made. */
  readonly exporter: SpanExporter | null;

  constructor({ sampling }: Pick<TraceSettings, "sampling">, exporter: SpanExporter | null) {
    this.#sampling = sampling;
    this.exporter = exporter;
  }

  /** The flags that a trace goes on with; `parentFlags` null: it begins here. */
  flagsOf(parentFlags: string | null, traceId: string): string {
    return flagsOf(this.#sampling, parentFlags, traceId);
  }

  /** Whether spans of a trace with these flags are kept and sent. */
  records(flags: string): boolean {
    return this.exporter !== null && isSampled(flags);
  }
}

export interface TracerIdentity {
  /** The gateway's name, where no other is given. */
  readonly name: string;
  readonly session: string;
  readonly region: string;
}

/** Reads the settings and says what is wrong with them; null: there is nothing to do about traces. */
export function createTracer(
  read: (name: TraceVariable) => string | null,
  { name, session, region }: TracerIdentity,
  write: (line: string) => void,
): Tracer | null {
  const settings = readTraceSettings(read, name);
  for (const problem of settings.problems) {
    const time = new Date().toISOString();
    write(JSON.stringify({ time, level: "warn", event: "trace_setting_ignored", problem }));
  }
  const { receiver, sampling } = settings;
  if (receiver === null && sampling.ratio === 0 && sampling.keepsParent) return null;
  if (receiver === null) return new Tracer(settings, null);
  const exporter = new SpanExporter({
    receiver,
    resource: { ...settings.resource, "service.instance.id": session, "tidegate.region": region },
    // Taken from its object, the runtime's own `fetch` refuses to run.
    fetch: (request) => fetch(request),
    now: () => Date.now(),
    pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    write,
  });
  return new Tracer(settings, exporter);
}
