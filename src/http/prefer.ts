// The `Prefer` header (RFC 7240), as far as the gateway honours it: `wait=N` and `respond-async`.

export interface Preferences {
  /** Whole seconds; null: not said. */
  readonly waitSeconds: number | null;
  readonly respondAsync: boolean;
}

/** Reads the field's value; what is malformed is ignored, and the first of several values counts. */
export function parsePrefer(value: string | null): Preferences {
  let waitSeconds: number | null = null;
  let respondAsync = false;
  for (const preference of (value ?? "").split(",")) {
    const [name, argument] = preference.split(";", 1)[0].split("=", 2);
    const token = name.trim().toLowerCase();
    const text = argument?.trim().replace(/^"(.*)"$/, "$1") ?? "";
    if (token === "respond-async") respondAsync = true;
    if (token === "wait" && /^\d{1,9}$/.test(text)) waitSeconds ??= Number(text);
  }
  return { waitSeconds, respondAsync };
}
