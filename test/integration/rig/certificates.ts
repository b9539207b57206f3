// Certificates made on the spot by the system's openssl: an authority, and what it has signed.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whether certificates can be made here. */
export const HAS_OPENSSL = spawnSync("openssl", ["version"]).status === 0;

export interface Issued {
  /** Files in PEM form. */
  readonly cert: string;
  readonly key: string;
}

export interface IssueOptions {
  /** openssl's notation: `/C=DE/O=Acme/CN=client`. */
  readonly subject: string;
  /** openssl's notation: `IP:127.0.0.1,DNS:localhost`. */
  readonly altNames?: string;
  /** Its time is over. */
  readonly expired?: boolean;
}

/** An authority with its files in a folder of its own. */
export class Authority {
  readonly folder = mkdtempSync(join(tmpdir(), "tidegate-certificates-"));
  readonly cert: string;
  readonly #key: string;
  #count = 0;

  constructor(name: string) {
    this.cert = join(this.folder, "ca.pem");
    this.#key = join(this.folder, "ca.key");
    const subject = ["-subj", `/CN=${name}`];
    openssl("req", "-x509", ...NEW_KEY, "-keyout", this.#key, "-out", this.cert, "-days", "2", ...subject);
    writeFileSync(join(this.folder, "index.txt"), "");
    writeFileSync(join(this.folder, "index.txt.attr"), "unique_subject = no\n");
    writeFileSync(join(this.folder, "ca.conf"), caConfig(this.folder));
  }

  issue({ subject, altNames, expired = false }: IssueOptions): Issued {
    this.#count++;
    const file = (suffix: string): string => join(this.folder, `${this.#count}.${suffix}`);
    const [cert, key, request, extensions] = ["pem", "key", "csr", "ext"].map(file);
    writeFileSync(
      extensions,
      `basicConstraints=CA:FALSE\n${altNames === undefined ? "" : `subjectAltName=${altNames}\n`}`,
    );
    openssl("req", ...NEW_KEY, "-keyout", key, "-out", request, "-subj", subject, "-utf8");
    const dates = expired
      ? ["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"]
      : ["-startdate", "20200101000000Z", "-enddate", "20991231000000Z"];
    openssl(
      "ca",
      "-batch",
      "-notext",
      "-config",
      join(this.folder, "ca.conf"),
      "-cert",
      this.cert,
      "-keyfile",
      this.#key,
      "-md",
      "sha256",
      "-in",
      request,
      "-out",
      cert,
      "-extfile",
      extensions,
      ...dates,
    );
    return { cert, key };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What a client of Node's TLS takes. */
export function readPair({ cert, key }: Issued): { readonly cert: Buffer; readonly key: Buffer } {
  return { cert: readFileSync(cert), key: readFileSync(key) };
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

function openssl(...args: readonly string[]): void {
  execFileSync("openssl", args, { stdio: "pipe" });
}

const caConfig = (folder: string): string => `
[ca]
default_ca = own
[own]
database = ${folder}/index.txt
new_certs_dir = ${folder}
policy = anything
rand_serial = yes
preserve = yes
string_mask = utf8only
[anything]
countryName = optional
organizationName = optional
organizationalUnitName = optional
commonName = supplied
`;
