// Where the parts of the project lie, whatever the working directory is.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { fieldOf, parseJson } from "./fields.ts";

const inProject = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

export const PROJECT_ROOT = inProject(".");
export const WRANGLER_TOML = inProject("wrangler.toml");
/** What the import `#config` means: package.json says it, whether the file is there or not. */
export const DEFAULT_CONFIG_FILE = defaultConfigFile();
/** What stands in its place in the Worker: wrangler.toml names it. */
export const COMPILED_CONFIG_FILE = inProject(".tidegate/config.json");
/** What stands in the place of `#relay`: relays, or nothing where the configuration has none. */
export const CHOSEN_RELAY_FILE = inProject(".tidegate/relay.js");
/** What `import { defineGateway } from "tidegate"` means. */
export const LIBRARY_ENTRY = inProject("src/tidegate.ts");

function defaultConfigFile(): string {
  const imports = fieldOf(parseJson(readFileSync(inProject("package.json"), "utf8")), "imports");
  const file = fieldOf(imports, "#config");
  // With conditions it takes Node to tell, which asks for a file that is there.
  return typeof file === "string" ? inProject(file) : createRequire(import.meta.url).resolve("#config");
}
