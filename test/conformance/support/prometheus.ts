// The Prometheus text format 0.0.4, read strictly:
// https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format

export interface Sample {
  readonly name: string;
  readonly type: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const METADATA = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/;
const SUFFIX = /_(?:bucket|sum|count)$/;

/** Every sample; throws on the first line that breaks the format. */
export function parsePrometheus(text: string): readonly Sample[] {
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  const types = new Map<string, string>();
  const samples: Sample[] = [];
  for (const line of text.split("\n").slice(0, -1)) {
    if (line.startsWith("#")) {
      const [, kind, name, rest] = METADATA.exec(line) ?? [];
      if (kind === undefined) throw new Error(`not a comment of the format: ${line}`);
      if (kind !== "TYPE") continue;
      if (types.has(name)) throw new Error(`a second TYPE for ${name}`);
      types.set(name, rest);
      continue;
    }
    const [, name, labels = "", value] = SAMPLE.exec(line) ?? [];
    if (name === undefined) throw new Error(`not a sample: ${line}`);
    const type = types.get(name) ?? types.get(name.replace(SUFFIX, ""));
    if (type === undefined) throw new Error(`no TYPE before ${line}`);
    samples.push({ name, type, labels: parseLabels(labels), value: parseValue(value) });
  }
  return samples;
}

function parseLabels(text: string): Readonly<Record<string, string>> {
  const labels: Record<string, string> = {};
  let rest = text;
  while (rest !== "") {
    const [whole, name, value] = LABEL.exec(rest) ?? [];
    if (whole === undefined) throw new Error(`not a label: ${rest}`);
    labels[name] = value;
    rest = rest.slice(whole.length);
  }
  return labels;
}

function parseValue(text: string): number {
  const value = text === "+Inf" ? Infinity : Number(text);
  if (Number.isNaN(value)) throw new Error(`not a value: ${text}`);
  return value;
}
