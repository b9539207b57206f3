// What a configuration file may say of a relay, as a type.

export interface RelayConfig {
  /** Name of the Hyperdrive binding; its cache must be off. */
  hyperdrive: string;
  /** The table, with a schema or without. Default: `"outbox"`. */
  table?: string;
  /** `"key"`: events of one key keep their order. `"none"`: a plain table, no order. Default: `"key"`. */
  order?: "key" | "none";
  /** Columns that are called otherwise, like `{ type: "kind" }`. */
  columns?: Record<string, string>;
  /** With order `"key"`: what a row that can never be published does to its key. Default: `"block"`. */
  onPoison?: "block" | "skip";
  /** Waiting rows from which, after a minute, an alert is raised. Default: 10,000. */
  alertAt?: number;
}
