// What every bench is: a measurement that gives plain data, and the table that is made of that data.

export interface RunOptions {
  /** Shorter and rougher: for a look while working, not for results that are kept. */
  readonly quick: boolean;
}

export interface Bench<Result> {
  readonly name: string;
  /** null: it cannot be measured here, and has said why; what is kept stays as it is. */
  readonly measure: (options: RunOptions) => Promise<Result | null>;
  /** Markdown, from the data alone. */
  readonly tables: (result: Result) => string;
  /** More of it for other sections of the document, each between markers of this name. */
  readonly sections?: Readonly<Record<string, (result: Result) => string>>;
}
