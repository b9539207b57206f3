// What `sagas` may say, and what each mistake is called.

import { describe, it } from "vitest";
import { adviseConfig } from "../../../src/config/advise.ts";
import { packPlan, unpackPlan } from "../../../src/config/compiled-config.ts";
import { expectLines } from "./rule-lines.ts";
import { errorsOf, minimalConfig, planOf } from "./sample.ts";

type Fields = Record<string, unknown>;

function step(id: string, changes: Fields = {}): Fields {
  return {
    id,
    request: { upstream: "a", method: "post", path: `/${id}` },
    compensate: { method: "DELETE", path: `/${id}/{output.id}` },
    ...changes,
  };
}

const pivot = (id: string): Fields => ({ ...step(id), compensate: undefined, pivot: true });
const retriable = (id: string): Fields => ({ ...step(id), compensate: undefined, retriable: true });

function withSteps(...steps: readonly unknown[]): Fields {
  return minimalConfig({ sagas: { s: { key: "{body.id}", steps } } });
}

const withCall = (call: Fields): Fields =>
  withSteps(step("x", { request: { upstream: "a", method: "POST", path: "/x", ...call } }));

describe("a saga", () => {
  it("is compiled with its defaults, and survives being packed", ({ expect }) => {
    const plan = planOf(
      withSteps(step("x"), { parallel: [step("y"), step("z")] }, pivot("p"), retriable("r")),
    );
    const [saga] = plan.sagas;
    expect(saga).toMatchObject({ name: "s", key: "{body.id}", timeoutMs: 86_400_000 });
    expect(saga.groups.map((group) => group.map(({ id, kind }) => `${id} ${kind}`))).toEqual([
      ["x compensatable"],
      ["y compensatable", "z compensatable"],
      ["p pivot"],
      ["r retriable"],
    ]);
    expect(saga.groups[0][0]).toEqual({
      id: "x",
      kind: "compensatable",
      call: { upstream: "a", method: "POST", path: "/x", headers: [] },
      retry: { attempts: 5, delayMs: 2000, maxDelayMs: 120_000 },
      timeoutMs: 15_000,
      outcome: null,
      compensation: {
        kind: "call",
        call: { upstream: "a", method: "DELETE", path: "/x/{output.id}", headers: [] },
        retry: { attempts: 20, delayMs: 2000, maxDelayMs: 600_000 },
        timeoutMs: 15_000,
      },
    });
    expect(unpackPlan(packPlan(plan))?.sagas).toEqual(plan.sagas);
  });

  it("is started by a route, which then has no upstream", ({ expect }) => {
    const config = { ...withSteps(step("x")), routes: [{ path: "/*", saga: "s" }] };
    expect(planOf(config).routes[0]).toMatchObject({ destination: { kind: "saga", saga: 0 } });
  });

  it("has another version when anything in it differs", ({ expect }) => {
    const [one, same, other] = [step("x"), step("x"), step("x", { timeout: "1s" })].map(
      (each) => planOf(withSteps(each)).sagas[0].version,
    );
    expect(same).toBe(one);
    expect(other).not.toBe(one);
  });

  it("may say why nothing has to be undone", ({ expect }) => {
    expect(errorsOf(withSteps(step("x", { compensate: { none: "it only reads" } })))).toEqual([]);
  });

  it("names the secrets that its calls need", ({ expect }) => {
    expect(planOf(withCall({ headers: { authorization: "env:TOKEN" } })).secrets).toEqual(["TOKEN"]);
  });
});

describe("mistakes", () => {
  const FORWARD = "must stand before the pivot, or be retriable: after it there is only forward";
  const UNDO = 'is required before the pivot; write { none: "why" } where nothing has to be undone';
  expectLines([
    ["sagas.s.steps[0].compensate: " + UNDO, withSteps(step("x", { compensate: undefined }))],
    ["sagas.s.steps[1]: " + FORWARD + " (got an object)", withSteps(pivot("p"), step("x"))],
    ["sagas.s.steps[1]: " + FORWARD + " (got an object)", withSteps(retriable("r"), pivot("p"))],
    ["sagas.s.steps[1].pivot: there must be at most one pivot (got true)", withSteps(pivot("p"), pivot("q"))],
    [
      "sagas.s.steps[0].parallel[0].pivot: a pivot must stand alone (got true)",
      withSteps({ parallel: [pivot("p")] }),
    ],
    [
      "sagas.s.steps[0].compensate: a retriable step is never undone, leave it out (got an object)",
      withSteps(step("x", { retriable: true })),
    ],
    ['sagas.s.steps[1].id: is already the id of another step (got "x")', withSteps(step("x"), step("x"))],
    ['sagas.s.steps[0].request.upstream: is no upstream (got "b")', withCall({ upstream: "b" })],
    [
      "sagas.s.steps[0].request.body: must be left out with GET (got an object)",
      withCall({ method: "get", body: { id: "{body.id}" } }),
    ],
    [
      'sagas.s.steps[0].request.path: reads {steps.y.output.id}, but y does not run before it (got "/{steps.y.output.id}")',
      withSteps(
        step("x", { request: { upstream: "a", method: "POST", path: "/{steps.y.output.id}" } }),
        step("y"),
      ),
    ],
    [
      'sagas.s.steps[0].request.path: reads {steps.q.output}, but there is no step q (got "/{steps.q.output}")',
      withCall({ path: "/{steps.q.output}" }),
    ],
    [
      'sagas.s.steps[0].request.path: reads {output.id}, but the step\'s answer is known to its compensation alone (got "/{output.id}")',
      withCall({ path: "/{output.id}" }),
    ],
    [
      'sagas.s.steps[0].request.method: must be GET, POST, PUT, PATCH or DELETE (got "BREW")',
      withCall({ method: "BREW" }),
    ],
    [
      'sagas.s.steps[0].request.path: holds {...} that is no reference; references begin with body, params, query, headers, output, steps, idempotencyKey (got "/{bdy.id}")',
      withCall({ path: "/{bdy.id}" }),
    ],
    ["sagas.s.steps[0].retrry: unknown key, did you mean retry?", withSteps(step("x", { retrry: {} }))],
    ["sagas.s.steps[0].parallel[0].id: is required", withSteps({ parallel: [step("x", { id: undefined })] })],
    [
      'sagas.s.steps[0].compensate.none: must say why nothing has to be undone (got "")',
      withSteps(step("x", { compensate: { none: "" } })),
    ],
    [
      'sagas.s.key: must read something of the request, like {body.orderId} (got "always")',
      minimalConfig({ sagas: { s: { key: "always", steps: [step("x")] } } }),
    ],
    ['routes[0].saga: is no saga (got "t")', minimalConfig({ routes: [{ path: "/*", saga: "t" }] })],
  ]);

  it("are all found at once", ({ expect }) => {
    const config = withSteps(step("x", { compensate: undefined, timeout: 0 }), step("x", { request: 5 }));
    expect(errorsOf(config)).toHaveLength(4);
  });
});

describe("advice", () => {
  it("on one upstream for all, and on what would need a person", ({ expect }) => {
    const config = { ...withSteps(step("x"), pivot("p")), routes: [{ path: "/*", saga: "s" }] };
    expect(adviseConfig(planOf(config)).map((line) => line.split(":")[0])).toEqual([
      "sagas.s",
      "sagas.s.x.compensate",
      "sagas.s.p",
    ]);
  });
});
