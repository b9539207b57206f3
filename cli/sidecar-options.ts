// The options of `tidegate sidecar`.
import { resolve } from "node:path";
import { parseDuration } from "../src/http/durations.ts";
import { parseOptions } from "./arguments.ts";
import { parseAssignment } from "./secrets.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface SidecarOptions {
  readonly inbound: Address | null;
  /** Base URL of the service behind the inbound side. */
  readonly app: string | null;
  readonly outbound: Address | null;
  /** Whether callers may reach hosts that no upstream stands for. */
  readonly anyHost: boolean;
  readonly admin: Address | null;
  readonly config: string | null;
  readonly certificates: {
    readonly cert: string;
    readonly key: string;
    readonly clientCa: string | null;
  } | null;
  readonly graceMs: number;
  readonly env: Readonly<Record<string, string>>;
}

export type ParsedSidecar =
  | { readonly ok: true; readonly options: SidecarOptions }
  | { readonly ok: false; readonly error: string };

const SPECS = {
  inbound: { type: "string" },
  app: { type: "string" },
  outbound: { type: "string" },
  "outbound-hosts": { type: "string" },
  admin: { type: "string" },
  config: { type: "string" },
  "tls-cert": { type: "string" },
  "tls-key": { type: "string" },
  "client-ca": { type: "string" },
  grace: { type: "string", default: "30s" },
  env: { type: "string", multiple: true, default: [] as string[] },
} as const;

const ADDRESS = /^(?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):)?(\d{1,5})$/;
const LOOPBACK = /^(?:127\.|localhost$|::1$)/;
const MAX_PORT = 65_535;
/** Timers hold 31 bits. */
const MAX_GRACE_MS = 2 ** 31 - 1;

/** What is wrong with an option. */
class Wrong extends Error {}

export function parseSidecarOptions(args: string[]): ParsedSidecar {
  const parsed = parseOptions("sidecar", args, { ...SPECS, env: { ...SPECS.env, default: [] as string[] } });
  if (!parsed.ok) return parsed;
  try {
    return { ok: true, options: read(parsed.values) };
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    return { ok: false, error: `tidegate sidecar: ${error.message}` };
  }
}

type Values = Partial<Record<Exclude<keyof typeof SPECS, "env">, string>> & {
  readonly env: readonly string[];
};

function read(values: Values): SidecarOptions {
  const inbound = addressOf("inbound", values.inbound);
  const outbound = addressOf("outbound", values.outbound);
  if (inbound === null && outbound === null) throw new Wrong("give --inbound, --outbound or both");
  if (inbound === null && values.config === undefined) {
    throw new Wrong("--outbound alone needs --config, which names its upstreams");
  }
  if ((inbound === null) !== (values.app === undefined)) throw new Wrong("--inbound and --app go together");
  return {
    inbound,
    app: values.app === undefined ? null : appOf(values.app),
    outbound,
    anyHost: anyHostOf(values["outbound-hosts"], outbound),
    admin: addressOf("admin", values.admin),
    config: values.config === undefined ? null : resolve(values.config),
    certificates: certificatesOf(values),
    graceMs: graceOf(values.grace ?? ""),
    env: environmentOf(values.env),
  };
}

function addressOf(option: string, text: string | undefined): Address | null {
  if (text === undefined) return null;
  const match = ADDRESS.exec(text);
  if (match === null || Number(match[2]) > MAX_PORT) {
    throw new Wrong(`--${option} must be an address like 127.0.0.1:9080, got ${JSON.stringify(text)}`);
  }
  return { host: (match[1] ?? "127.0.0.1").replaceAll(/^\[|\]$/g, ""), port: Number(match[2]) };
}

function appOf(text: string): string {
  if (!URL.canParse(text) || !/^https?:\/\/[^?#]+$/.test(text)) {
    throw new Wrong(`--app must be a URL like http://127.0.0.1:3000, got ${JSON.stringify(text)}`);
  }
  return text.replace(/\/$/, "");
}

/** On an address of other machines' too, a proxy to anywhere is opened only by name. */
function anyHostOf(text: string | undefined, outbound: Address | null): boolean {
  if (text !== undefined && text !== "any" && text !== "known") {
    throw new Wrong(`--outbound-hosts must be any or known, got ${JSON.stringify(text)}`);
  }
  if (text !== undefined) return text === "any";
  return outbound !== null && LOOPBACK.test(outbound.host);
}

function certificatesOf(values: Values): SidecarOptions["certificates"] {
  const cert = values["tls-cert"];
  const key = values["tls-key"];
  const clientCa = values["client-ca"];
  if ((cert === undefined) !== (key === undefined)) throw new Wrong("--tls-cert and --tls-key go together");
  if (clientCa !== undefined && cert === undefined) {
    throw new Wrong("--client-ca needs --tls-cert and --tls-key");
  }
  if (cert === undefined || key === undefined) return null;
  if (values.inbound === undefined) throw new Wrong("--tls-cert needs --inbound");
  return { cert, key, clientCa: clientCa ?? null };
}

function graceOf(text: string): number {
  const graceMs = parseDuration(/^\d+$/.test(text) ? Number(text) : text);
  if (graceMs !== null && graceMs <= MAX_GRACE_MS) return graceMs;
  throw new Wrong(`--grace must be a duration like 30s, got ${JSON.stringify(text)}`);
}

function environmentOf(texts: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const text of texts) {
    const assignment = parseAssignment(text);
    if (assignment === null) throw new Wrong(`--env must be NAME=VALUE, got ${JSON.stringify(text)}`);
    env[assignment[0]] = assignment[1];
  }
  return env;
}
