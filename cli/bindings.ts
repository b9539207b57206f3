// Which bindings of wrangler.toml can be a target: those with a `fetch` of their own.
import { WRANGLER_TOML } from "./project.ts";

export async function declaredBindings(): Promise<ReadonlySet<string>> {
  const { unstable_readConfig } = await import("wrangler");
  const config = unstable_readConfig({ config: WRANGLER_TOML }, { hideWarnings: true });
  const { services, mtls_certificates, vpc_services, vpc_networks } = config;
  const all = [services, mtls_certificates, vpc_services, vpc_networks].flatMap((list) => list ?? []);
  return new Set(all.map(({ binding }) => binding));
}
