// What wrangler.toml names and a deploy needs to be there already, with wrangler's commands that look for
// it and create it. Durable Objects and cron triggers come with the deploy.
import { WRANGLER_TOML } from "./project.ts";

export interface Resource {
  readonly kind: "queue" | "bucket" | "rule" | "database";
  readonly name: string;
  /** Arguments of wrangler. */
  readonly find: readonly string[];
  /** Whether what `find` printed means that it is there. */
  readonly isFound: (output: string) => boolean;
  readonly create: readonly string[];
}

/** Bodies of jobs: a job may wait for days and a dead one is kept for 30. */
const CLAIMS_EXPIRE_DAYS = 60;
const CLAIMS_RULE = "tidegate-claims-expire";
const CLAIMS_PREFIX = "claims/";

/**
 * `relayed`: Hyperdrive bindings that relays use. In the order in which they have to be created: a queue's
 * dead-letter queue comes first.
 */
export async function declaredResources(
  relayed: ReadonlySet<string> = new Set(),
  wranglerToml = WRANGLER_TOML,
): Promise<readonly Resource[]> {
  const { unstable_readConfig } = await import("wrangler");
  const { queues, r2_buckets, hyperdrive } = unstable_readConfig(
    { config: wranglerToml },
    { hideWarnings: true },
  );
  const consumers: readonly { queue: string; dead_letter_queue?: string }[] = queues.consumers ?? [];
  const producers: readonly { queue: string }[] = queues.producers ?? [];
  const queueNames = new Set([
    ...consumers.flatMap((consumer) => consumer.dead_letter_queue ?? []),
    ...consumers.map(({ queue }) => queue),
    ...producers.map(({ queue }) => queue),
  ]);
  const buckets: readonly { binding: string; bucket_name?: string }[] = r2_buckets ?? [];
  const databases: readonly { binding: string; id?: string }[] = hyperdrive ?? [];
  return [
    ...[...queueNames].map(queueResource),
    ...buckets.flatMap(bucketResources),
    ...databases.filter(({ binding }) => relayed.has(binding)).map(databaseResource),
  ];
}

/** Who creates one needs the database's password; all that is seen to here is that its cache is off. */
function databaseResource({ binding, id = "" }: { binding: string; id?: string }): Resource {
  return {
    kind: "database",
    name: `${binding} without a cache`,
    find: ["hyperdrive", "get", id],
    isFound: (output) => /"disabled":\s*true/.test(output),
    create: ["hyperdrive", "update", id, "--caching-disabled"],
  };
}

function queueResource(name: string): Resource {
  return {
    kind: "queue",
    name,
    find: ["queues", "info", name],
    isFound: () => true,
    create: ["queues", "create", name],
  };
}

function bucketResources({
  binding,
  bucket_name: name,
}: {
  binding: string;
  bucket_name?: string;
}): Resource[] {
  if (name === undefined) return [];
  const bucket: Resource = {
    kind: "bucket",
    name,
    find: ["r2", "bucket", "info", name],
    isFound: () => true,
    // Without this wrangler asks whether to write to wrangler.toml.
    create: ["r2", "bucket", "create", name, "--update-config=false"],
  };
  return binding === "CLAIMS" ? [bucket, expiryOf(name)] : [bucket];
}

/** Bodies go with their jobs; this takes those whose request was not accepted after all. */
function expiryOf(bucket: string): Resource {
  const expiry = ["--expire-days", String(CLAIMS_EXPIRE_DAYS), "--force"];
  return {
    kind: "rule",
    name: `${CLAIMS_RULE} of ${bucket}`,
    find: ["r2", "bucket", "lifecycle", "list", bucket],
    isFound: (output) => output.includes(CLAIMS_RULE),
    create: ["r2", "bucket", "lifecycle", "add", bucket, CLAIMS_RULE, CLAIMS_PREFIX, ...expiry],
  };
}
