// OpenTelemetry's variables, as its specification reads them.
import { describe, expect, it } from "vitest";
import {
  DEFAULT_GATHER_MS,
  DEFAULT_TIMEOUT_MS,
  MAX_TIMEOUT_MS,
  TRACE_VARIABLES,
  readTraceSettings,
  type TraceSettings,
} from "../../../src/telemetry/trace-settings.ts";

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: "https://collector.example.com:4318/otlp/" };

function read(variables: Readonly<Record<string, string>>): TraceSettings {
  const unknown = Object.keys(variables).filter((name) => !TRACE_VARIABLES.some((known) => known === name));
  expect(unknown).toEqual([]);
  return readTraceSettings((name) => variables[name] ?? null, "edge");
}

describe("without any variable", () => {
  it("nothing is sent, and no trace that begins here is recorded", () => {
    const nothing = {
      receiver: null,
      sampling: { ratio: 0, keepsParent: true },
      resource: { "service.name": "edge" },
      problems: [],
    };
    expect(read({})).toEqual(nothing);
    expect(read({ ...ENDPOINT, OTEL_SDK_DISABLED: "true" })).toEqual(nothing);
    expect(read({ ...ENDPOINT, OTEL_TRACES_EXPORTER: "none" })).toEqual(nothing);
  });
});

function times(variables: Record<string, string>): TraceSettings["receiver"] {
  return read({ ...ENDPOINT, ...variables }).receiver;
}

describe("the receiver", () => {
  it("is the base address with the signal's path, or the signal's own address as it is", () => {
    expect(read(ENDPOINT).receiver).toEqual({
      url: "https://collector.example.com:4318/otlp/v1/traces",
      headers: [],
      timeoutMs: DEFAULT_TIMEOUT_MS,
      gatherMs: DEFAULT_GATHER_MS,
    });
    const own = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://127.0.0.1:4318/traces" };
    expect(read({ ...ENDPOINT, ...own }).receiver?.url).toBe("http://127.0.0.1:4318/traces");
  });

  it("has header fields, percent-encoded; those of traces replace those of all signals", () => {
    const all = { ...ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20a%3Db, x-team = edge ," };
    expect(read(all).receiver?.headers).toEqual([
      ["authorization", "Bearer a=b"],
      ["x-team", "edge"],
    ]);
    const own = { ...all, OTEL_EXPORTER_OTLP_TRACES_HEADERS: "x-own=1" };
    expect(read(own).receiver?.headers).toEqual([["x-own", "1"]]);
  });

  it("has times with bounds", () => {
    expect(times({ OTEL_EXPORTER_OTLP_TIMEOUT: "2500" })).toMatchObject({ timeoutMs: 2500 });
    expect(times({ OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: "900000" })).toMatchObject({
      timeoutMs: MAX_TIMEOUT_MS,
    });
    expect(times({ OTEL_BSP_SCHEDULE_DELAY: "0" })).toMatchObject({ gatherMs: 0 });
  });

  it("is none where its address is no URL, which is said without the value", () => {
    for (const text of ["collector:4318", "ftp://x/", "http://", "grpc://secret@x:4317"]) {
      const settings = read({ OTEL_EXPORTER_OTLP_ENDPOINT: text });
      expect(settings.receiver).toBeNull();
      expect(settings.problems).toEqual(["OTEL_EXPORTER_OTLP_ENDPOINT: must be an http or https URL"]);
    }
  });
});

function samplingOf(name: string, argument?: string): TraceSettings {
  const ratio: Record<string, string> = argument === undefined ? {} : { OTEL_TRACES_SAMPLER_ARG: argument };
  return read({ ...ENDPOINT, OTEL_TRACES_SAMPLER: name, ...ratio });
}

describe("the sampler", () => {
  it("is OpenTelemetry's default, or the one that is named", () => {
    expect(read(ENDPOINT).sampling).toEqual({ ratio: 1, keepsParent: true });
    expect(samplingOf("parentbased_always_off").sampling).toEqual({ ratio: 0, keepsParent: true });
    expect(samplingOf("parentbased_traceidratio", "0.05").sampling).toEqual({
      ratio: 0.05,
      keepsParent: true,
    });
    expect(samplingOf("traceidratio", "0.05").sampling).toEqual({ ratio: 0.05, keepsParent: false });
    expect(samplingOf("traceidratio").sampling).toEqual({ ratio: 1, keepsParent: false });
    expect(samplingOf("always_on").sampling).toEqual({ ratio: 1, keepsParent: false });
  });

  it("decides also where nothing is sent: those behind may record", () => {
    const { receiver, sampling } = read({
      OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
      OTEL_TRACES_SAMPLER_ARG: "0.5",
    });
    expect(receiver).toBeNull();
    expect(sampling).toEqual({ ratio: 0.5, keepsParent: true });
  });

  it("keeps its default where it cannot be used, and says so", () => {
    expect(samplingOf("jaeger_remote").problems[0]).toMatch(/^OTEL_TRACES_SAMPLER: must be one of always_on/);
    for (const argument of ["2", "-1", "half"]) {
      const { sampling, problems } = samplingOf("parentbased_traceidratio", argument);
      expect(sampling).toEqual({ ratio: 1, keepsParent: true });
      expect(problems).toEqual(["OTEL_TRACES_SAMPLER_ARG: must be a number from 0 to 1"]);
    }
  });
});

describe("the resource", () => {
  it("has attributes and a name; the name's own variable counts most", () => {
    const attributes = { OTEL_RESOURCE_ATTRIBUTES: "service.name=shop,deployment.environment.name=a%2Cb" };
    expect(read(attributes).resource).toEqual({
      "service.name": "shop",
      "deployment.environment.name": "a,b",
    });
    expect(read({ ...attributes, OTEL_SERVICE_NAME: "front" }).resource["service.name"]).toBe("front");
  });

  it("leaves out what is malformed and says so, without the value", () => {
    const { resource, problems } = read({ OTEL_RESOURCE_ATTRIBUTES: "a=%zz,nothing,=b,c=d" });
    expect(resource).toEqual({ "service.name": "edge", c: "d" });
    expect(new Set(problems)).toEqual(
      new Set([
        "OTEL_RESOURCE_ATTRIBUTES: must be name=value pairs, separated by commas, with values percent-encoded",
      ]),
    );
  });

  it("warns of a protocol that is not spoken, and sends all the same", () => {
    const settings = read({ ...ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" });
    expect(settings.problems).toEqual(["OTEL_EXPORTER_OTLP_PROTOCOL: only http/json is spoken here"]);
    expect(settings.receiver).not.toBeNull();
  });
});
