// What each entry of the table of problems says.

export interface Problem {
  readonly status: number;
  readonly title: string;
  /** One sentence that says what to do. */
  readonly detail: string;
  /** What happened, what the caller can do, what the operator can do. */
  readonly explanation: string;
  readonly proxyError?: string;
}

export function defineProblems<Code extends string>(
  problems: Record<Code, Problem>,
): Readonly<Record<Code, Problem>> {
  return problems;
}
