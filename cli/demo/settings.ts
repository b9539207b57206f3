// How a demo upstream behaves: set with one curl, e.g. `/_demo?capacity=10&latency=100&errors=0.5&down=1`.

export interface DemoSettings {
  /** Requests served at a time; the others wait in order. */
  readonly capacity: number;
  /** Time to serve one request, in ms. */
  readonly latency: number;
  /** Share of answers that are 500, 0 to 1. */
  readonly errors: number;
  /** Closes every connection without an answer. */
  readonly down: boolean;
}

/** Bounds: high enough to be out of the way, low enough to be a slip of the keyboard beyond. */
const MAX = { capacity: 100_000, latency: 600_000, errors: 1, down: 1 };

export type SettingsChange =
  | { readonly ok: true; readonly settings: DemoSettings }
  | { readonly ok: false; readonly error: string };

/** The settings with those of the query in place of the old. */
export function changeSettings(current: DemoSettings, query: URLSearchParams): SettingsChange {
  const changed: Record<keyof typeof MAX, number> = { ...current, down: Number(current.down) };
  for (const [name, text] of query) {
    if (!isSetting(name)) return fail(`unknown setting ${name}; there are ${Object.keys(MAX).join(", ")}`);
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (!(value >= 0 && value <= MAX[name])) return fail(`${name} must be from 0 to ${MAX[name]}`);
    changed[name] = value;
  }
  if (!Number.isInteger(changed.capacity) || changed.capacity < 1) return fail("capacity must be 1 or more");
  return { ok: true, settings: { ...changed, down: changed.down > 0 } };
}

function isSetting(name: string): name is keyof typeof MAX {
  return Object.hasOwn(MAX, name);
}

function fail(error: string): SettingsChange {
  return { ok: false, error };
}
