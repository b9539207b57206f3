// Command lines: strict options, and for a mistake one line that says what exists.
import { parseArgs, type ParseArgsConfig } from "node:util";

type OptionSpecs = NonNullable<ParseArgsConfig["options"]>;

type Values<T extends OptionSpecs> = ReturnType<
  typeof parseArgs<{ options: T; args: string[]; strict: true; allowPositionals: false }>
>["values"];

export type Parsed<T extends OptionSpecs> =
  | { readonly ok: true; readonly values: Values<T> }
  | { readonly ok: false; readonly error: string };

/** Parses the arguments of `tidegate <command>`; anything but the named options is an error. */
export function parseOptions<T extends OptionSpecs>(command: string, args: string[], options: T): Parsed<T> {
  try {
    const { values } = parseArgs({ args, options, strict: true as const, allowPositionals: false as const });
    return { ok: true, values };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const known = Object.keys(options).map((name) => `--${name}`);
    const exists = known.length === 0 ? "it takes no options" : `it takes ${known.join(" ")}`;
    const hint = isSwallowedByNpm(command, reason)
      ? `: give npm its -- first, npm ${command} -- --port 9000`
      : "";
    return { ok: false, error: `tidegate ${command}: ${firstSentence(reason)}; ${exists}${hint}` };
  }
}

/** Parses a whole number within bounds, or says what is wrong with it. */
export function parseWhole(option: string, text: string, min: number, max: number): number | string {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  return `--${option} must be a whole number from ${min} to ${max}, got ${JSON.stringify(text)}`;
}

/** Of `npm start --port 9000` npm keeps the option for itself and passes its value on. */
function isSwallowedByNpm(command: string, reason: string): boolean {
  return process.env.npm_lifecycle_event === command && reason.startsWith("Unexpected argument");
}

// Node's messages go on with advice about positional arguments, which none of the commands take.
function firstSentence(message: string): string {
  return message.split(/\.(?:\s|$)/)[0].replaceAll("\n", " ");
}
