// Templates: what they read, and what they refuse to say.

import { describe, it } from "vitest";
import type { Scope } from "../../../src/saga/core/template.ts";
import {
  MAX_TEMPLATE_CHARS,
  parseTemplate,
  renderBody,
  renderPath,
  renderText,
} from "../../../src/saga/core/template.ts";

const SCOPE: Scope = {
  body: { id: "a/b ?", n: 7, list: [{ sku: "x" }], none: null, empty: "", dots: "..", flag: true },
  params: { id: "p" },
  query: { q: "1&2" },
  headers: { "x-order": "h" },
  output: { id: "out" },
  steps: { pay: { output: { id: 9 } } },
  idempotencyKey: "key-1",
};

describe("references", () => {
  it.for([
    ["{body.n}", 7],
    ["{body.list}", [{ sku: "x" }]],
    ["{body.none}", null],
    ["{body.flag}", true],
    ["{body.list.0.sku}", "x"],
    ["{params.id}-{query.q}-{headers.X-Order}", "p-1&2-h"],
    ["{steps.pay.output.id}", 9],
    ["n={body.n}", "n=7"],
    ["{{literal}}", "{literal}"],
    ["{idempotencyKey}", "key-1"],
  ] as const)("%s", ([text, value], { expect }) => {
    expect(renderBody(text, SCOPE)).toEqual({ value });
  });

  it.for([
    ["{body.missing}", "body.missing is missing"],
    ["{output.missing.deep}", "output.missing.deep is missing"],
    ["{body.constructor}", "body.constructor is missing"],
    ["{body.list.length}", "body.list.length is missing"],
    ["x{body.list}", "body.list is no text or number"],
  ] as const)("%s is never an empty text", ([text, missing], { expect }) => {
    expect(renderBody(text, SCOPE)).toEqual({ missing });
  });

  it.for([
    "{",
    "}",
    "{}",
    "{body",
    "{nothing.x}",
    "{params}",
    "{steps.x}",
    "{idempotencyKey.x}",
    "{body..x}",
  ])("%s is refused", (text, { expect }) => {
    expect(parseTemplate(text)).toHaveProperty("rule");
  });

  it("have a longest text", ({ expect }) => {
    expect(parseTemplate("x".repeat(MAX_TEMPLATE_CHARS))).toHaveProperty("parts");
    expect(parseTemplate("x".repeat(MAX_TEMPLATE_CHARS + 1))).toHaveProperty("rule");
  });
});

describe("paths", () => {
  it.for([
    ["/r/{body.id}", "/r/a%2Fb%20%3F"],
    ["/r?q={query.q}", "/r?q=1%262"],
    ["/r/{body.n}/x", "/r/7/x"],
    ["/r/v{body.dots}", "/r/v.."],
  ] as const)("%s is percent-encoded", ([text, value], { expect }) => {
    expect(renderPath(text, SCOPE)).toEqual({ value });
  });

  it.for(["/r/{body.empty}", "/r/{body.dots}/x", "/r/{body.list}", "/r/.{body.dots}"])(
    "%s would ask for something else",
    (text, { expect }) => {
      const rendered = renderPath(text, {
        ...SCOPE,
        body: { dots: text.includes("/.{") ? "." : "..", empty: "" },
      });
      expect(rendered).toHaveProperty("missing");
    },
  );
});

it("bodies keep types and keys, also dangerous ones", ({ expect }) => {
  const template: unknown = JSON.parse('{"__proto__": "{body.n}", "a": ["{body.flag}", 1]}');
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- JSON
  const rendered = renderBody(template as string, SCOPE);
  expect(JSON.stringify(rendered)).toBe('{"value":{"__proto__":7,"a":[true,1]}}');
});

it("texts are not encoded", ({ expect }) => {
  expect(renderText("{body.id}", SCOPE)).toEqual({ value: "a/b ?" });
});
