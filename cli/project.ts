// Where the parts of the project lie, whatever the working directory is.
import { fileURLToPath } from "node:url";

const inProject = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

export const PROJECT_ROOT = inProject(".");
export const WRANGLER_TOML = inProject("wrangler.toml");
export const DEFAULT_CONFIG_FILE = inProject("tidegate.config.ts");
/** What `import { defineGateway } from "tidegate"` means. */
export const LIBRARY_ENTRY = inProject("src/tidegate.ts");
