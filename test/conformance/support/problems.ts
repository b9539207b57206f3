// What every answer of the gateway's own has to look like (RFC 9457, RFC 9209, RFC 9110 10.2.3), and how an
// operator reads why.
import type { ExpectStatic } from "vitest";

export interface Answer {
  readonly status: number;
  readonly header: (name: string) => string | null;
  readonly text: string;
}

/** A problem as the contract lists it. */
export interface ExpectedProblem {
  readonly status: number;
  readonly code: string;
  /** true: waiting helps, so `retry-after` has to be there; false: it must not. */
  readonly waits?: boolean;
  /** Whether an upstream was involved: `proxy-status` has to be there. */
  readonly upstream?: string;
}

export interface ProblemBody {
  readonly [member: string]: unknown;
}

/** Reads a fetch response to its end. */
export async function readAnswer(response: Response): Promise<Answer> {
  const text = await response.text();
  return { status: response.status, header: (name) => response.headers.get(name), text };
}

/** Holds an answer against the contract of problems; gives its body. */
export function expectProblem(expect: ExpectStatic, answer: Answer, expected: ExpectedProblem): ProblemBody {
  expect(answer.status, answer.text).toBe(expected.status);
  expect(answer.header("content-type")).toBe("application/problem+json");
  const body = jsonObject(answer.text);
  expect(body).toMatchObject({
    type: `/_gateway/problems/${expected.code}`,
    status: expected.status,
    code: expected.code,
  });
  expect(body["title"]).toMatch(/^\S.{3,}$/);
  expect(body["detail"]).toMatch(/^[A-Z].*\.$/);
  expect(answer.header("x-request-id")).toMatch(/^[A-Za-z0-9._-]{1,128}$/);
  expect(body["requestId"]).toBe(answer.header("x-request-id"));
  if (expected.waits !== undefined) expectWait(expect, answer, body, expected.waits);
  if (expected.upstream !== undefined) {
    // A member of the list is the intermediary's name, then parameters (RFC 9209 2).
    expect(answer.header("proxy-status")).toMatch(/^tidegate; ?error=[a-z_]+/);
    expect(body["upstream"]).toBe(expected.upstream);
  }
  expectNoSecrets(expect, answer);
  return body;
}

function expectWait(expect: ExpectStatic, answer: Answer, body: ProblemBody, waits: boolean): void {
  const seconds = answer.header("retry-after");
  if (!waits) {
    expect(seconds).toBeNull();
    return;
  }
  expect(seconds).toMatch(/^[1-9]\d*$/);
  expect(body["retryAfter"]).toBe(Number(seconds));
}

/** Never an address of a target, nor a stack. */
export function expectNoSecrets(expect: ExpectStatic, { text, header }: Answer): void {
  const shown = [text, header("proxy-status"), header("retry-after"), header("x-tidegate-decision")].join(
    "\n",
  );
  expect(shown).not.toMatch(/127\.0\.0\.1|localhost|https?:\/\//);
  expect(shown).not.toMatch(/\bat .+\.(ts|js|mjs):\d+|Error:|node_modules/);
}

export interface Stage {
  readonly stage: string;
  readonly verdict: string;
  readonly numbers: Readonly<Record<string, string>>;
}

/** `x-tidegate-decision` by its grammar: `stage=verdict;number=...`, separated by commas. */
export function parseDecision(value: string | null): readonly Stage[] {
  if (value === null) return [];
  return value.split(",").map((text) => {
    const [first, ...rest] = text
      .trim()
      .split(";")
      .map((part) => part.split("="));
    if (first.length !== 2 || rest.some((pair) => pair.length !== 2)) {
      throw new Error(`not a decision: ${value}`);
    }
    return { stage: first[0], verdict: first[1], numbers: Object.fromEntries(rest) };
  });
}

export function jsonObject(text: string): ProblemBody {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null) throw new Error(`not an object: ${text}`);
  return Object.fromEntries(Object.entries(value));
}
