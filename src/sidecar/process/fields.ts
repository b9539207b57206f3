// Header fields of a process: names in lower case, several lines of one name joined as RFC 9110 5.3 allows,
// `set-cookie` kept apart. It does what the Web's Headers do for a tenth of the time, because what it is made
// of has been checked by a parser, and what it becomes is checked by one.

type Value = string | string[];

/** Spares the lower-casing of names that come again and again. */
const lowerCased = new Map<string, string>();
const MAX_CACHED_NAMES = 512;

export class Fields implements Headers {
  readonly #values: Map<string, Value>;

  private constructor(values: Map<string, Value>) {
    this.#values = values;
  }

  /** From names and values in turn, as a server's parser gives them. */
  static ofRaw(raw: readonly string[]): Fields {
    const fields = new Fields(new Map());
    for (let index = 0; index + 1 < raw.length; index += 2) fields.append(raw[index], raw[index + 1]);
    return fields;
  }

  /** From names in lower case, as a client's parser gives them. */
  static ofRecord(record: Readonly<Record<string, string | string[] | undefined>>): Fields {
    const values = new Map<string, Value>();
    for (const name in record) {
      const value = record[name];
      if (typeof value === "string") values.set(name, name === "set-cookie" ? [value] : value);
      else if (value !== undefined) values.set(name, name === "set-cookie" ? value : value.join(", "));
    }
    return new Fields(values);
  }

  copy(): Fields {
    return new Fields(new Map(this.#values));
  }

  /** Names and values in turn, for a server's or a client's writer. */
  toRaw(): string[] {
    const raw: string[] = [];
    for (const [name, value] of this.#values) {
      if (typeof value === "string") raw.push(name, value);
      else for (const line of value) raw.push(name, line);
    }
    return raw;
  }

  append(name: string, value: string): void {
    const lower = lowerCase(name);
    const present = this.#values.get(lower);
    if (lower === "set-cookie") this.#values.set(lower, [...(Array.isArray(present) ? present : []), value]);
    else if (present === undefined) this.#values.set(lower, value);
    else this.#values.set(lower, `${String(present)}${lower === "cookie" ? "; " : ", "}${value}`);
  }

  set(name: string, value: string): void {
    const lower = lowerCase(name);
    this.#values.set(lower, lower === "set-cookie" ? [value] : value);
  }

  delete(name: string): void {
    this.#values.delete(lowerCase(name));
  }

  get(name: string): string | null {
    const value = this.#values.get(lowerCase(name));
    if (value === undefined) return null;
    return typeof value === "string" ? value : value.join(", ");
  }

  has(name: string): boolean {
    return this.#values.has(lowerCase(name));
  }

  getSetCookie(): string[] {
    const value = this.#values.get("set-cookie");
    return Array.isArray(value) ? [...value] : [];
  }

  forEach(callback: (value: string, name: string, parent: Headers) => void): void {
    for (const [name, value] of this.#values) {
      if (typeof value === "string") callback(value, name, this);
      else for (const line of value) callback(line, name, this);
    }
  }

  *entries(): IterableIterator<[string, string]> {
    for (const [name, value] of this.#values) {
      if (typeof value === "string") yield [name, value];
      else for (const line of value) yield [name, line];
    }
  }

  *keys(): IterableIterator<string> {
    for (const [name] of this.entries()) yield name;
  }

  *values(): IterableIterator<string> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }
}

function lowerCase(name: string): string {
  const known = lowerCased.get(name);
  if (known !== undefined) return known;
  const lower = name.toLowerCase();
  if (lowerCased.size < MAX_CACHED_NAMES) lowerCased.set(name, lower);
  return lower;
}
