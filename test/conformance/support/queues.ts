// Queued routes from outside: requests that are stored, their jobs, and an upstream that keeps whole
// requests.
import { startUpstream, until, type RunningUpstream } from "../../integration/rig/index.ts";
import { jsonObject, readAnswer, type Answer, type ProblemBody } from "./problems.ts";

export const JOB_URL = /^\/_gateway\/jobs\/[0-9a-f]{32}-[0-9a-z]+-[A-Za-z0-9_-]+$/;
/** Most of it is the time that the local queue collects a batch. */
export const DELIVERY_MS = 15_000;

/** Whatever answers `/_gateway/...` and routes. */
export interface Asked {
  readonly url: string;
  readonly adminToken: string;
}

export interface Delivered {
  readonly method: string;
  readonly target: string;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

export interface WorkUpstream extends RunningUpstream {
  /** Requests with their bodies, in the order in which they were complete. */
  readonly delivered: Delivered[];
  /** What the next requests are answered with, by path; the status, or a function of the how-manieth. */
  readonly answers: Map<string, number>;
}

/** Answers 200 `done <path>` unless told otherwise. */
export async function startWorkUpstream(): Promise<WorkUpstream> {
  const delivered: Delivered[] = [];
  const answers = new Map<string, number>();
  const upstream = await startUpstream((request, response) => {
    const { method = "", url: target = "", headers } = request;
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      delivered.push({ method, target, headers, body: Buffer.concat(chunks).toString("latin1") });
      response.writeHead(answers.get(target) ?? 200, { "x-worked": "yes", "content-type": "text/plain" });
      response.end(`done ${target}`);
    });
  });
  return { ...upstream, delivered, answers };
}

export interface Sent {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** A request to a queued route. */
export async function send(gateway: Asked, path: string, sent: Sent = {}): Promise<Answer> {
  const { method = "POST", headers = {}, body = "hello" } = sent;
  const init = { method, headers, ...(method === "GET" || method === "HEAD" ? {} : { body }) };
  return readAnswer(await fetch(`${gateway.url}${path}`, init));
}

/** The id of what was answered with 202. */
export function jobOf(answer: Answer): string {
  if (answer.status !== 202) throw new Error(`${answer.status} ${answer.text}`);
  return String(jsonObject(answer.text)["id"]);
}

export function readJob(gateway: Asked, id: string, headers: Record<string, string> = {}): Promise<Answer> {
  return send(gateway, `/_gateway/jobs/${id}`, { method: "GET", headers });
}

export function askOperator(gateway: Asked, method: string, path: string, body?: unknown): Promise<Answer> {
  const headers = { authorization: `Bearer ${gateway.adminToken}` };
  const text = body === undefined ? {} : { body: JSON.stringify(body) };
  return send(gateway, `/_gateway/${path}`, { method, headers, ...text });
}

/** Waits until the job has that status; gives what it says. */
export async function jobWith(
  gateway: Asked,
  id: string,
  status: string,
  headers: Record<string, string> = {},
): Promise<ProblemBody> {
  let body: ProblemBody = {};
  await until(`${id} is ${status}`, DELIVERY_MS, async () => {
    body = jsonObject((await readJob(gateway, id, headers)).text);
    return body["status"] === status;
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}; it says ${JSON.stringify(body)}`);
  });
  return body;
}

/** What the state page says of a queue. */
export async function queueState(gateway: Asked, queue: string): Promise<ProblemBody> {
  const state = jsonObject((await askOperator(gateway, "GET", "state")).text);
  const queues = jsonObject(JSON.stringify(state["queues"]));
  return jsonObject(JSON.stringify(queues[queue]));
}
