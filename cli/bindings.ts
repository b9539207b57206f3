// Which bindings wrangler.toml declares, by what a configuration may use them for.
import type { DeclaredBindings } from "../src/config/bindings.ts";
import { WRANGLER_TOML } from "./project.ts";

export async function declaredBindings(): Promise<DeclaredBindings> {
  const { unstable_readConfig } = await import("wrangler");
  const config = unstable_readConfig({ config: WRANGLER_TOML }, { hideWarnings: true });
  const { services, mtls_certificates, vpc_services, vpc_networks, durable_objects, queues } = config;
  const fetchers = [services, mtls_certificates, vpc_services, vpc_networks].flatMap((list) => list ?? []);
  return {
    fetchers: new Set(fetchers.map(({ binding }) => binding)),
    objects: new Set(durable_objects.bindings.map((binding: { name: string }) => binding.name)),
    queues: new Set((queues.producers ?? []).map((producer: { binding: string }) => producer.binding)),
  };
}
