// What OpenTelemetry's own variables say about traces, from a Worker's bindings or a process's environment:
//
//   OTEL_EXPORTER_OTLP_[TRACES_]ENDPOINT  _HEADERS  _TIMEOUT     where to, with what, ms for one batch
//   OTEL_BSP_SCHEDULE_DELAY                                      ms that a batch waits for company
//   OTEL_TRACES_SAMPLER  _ARG                                    which traces
//   OTEL_SERVICE_NAME  OTEL_RESOURCE_ATTRIBUTES                  who says so
//   OTEL_SDK_DISABLED  OTEL_TRACES_EXPORTER=none                 nothing at all
//
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and, for the exporter,
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/. As there, a value that cannot be used is
// reported and counts as not given.

import type { Sampling } from "./sampling.ts";
import type { Attributes } from "./span.ts";

export const DEFAULT_TIMEOUT_MS = 10_000;
/** Work behind a Worker's response is cut off after 30 s. */
export const MAX_TIMEOUT_MS = 20_000;

/** OpenTelemetry's default is 5 s; a Worker's isolate may be gone by then. */
export const DEFAULT_GATHER_MS = 1_000;
export const MAX_GATHER_MS = 5_000;

export interface TraceReceiver {
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** For one batch with all its tries. */
  readonly timeoutMs: number;
  /** A batch that is not full waits so long for more spans. */
  readonly gatherMs: number;
}

export interface TraceSettings {
  readonly sampling: Sampling;
  /** null: spans are not sent. */
  readonly receiver: TraceReceiver | null;
  readonly resource: Attributes;
  /** What could not be used, one line each, without its value: it may be a secret. */
  readonly problems: readonly string[];
}

/** The variables that are read. */
export const TRACE_VARIABLES = [
  "OTEL_SDK_DISABLED",
  "OTEL_TRACES_EXPORTER",
  "OTEL_EXPORTER_OTLP_ENDPOINT",
  "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
  "OTEL_EXPORTER_OTLP_HEADERS",
  "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
  "OTEL_EXPORTER_OTLP_TIMEOUT",
  "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
  "OTEL_EXPORTER_OTLP_PROTOCOL",
  "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
  "OTEL_BSP_SCHEDULE_DELAY",
  "OTEL_TRACES_SAMPLER",
  "OTEL_TRACES_SAMPLER_ARG",
  "OTEL_SERVICE_NAME",
  "OTEL_RESOURCE_ATTRIBUTES",
] as const;

export type TraceVariable = (typeof TRACE_VARIABLES)[number];

/** `read` gives a variable's text; null where it is not there, or empty. */
export function readTraceSettings(
  read: (name: TraceVariable) => string | null,
  serviceName: string,
): TraceSettings {
  const problems: string[] = [];
  const note = (name: TraceVariable, rule: string): null => {
    problems.push(`${name}: ${rule}`);
    return null;
  };
  const isOff =
    read("OTEL_SDK_DISABLED")?.toLowerCase() === "true" || read("OTEL_TRACES_EXPORTER") === "none";
  const receiver = isOff ? null : readReceiver(read, note);
  const attributes = readPairs("OTEL_RESOURCE_ATTRIBUTES", read, note);
  const resource = Object.fromEntries(attributes);
  return {
    sampling: readSampling(read, note, receiver !== null, isOff),
    receiver,
    resource: {
      ...resource,
      "service.name": read("OTEL_SERVICE_NAME") ?? resource["service.name"] ?? serviceName,
    },
    problems,
  };
}

type Read = (name: TraceVariable) => string | null;
type Note = (name: TraceVariable, rule: string) => null;

function readReceiver(read: Read, note: Note): TraceReceiver | null {
  const own = read("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
  const base = read("OTEL_EXPORTER_OTLP_ENDPOINT");
  const name = own === null ? "OTEL_EXPORTER_OTLP_ENDPOINT" : "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
  const text = own ?? (base === null ? null : `${base.replace(/\/+$/, "")}/v1/traces`);
  if (text === null) return null;
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return note(name, "must be an http or https URL");
  for (const variable of ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] as const) {
    const protocol = read(variable);
    if (protocol !== null && protocol !== "http/json") note(variable, "only http/json is spoken here");
  }
  const ownTimeout = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
  const timeout = read(ownTimeout) === null ? "OTEL_EXPORTER_OTLP_TIMEOUT" : ownTimeout;
  const headers = "OTEL_EXPORTER_OTLP_HEADERS";
  const ownHeaders = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
  return {
    url: text,
    headers: readPairs(read(ownHeaders) === null ? headers : ownHeaders, read, note),
    timeoutMs: readMs(timeout, read, note, { usual: DEFAULT_TIMEOUT_MS, least: 1, most: MAX_TIMEOUT_MS }),
    gatherMs: readMs("OTEL_BSP_SCHEDULE_DELAY", read, note, {
      usual: DEFAULT_GATHER_MS,
      least: 0,
      most: MAX_GATHER_MS,
    }),
  };
}

interface Bounds {
  readonly usual: number;
  readonly least: number;
  /** What is longer is shortened to this. */
  readonly most: number;
}

function readMs(name: TraceVariable, read: Read, note: Note, { usual, least, most }: Bounds): number {
  const text = read(name);
  if (text === null) return usual;
  const ms = Number(text);
  if (ms >= least) return Math.min(ms, most);
  note(name, "must be a number of ms");
  return usual;
}

/** `name=value,name=value`, values percent-encoded, as W3C Baggage writes them. */
function readPairs(name: TraceVariable, read: Read, note: Note): [string, string][] {
  return (read(name) ?? "").split(",").flatMap((member): [string, string][] => {
    if (member.trim() === "") return [];
    const at = member.indexOf("=");
    try {
      const value = decodeURIComponent(member.slice(at + 1).trim());
      if (at > 0) return [[decodeURIComponent(member.slice(0, at).trim()), value]];
    } catch {
      // Said below.
    }
    note(name, "must be name=value pairs, separated by commas, with values percent-encoded");
    return [];
  });
}

const SAMPLERS: Readonly<Record<string, { readonly ratio: number | null; readonly keepsParent: boolean }>> = {
  always_on: { ratio: 1, keepsParent: false },
  always_off: { ratio: 0, keepsParent: false },
  traceidratio: { ratio: null, keepsParent: false },
  parentbased_always_on: { ratio: 1, keepsParent: true },
  parentbased_always_off: { ratio: 0, keepsParent: true },
  parentbased_traceidratio: { ratio: null, keepsParent: true },
};

/** Without a receiver nobody is told that a trace is recorded, unless a sampler was asked for by name. */
function readSampling(read: Read, note: Note, isSent: boolean, isOff: boolean): Sampling {
  const usual: Sampling = { ratio: isSent ? 1 : 0, keepsParent: true };
  const name = read("OTEL_TRACES_SAMPLER");
  if (name === null || isOff) return usual;
  const sampler = SAMPLERS[name];
  if (sampler === undefined) {
    note("OTEL_TRACES_SAMPLER", `must be one of ${Object.keys(SAMPLERS).join(", ")}`);
    return usual;
  }
  const { keepsParent } = sampler;
  if (sampler.ratio !== null) return { ratio: sampler.ratio, keepsParent };
  const text = read("OTEL_TRACES_SAMPLER_ARG");
  const ratio = text === null ? 1 : Number(text);
  if (ratio >= 0 && ratio <= 1) return { ratio, keepsParent };
  note("OTEL_TRACES_SAMPLER_ARG", "must be a number from 0 to 1");
  return { ratio: 1, keepsParent };
}
