// Which bindings wrangler.toml declares, by what a configuration may use them for.
import type { DeclaredBindings } from "../src/config/bindings.ts";
import { WRANGLER_TOML } from "./project.ts";

export async function declaredBindings(): Promise<DeclaredBindings> {
  const { unstable_readConfig } = await import("wrangler");
  const config = unstable_readConfig({ config: WRANGLER_TOML }, { hideWarnings: true });
  const {
    triggers,
    services,
    mtls_certificates,
    vpc_services,
    vpc_networks,
    durable_objects,
    queues,
    workflows,
  } = config;
  const hyperdrives: readonly { binding: string }[] = config.hyperdrive ?? [];
  const fetchers = [services, mtls_certificates, vpc_services, vpc_networks].flatMap((list) => list ?? []);
  const producers: readonly { binding: string; queue: string }[] = queues.producers ?? [];
  const consumed = new Set(
    (queues.consumers ?? []).flatMap((each: { queue: string; dead_letter_queue?: string }) =>
      each.dead_letter_queue === undefined ? [] : [each.queue],
    ),
  );
  return {
    fetchers: new Set(fetchers.map(({ binding }) => binding)),
    objects: new Set(durable_objects.bindings.map((binding: { name: string }) => binding.name)),
    workflows: new Set(workflows.map((workflow: { binding: string }) => workflow.binding)),
    crons: new Set(triggers.crons ?? []),
    hyperdrives: new Set(hyperdrives.map(({ binding }) => binding)),
    queues: new Set(producers.map(({ binding }) => binding)),
    consumed: new Set(producers.flatMap(({ binding, queue }) => (consumed.has(queue) ? [binding] : []))),
  };
}
