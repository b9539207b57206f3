// The repository's own rules: which folder may import what, what pure code never touches, how large files
// and functions get. Files are parsed, not searched, so that a comment or a text cannot be taken for code.
// A failure lists every place: `path:line rule`. The rules themselves are tried on a sample that breaks each.

import { globSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { API } from "typescript/unstable/sync";
import { createVirtualFileSystem } from "typescript/unstable/fs";
import type { Node, SourceFile } from "typescript/unstable/ast";
import { SyntaxKind } from "typescript/unstable/ast";
import * as is from "typescript/unstable/ast/is";
import { describe, it } from "vitest";

const ROOT = new URL("../", import.meta.url);
const SOURCES = "{src,durable-objects,cli,bench,test,examples}/**/*.{ts,mjs}";
const MAX_LINES = 300;
const MAX_TEST_LINES = 500;
const MAX_FUNCTION_LINES = 70;
const MAX_COLUMNS = 110;

const FOUNDATIONS = ["src/resilience", "src/crdt", "src/http"];
const PURE = [...FOUNDATIONS, "src/hub", "src/delivery/core"];
/** What events, webhooks, pull subscriptions and relays decide. */
const EVENTING = ["events", "webhooks/core", "pull", "relay"].map((folder) => `src/delivery/${folder}`);
const UNKNOWN_TO_PURE =
  /^(fetch|setTimeout|setInterval|Date\.now|Math\.random|performance\.now|crypto\.\w+)$/;

/** What files of a folder may import: folders of the repository, and whether packages. First match counts. */
const IMPORT_RULES: readonly { from: string; to: (folder: string) => boolean; packages: RegExp }[] = [
  ...FOUNDATIONS.map((from) => ({ from, to: within(FOUNDATIONS), packages: /^$/ })),
  ...EVENTING.map((from) => ({ from, to: within([...FOUNDATIONS, ...EVENTING]), packages: /^$/ })),
  { from: "src/hub", to: within([...FOUNDATIONS, "src/hub"]), packages: /^$/ },
  { from: "src/delivery/core", to: within(PURE), packages: /^$/ },
  {
    from: "src/config",
    to: within([...FOUNDATIONS, ...EVENTING, "src/config"]),
    packages: /^(?!cloudflare:|node:)/,
  },
  {
    from: "src/region",
    to: within([...PURE, "src/hub", "src/region"]),
    packages: /^(?!cloudflare:|node:)/,
  },
  {
    from: "src/telemetry",
    to: (folder) => folder.startsWith("src/") && !within(["src/edge", "src/admin"])(folder),
    packages: /^(?!node:)/,
  },
  {
    from: "durable-objects",
    to: within([...PURE, ...EVENTING, "src/region", "durable-objects"]),
    packages: /^cloudflare:workers$/,
  },
  // The Worker's own file: Cloudflare finds the classes of objects among its exports.
  {
    from: "src/index.ts",
    to: (folder) => within(["src", "durable-objects"])(folder),
    packages: /^(?!node:)/,
  },
  { from: "src", to: (folder) => folder === "src" || folder.startsWith("src/"), packages: /^(?!node:)/ },
];

function within(folders: readonly string[]): (folder: string) => boolean {
  return (folder) => folders.some((allowed) => folder === allowed || folder.startsWith(`${allowed}/`));
}

interface Parsed {
  readonly path: string;
  readonly text: string;
  readonly source: SourceFile;
  /** Every node, parents before children. */
  readonly nodes: readonly Node[];
}

type Violation = string;

/** Parses texts by path, without resolving anything beyond them. */
function parse(texts: Record<string, string>): Parsed[] {
  const paths = Object.keys(texts);
  const compilerOptions = { noLib: true, noResolve: true, allowJs: true, types: [], module: "esnext" };
  const files: Record<string, string> = {
    "/tsconfig.json": JSON.stringify({ compilerOptions, files: paths }),
  };
  for (const path of paths) files[`/${path}`] = texts[path];
  const api = new API({ cwd: "/", fs: createVirtualFileSystem(files) });
  try {
    const [project] = api.updateSnapshot({ openProjects: ["/tsconfig.json"] }).getProjects();
    return paths.map((path) => {
      const source = project.program.getSourceFile(`/${path}`);
      if (source === undefined) throw new Error(`${path} was not parsed`);
      return { path, text: texts[path], source, nodes: nodesOf(source) };
    });
  } finally {
    api.close();
  }
}

function nodesOf(root: Node): Node[] {
  const nodes: Node[] = [];
  const visit = (node: Node): void => {
    nodes.push(node);
    node.forEachChild(visit);
  };
  visit(root);
  return nodes;
}

function at(file: Parsed, position: number, rule: string): Violation {
  return `${file.path}:${file.source.getLineAndCharacterOfPosition(position).line + 1} ${rule}`;
}

function startOf(file: Parsed, node: Node): number {
  return node.getStart(file.source);
}

function isTest(path: string): boolean {
  return path.startsWith("test/");
}

const TEXT_KINDS = new Set<SyntaxKind>([
  SyntaxKind.StringLiteral,
  SyntaxKind.NoSubstitutionTemplateLiteral,
  SyntaxKind.TemplateHead,
  SyntaxKind.TemplateMiddle,
  SyntaxKind.TemplateTail,
  SyntaxKind.RegularExpressionLiteral,
]);

function textLiterals(file: Parsed): Node[] {
  return file.nodes.filter((node) => TEXT_KINDS.has(node.kind));
}

// --- rules about imports and exports

function specifiers(file: Parsed): { node: Node; text: string }[] {
  return file.nodes.flatMap((node) => {
    let specifier: Node | undefined;
    if (is.isImportDeclaration(node) || is.isExportDeclaration(node)) specifier = node.moduleSpecifier;
    if (is.isCallExpression(node) && node.expression.kind === SyntaxKind.ImportKeyword) {
      [specifier] = node.arguments;
    }
    if (is.isImportTypeNode(node) && is.isLiteralTypeNode(node.argument)) specifier = node.argument.literal;
    return specifier !== undefined && is.isStringLiteral(specifier) ? [{ node, text: specifier.text }] : [];
  });
}

function checkImports(file: Parsed): Violation[] {
  const rule = IMPORT_RULES.find(({ from }) => file.path === from || file.path.startsWith(`${from}/`));
  if (rule === undefined) return [];
  return specifiers(file).flatMap(({ node, text }) => {
    const folder = posix.dirname(posix.normalize(posix.join(posix.dirname(file.path), text)));
    const allowed = text.startsWith(".") ? rule.to(folder) : rule.packages.test(text);
    return allowed ? [] : [at(file, startOf(file, node), `${rule.from} must not import ${text}`)];
  });
}

function checkExports(file: Parsed): Violation[] {
  if (file.path.endsWith(".d.ts")) return [];
  const mayDefault =
    file.path === "src/index.ts" ||
    file.path.endsWith(".config.ts") ||
    /^examples\/[^/]+\/src\/index\.ts$/.test(file.path) ||
    file.path.startsWith("bench/overhead/workers/");
  return file.nodes.flatMap((node) => {
    if (
      is.isExportDeclaration(node) &&
      (node.exportClause === undefined || is.isNamespaceExport(node.exportClause))
    ) {
      return [at(file, startOf(file, node), "no export *")];
    }
    if (mayDefault) return [];
    const isDefault = is.isExportAssignment(node) || node.kind === SyntaxKind.DefaultKeyword;
    const inSwitch =
      is.isDefaultClause(node) || (node.parent !== undefined && is.isDefaultClause(node.parent));
    return isDefault && !inSwitch ? [at(file, startOf(file, node), "no default export")] : [];
  });
}

// --- rules about code

function checkPurity(file: Parsed): Violation[] {
  if (!within([...PURE, ...EVENTING])(posix.dirname(file.path))) return [];
  return file.nodes.flatMap((node) => {
    const isName =
      is.isIdentifier(node) && !(node.parent !== undefined && is.isPropertyAccessExpression(node.parent));
    const name = isName || is.isPropertyAccessExpression(node) ? node.getText(file.source) : "";
    if (UNKNOWN_TO_PURE.test(name)) return [at(file, startOf(file, node), `pure code must not use ${name}`)];
    const isNow = is.isNewExpression(node) && node.getText(file.source) === "new Date()";
    return isNow ? [at(file, startOf(file, node), "pure code must not use new Date()")] : [];
  });
}

function checkTypes(file: Parsed): Violation[] {
  return file.nodes.flatMap((node) => {
    if (node.kind === SyntaxKind.AnyKeyword) return [at(file, startOf(file, node), "no any")];
    return is.isNonNullExpression(node) ? [at(file, startOf(file, node), "no non-null !")] : [];
  });
}

function checkFunctions(file: Parsed): Violation[] {
  if (isTest(file.path) || file.path.startsWith("bench/")) return [];
  return file.nodes.flatMap((node) => {
    const isFunction =
      is.isFunctionDeclaration(node) ||
      is.isFunctionExpression(node) ||
      is.isArrowFunction(node) ||
      is.isMethodDeclaration(node) ||
      is.isConstructorDeclaration(node);
    if (!isFunction) return [];
    const lines = node.getText(file.source).split("\n").length;
    return lines > MAX_FUNCTION_LINES ? [at(file, startOf(file, node), `function of ${lines} lines`)] : [];
  });
}

function checkTestCalls(file: Parsed): Violation[] {
  if (!isTest(file.path)) return [];
  const lines = file.text.split("\n");
  return file.nodes.flatMap((node) => {
    if (!is.isPropertyAccessExpression(node)) return [];
    const call = node.getText(file.source);
    if (/^(it|test|describe)(\.\w+)*\.only$/.test(call)) {
      return [at(file, startOf(file, node), "focused test")];
    }
    if (!/^(it|test|describe)(\.\w+)*\.(skip|todo|fails|skipIf|runIf)$/.test(call)) return [];
    const { line } = file.source.getLineAndCharacterOfPosition(startOf(file, node));
    const hasReason = /^\s*\/\/ \S/.test(lines[line - 1] ?? "");
    return hasReason
      ? []
      : [at(file, startOf(file, node), "skipped test without a reason in the line above")];
  });
}

// --- rules about text

function checkDirectives(file: Parsed): Violation[] {
  const literals = textLiterals(file);
  const found = file.text.matchAll(/\/[/*] ?(?:((?:ox|es)lint-disable[^\n]*)|(@ts-\w+[^\n]*))/g);
  return [...found].flatMap((match) => {
    if (literals.some((literal) => literal.pos <= match.index && match.index < literal.getEnd())) return [];
    const [, lint, typescript] = match;
    const hasReason =
      lint === undefined
        ? /^@ts-(expect-error|check) ?(?<=check |error )\S/.test(typescript)
        : / -- \S/.test(lint);
    return hasReason ? [] : [at(file, match.index, "a disabled check without a reason")];
  });
}

function checkLines(file: Parsed): Violation[] {
  const lines = file.text.split("\n");
  const allowed = isTest(file.path) ? MAX_TEST_LINES : MAX_LINES;
  const count = lines.length - (lines.at(-1) === "" ? 1 : 0);
  const tooLong = count > allowed ? [`${file.path}:1 file of ${count} lines`] : [];
  const literals = textLiterals(file).map((node) => ({ from: startOf(file, node), to: node.getEnd() }));
  const starts = file.source.getLineStarts();
  const tooWide = lines.flatMap((line, index) => {
    if (line.length <= MAX_COLUMNS) return [];
    const [from, to] = [starts[index], starts[index] + line.length];
    const texts = literals.map((literal) => Math.min(literal.to, to) - Math.max(literal.from, from));
    const longest = Math.max(0, ...texts);
    return line.length - longest > MAX_COLUMNS - 40
      ? [`${file.path}:${index + 1} line of ${line.length} columns`]
      : [];
  });
  return [...tooLong, ...tooWide];
}

function checkOpening(file: Parsed): Violation[] {
  if (!/^(src|durable-objects)\//.test(file.path) || /^(\/\/ |\/\*)/.test(file.text)) return [];
  return [`${file.path}:1 does not open with a comment`];
}

function checkNames(path: string): Violation[] {
  const name = posix.basename(path);
  const violations: Violation[] = [];
  if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.(test|config|d))?\.(ts|mjs)$/.test(name)) {
    violations.push(`${path}:1 name is not lower-kebab`);
  }
  if (/^(utils?|helpers?|misc|common)\./.test(name)) violations.push(`${path}:1 name says nothing`);
  return violations;
}

const CHECKS = {
  "folders import what they may": checkImports,
  "exports are named": checkExports,
  "pure code knows no clock, chance or network": checkPurity,
  "no any and no non-null assertion": checkTypes,
  "functions stay short": checkFunctions,
  "no test is focused, none is skipped without a reason": checkTestCalls,
  "a disabled check has a reason": checkDirectives,
  "files and lines stay short": checkLines,
  "files open with a comment": checkOpening,
  "files are named in lower-kebab": (file) => checkNames(file.path),
} satisfies Record<string, (file: Parsed) => Violation[]>;

/** A file for each rule that breaks it, and what must be found there. */
const SAMPLES: Record<string, { text: string; found: string[] }> = {
  "src/resilience/impure.ts": {
    text: [
      "// Impure.",
      'import { x } from "../edge/gateway.ts";',
      'import * as fs from "node:fs";',
      "export const now = Date.now() + Math.random() + performance.now();",
      "export const later = () => fetch(String(x) + fs);",
      "// Date.now() in a comment and in a text are no use of it.",
      'export const text = "fetch(Date.now())";',
      "export const today = new Date();",
    ].join("\n"),
    found: [
      "src/resilience/impure.ts:2 src/resilience must not import ../edge/gateway.ts",
      "src/resilience/impure.ts:3 src/resilience must not import node:fs",
      "src/resilience/impure.ts:4 pure code must not use Date.now",
      "src/resilience/impure.ts:4 pure code must not use Math.random",
      "src/resilience/impure.ts:4 pure code must not use performance.now",
      "src/resilience/impure.ts:5 pure code must not use fetch",
      "src/resilience/impure.ts:8 pure code must not use new Date()",
    ],
  },
  "src/crdt/upwards.ts": {
    text: '// Upwards.\nimport { x } from "../hub/ledger-mint.ts";\nexport const y = x;',
    found: ["src/crdt/upwards.ts:2 src/crdt must not import ../hub/ledger-mint.ts"],
  },
  "durable-objects/shell.ts": {
    text: [
      "// Shell.",
      'import { DurableObject } from "cloudflare:workers";',
      'import { decideMint } from "../src/hub/ledger-mint.ts";',
      'import { x } from "../src/edge/gateway.ts";',
      'import { Hono } from "hono";',
      "export const all = [DurableObject, decideMint, x, Hono, Date.now()];",
    ].join("\n"),
    found: [
      "durable-objects/shell.ts:4 durable-objects must not import ../src/edge/gateway.ts",
      "durable-objects/shell.ts:5 durable-objects must not import hono",
    ],
  },
  "src/index.ts": {
    text: [
      "// The Worker.",
      'import config from "#config";',
      'import { createGateway } from "./edge/gateway.ts";',
      'import { start } from "../cli/start.ts";',
      'export { Ledger } from "../durable-objects/ledger.ts";',
      "export default [config, createGateway, start];",
    ].join("\n"),
    found: ["src/index.ts:4 src/index.ts must not import ../cli/start.ts"],
  },
  "src/edge/Utils.ts": {
    text: [
      'export * from "./answer.ts";',
      'export type { Rig } from "../../test/rig.ts";',
      "export default function f(x: any) {",
      "  // oxlint-disable-next-line no-console",
      "  return x!;",
      "}",
      "// @ts-ignore",
      "// oxlint-disable-next-line no-console -- with a reason",
      `export const wide = [${"1, ".repeat(40)}];`,
      `export const text = "${"x".repeat(200)}";`,
    ].join("\n"),
    found: [
      "src/edge/Utils.ts:2 src must not import ../../test/rig.ts",
      "src/edge/Utils.ts:1 no export *",
      "src/edge/Utils.ts:3 no default export",
      "src/edge/Utils.ts:3 no any",
      "src/edge/Utils.ts:5 no non-null !",
      "src/edge/Utils.ts:4 a disabled check without a reason",
      "src/edge/Utils.ts:7 a disabled check without a reason",
      "src/edge/Utils.ts:9 line of 143 columns",
      "src/edge/Utils.ts:1 does not open with a comment",
      "src/edge/Utils.ts:1 name is not lower-kebab",
    ],
  },
  "src/telemetry/utils.ts": {
    text: `// Long.\nimport type { Engine } from "../edge/engine.ts";\nexport const f = (e: Engine) => {\n${"  void e;\n".repeat(300)}};`,
    found: [
      "src/telemetry/utils.ts:2 src/telemetry must not import ../edge/engine.ts",
      "src/telemetry/utils.ts:3 function of 302 lines",
      "src/telemetry/utils.ts:1 file of 304 lines",
      "src/telemetry/utils.ts:1 name says nothing",
    ],
  },
  "src/region/outward.ts": {
    text: [
      "// Outward.",
      'import { a } from "../crdt/slot-id.ts";',
      'import { b } from "../hub/rounds.ts";',
      'import { c } from "./placement.ts";',
      'import { d } from "../edge/engine.ts";',
      'import { e } from "../config/plan.ts";',
      'import { f } from "cloudflare:workers";',
      "export const all = [a, b, c, d, e, f];",
    ].join("\n"),
    found: [
      "src/region/outward.ts:5 src/region must not import ../edge/engine.ts",
      "src/region/outward.ts:6 src/region must not import ../config/plan.ts",
      "src/region/outward.ts:7 src/region must not import cloudflare:workers",
    ],
  },
  "test/some.test.ts": {
    text: [
      'it.only("a", () => {});',
      'describe.skip("b", () => {});',
      "// Needs a network.",
      'it.skip("c", () => {});',
    ].join("\n"),
    found: [
      "test/some.test.ts:1 focused test",
      "test/some.test.ts:2 skipped test without a reason in the line above",
    ],
  },
};

function runChecks(files: readonly Parsed[]): Violation[] {
  return files.flatMap((file) => Object.values(CHECKS).flatMap((check) => check(file)));
}

describe("the repository is tidy", () => {
  const paths = globSync(SOURCES, { cwd: ROOT })
    .filter((path) => !path.includes("node_modules"))
    .toSorted();
  const files = parse(
    Object.fromEntries(paths.map((path) => [path, readFileSync(new URL(path, ROOT), "utf8")])),
  );

  it.for(Object.entries(CHECKS))("%s", ([, check], { expect }) => {
    expect(files.length).toBeGreaterThan(100);
    expect(files.flatMap((file) => check(file))).toEqual([]);
  });
});

describe("the rules", () => {
  const parsed = parse(Object.fromEntries(Object.entries(SAMPLES).map(([path, { text }]) => [path, text])));

  it.for(parsed.map((file) => [file.path, file] as const))(
    "find what is wrong in %s",
    ([path, file], { expect }) => {
      expect(runChecks([file])).toEqual(SAMPLES[path].found);
    },
  );
});
