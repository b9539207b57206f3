// Databases of a gateway on this machine: what stands for a Hyperdrive there is the address of a Postgres.
import type { RelayPlan } from "../src/config/plan.ts";

/** As wrangler calls them; the second is its older name. */
const PREFIXES = ["WRANGLER", "CLOUDFLARE"].map((owner) => `${owner}_HYPERDRIVE_LOCAL_CONNECTION_STRING_`);
const NOWHERE = "postgres://nobody:nobody@127.0.0.1:1/nowhere";
const POSTGRES = /^postgres(?:ql)?:\/\//;

/** Addresses by binding: of the environment, and of `--env NAME=postgres://...`, which wins. */
export function localDatabases(
  given: Readonly<Record<string, string>>,
  environment: Readonly<NodeJS.ProcessEnv>,
): Record<string, string> {
  const named = PREFIXES.flatMap((prefix) =>
    Object.entries(environment).flatMap(([name, value]) =>
      name.startsWith(prefix) && value !== undefined && value !== ""
        ? [[name.slice(prefix.length), value] as const]
        : [],
    ),
  );
  const written = Object.entries(given).filter(([, value]) => POSTGRES.test(value));
  return Object.fromEntries([...named, ...written]);
}

/** One line for each database that is nowhere on this machine, or not as the runtime reads it. */
export function databaseErrors(
  relays: readonly Pick<RelayPlan, "name" | "hyperdrive">[],
  addresses: Readonly<Record<string, unknown>>,
): string[] {
  return relays.flatMap(({ name, hyperdrive }) => {
    const known = addresses[hyperdrive];
    const address = known instanceof URL ? known.href : known;
    if (address === undefined || address === NOWHERE) {
      return [
        `relays.${name}: no database stands for ${hyperdrive} here: give it with ` +
          `--env ${hyperdrive}=postgres://user:password@127.0.0.1:5432/database`,
      ];
    }
    const isWhole = typeof address !== "string" || isAddress(address);
    return isWhole
      ? []
      : [`relays.${name}: the address of ${hyperdrive} must be postgres://user:password@host:port/database`];
  });
}

/** The runtime takes no address without one of these. */
function isAddress(text: string): boolean {
  if (!POSTGRES.test(text) || !URL.canParse(text)) return false;
  const { username, password, hostname, pathname } = new URL(text);
  return username !== "" && password !== "" && hostname !== "" && pathname.length > 1;
}

interface DeclaredDatabase {
  readonly binding: string;
  readonly localConnectionString?: string;
}

/**
 * wrangler reads no file that names a database without a local address, although the configuration may need
 * none of it, or `--env` may give it. So each of these gets one while `read` runs; nobody listens there.
 */
export function withDatabases<Shape>(declared: readonly DeclaredDatabase[], read: () => Shape): Shape {
  const unset = declared
    .filter(({ localConnectionString }) => localConnectionString === undefined)
    .filter(({ binding }) => PREFIXES.every((prefix) => (process.env[prefix + binding] ?? "") === ""))
    .map(({ binding }) => PREFIXES[1] + binding);
  for (const name of unset) process.env[name] = NOWHERE;
  try {
    return read();
  } finally {
    for (const name of unset) Reflect.deleteProperty(process.env, name);
  }
}
