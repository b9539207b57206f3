// Brings changes of the configuration file to the running gateway. A change that is wrong is reported and
// the old configuration goes on. The gateway swaps its configuration between two requests: none is lost.
import type { CompiledConfig } from "../src/config/compiled-config.ts";
import { databaseErrors } from "./databases.ts";
import { FileWatch } from "./file-watch.ts";
import { pushConfig } from "./gateway-client.ts";
import { report, reportAll } from "./output.ts";
import { prepareConfig } from "./prepare.ts";

export interface ReloadOptions {
  readonly file: string;
  readonly adminToken: string;
  /** What the running gateway was given; it cannot be given more without a restart. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Addresses by Hyperdrive binding, as far as it was given them. */
  readonly databases: Readonly<Record<string, unknown>>;
  /** Starts what the configuration needs, puts the real addresses in and compiles it. */
  readonly attach: (config: unknown) => Promise<CompiledConfig>;
  /** The configuration that the runtime starts with. */
  readonly current: CompiledConfig;
  /** The files that it was made from. */
  readonly inputs: readonly string[];
}

export class ConfigReload {
  readonly #options: ReloadOptions;
  readonly #built: CompiledConfig;
  #current: CompiledConfig;
  #urls: readonly string[] = [];
  readonly #files: FileWatch;
  #running: Promise<void> = Promise.resolve();

  constructor(options: ReloadOptions) {
    this.#options = options;
    this.#built = options.current;
    this.#current = options.current;
    this.#files = new FileWatch(options.inputs);
  }

  /** Follows the files from here on; a change since the construction counts. */
  watch(urls: readonly string[]): void {
    this.#urls = urls;
    this.#files.start(this.#changed);
  }

  /** Gives a restarted runtime the configuration that its predecessor had. */
  async push(): Promise<void> {
    if (this.#current === this.#built) return;
    reportAll(await this.#pushAll(this.#current));
  }

  // One at a time, in the order of the changes: the last state of the file wins.
  readonly #changed = (): void => {
    this.#running = this.#running.then(() => this.#reload());
  };

  async #reload(): Promise<void> {
    const errors = await this.#apply();
    if (errors.length === 0) return;
    reportAll(errors);
    report("configuration not reloaded: the old one goes on");
  }

  /** Gives it to every region; the errors of the first that refuses, which are those of all. */
  async #pushAll(config: CompiledConfig): Promise<readonly string[]> {
    for (const url of this.#urls) {
      const errors = await pushConfig(url, this.#options.adminToken, config);
      if (errors.length > 0) return errors;
    }
    return [];
  }

  async #apply(): Promise<readonly string[]> {
    const { file, secrets, databases, attach } = this.#options;
    const prepared = await prepareConfig(file, "local");
    // A file that does not load names only itself; what it imported before may be what is broken.
    this.#files.follow(
      prepared.ok ? prepared.inputs : [...new Set([...this.#files.files(), ...prepared.inputs])],
    );
    if (!prepared.ok) return prepared.errors;
    const { plan, advice } = prepared;
    const missing = plan.secrets.filter((name) => !Object.hasOwn(secrets, name));
    if (missing.length > 0) {
      return missing.map((name) => `env:${name} is new to the running gateway: restart it with a value`);
    }
    const unbound = databaseErrors(plan.relays, databases);
    if (unbound.length > 0) return unbound.map((line) => `${line}, and restart the gateway`);
    const config = await attach(prepared.config);
    const errors = await this.#pushAll(config);
    if (errors.length > 0) return errors;
    this.#current = config;
    reportAll(advice, "warning: ");
    report(`configuration reloaded (${plan.hash})`);
    return [];
  }
}
