// Behaviours that other saga engines promise, one by one, and the rules of keys and tries that random runs
// cannot tell apart.

import { describe, it } from "vitest";
import { operate } from "../../../src/saga/core/operate.ts";
import { LEASE_SLACK_MS } from "../../../src/saga/core/draft.ts";
import { begin, settle } from "../../../src/saga/core/machine.ts";
import { createState } from "../../../src/saga/core/state.ts";
import { commandFor } from "../../../src/saga/core/calls.ts";
import { MAX_INPUT_BYTES } from "../../../src/saga/core/protocol.ts";
import {
  ALIVE_STALL_MS,
  CROWD_MS,
  MAX_STALL_MS,
  STALL_MS,
  dueAt,
  patientUntil,
  rescueFor,
} from "../../../src/saga/core/watch.ts";
import { viewSaga } from "../../../src/saga/core/view.ts";
import type { StepPlan, StepShape } from "./world.ts";
import { World, define } from "./world.ts";

const SHAPE: StepShape = { kind: "compensatable", hasOutcome: true, undo: "by-output" };
const OK: StepPlan = { forward: "ok", undo: "ok" };
const FOUR = define([[SHAPE], [SHAPE], [SHAPE], [SHAPE]]);
const WORK = { step: "s0", direction: "forward" } as const;
const half = (): number => 0.5;

function run(plans: Record<string, Partial<StepPlan>>, definition = FOUR): World {
  const all = Object.fromEntries(definition.groups.flat().map(({ id }) => [id, { ...OK, ...plans[id] }]));
  const world = new World(definition, all, half, 0);
  world.run();
  return world;
}

/** Runs four steps and looks on, or interferes, after each command. */
function observe(plans: Record<string, Partial<StepPlan>>, between: (world: World) => void): World {
  const all = Object.fromEntries(FOUR.groups.flat().map(({ id }) => [id, { ...OK, ...plans[id] }]));
  const world = new World(FOUR, all, half, 0);
  world.run(between);
  return world;
}

function cancel(world: World): string {
  const operation = { kind: "cancel", note: null, abandon: false } as const;
  const outcome = operate(world.definition, world.state, operation, world.now);
  if (outcome.kind === "done") world.state = outcome.state;
  return outcome.kind;
}

function calls(world: World, direction: string): string[] {
  return world.seen.filter((each) => each.direction === direction).map(({ step }) => step);
}

describe("answers of steps", () => {
  it("are kept as long as all of them fit into one row with the rest of the instance", ({ expect }) => {
    const large = { id: "x", text: "\u00e9".repeat(180_000) };
    let state = createState(FOUR, 0);
    for (const step of ["s0", "s1", "s2"]) {
      const work = { step, direction: "forward" } as const;
      ({ state } = begin(FOUR, state, work, 0, 0.5));
      const result = { kind: "answered", status: 200, body: large, retryAfterMs: null } as const;
      ({ state } = settle(FOUR, state, work, { attempt: 1, purpose: "call", result }, 0, 0.5));
    }
    expect(state.steps.map(({ forward, output }) => [forward, output === null])).toEqual([
      ["succeeded", false],
      ["succeeded", false],
      ["succeeded", true],
      ["pending", true],
    ]);
    const bytes = new TextEncoder().encode(JSON.stringify(state)).byteLength;
    expect(bytes).toBeLessThan(2_000_000 - MAX_INPUT_BYTES);
  });
});

describe("peers", () => {
  it("74: four steps succeed, nothing is undone", ({ expect }) => {
    const world = run({});
    expect([world.state.phase, calls(world, "forward"), calls(world, "undo")]).toEqual([
      "completed",
      ["s0", "s1", "s2", "s3"],
      [],
    ]);
  });

  it("75: the last fails: the three before it are undone backwards, each once", ({ expect }) => {
    expect(calls(run({ s3: { forward: "refuse" } }), "undo")).toEqual(["s2", "s1", "s0"]);
  });

  it("76: a middle one fails: what comes after it is never called", ({ expect }) => {
    const world = run({ s2: { forward: "refuse" } });
    expect([calls(world, "forward"), calls(world, "undo")]).toEqual([
      ["s0", "s1", "s2"],
      ["s1", "s0"],
    ]);
  });

  it("77: the first fails: nothing is undone", ({ expect }) => {
    const world = run({ s0: { forward: "refuse" } });
    expect([world.state.phase, calls(world, "undo")]).toEqual(["compensated", []]);
  });

  it("78: a compensation whose answer is lost is tried again, with one effect", ({ expect }) => {
    const world = run({ s1: { forward: "refuse" }, s0: { undo: "lost-once" } });
    expect([world.state.phase, calls(world, "undo"), world.effects.size]).toEqual([
      "compensated",
      ["s0", "s0"],
      0,
    ]);
  });

  it("79: a compensation that fails for good shows its step, and is no success", ({ expect }) => {
    const { state } = run({ s3: { forward: "refuse" }, s1: { undo: "refuse" } });
    expect(state.phase).toBe("parked");
    expect(state.steps.map(({ undo }) => undo)).toEqual(["done", "failed", "done", "none"]);
    expect(state.steps[1].undoCall).toMatchObject({ status: 409, error: "answered 409" });
  });

  it("80: killed among compensations, it goes on with none skipped and none doubled", ({ expect }) => {
    for (let crashes = 1; crashes < 8; crashes++) {
      let turn = 0;
      const plans = { s0: OK, s1: OK, s2: OK, s3: { ...OK, forward: "refuse" as const } };
      const world = new World(FOUR, plans, () => ((turn++ * 7) % 10) / 10, crashes);
      world.run();
      expect([world.state.phase, world.effects.size]).toEqual(["compensated", 0]);
    }
  });

  it("81: what a service said is kept with its step", ({ expect }) => {
    const { state } = run({ s2: { forward: "refuse" } });
    expect(state.stop).toMatchObject({ reason: "failed", step: "s2", note: "answered 422" });
    expect(state.steps[2].call).toMatchObject({ status: 422, error: "answered 422" });
  });

  it("82: an operator sees how far it is while it is undone", ({ expect }) => {
    const seen = new Set<string>();
    observe({ s3: { forward: "refuse" } }, ({ definition, state }) => {
      const view = viewSaga({ id: "i", key: "k", seed: "seed", definition, state });
      if (view.state !== "compensating") return;
      seen.add(view.steps.map(({ compensation }) => compensation.state).join(" "));
    });
    expect([...seen]).toEqual([
      "pending pending pending none",
      "pending pending inflight none",
      "pending pending done none",
      "pending inflight done none",
      "pending done done none",
      "inflight done done none",
    ]);
  });

  it("83: steps that began side by side are undone one by one, the last that began first", ({ expect }) => {
    for (const chance of [0, 0.4, 0.8]) {
      const group = define([[SHAPE, SHAPE, SHAPE], [SHAPE]]);
      const plans = { s0: OK, s1: OK, s2: OK, s3: { ...OK, forward: "refuse" as const } };
      const world = new World(group, plans, () => chance, 0);
      world.run();
      const began = calls(world, "forward").filter((step) => step !== "s3");
      expect([calls(world, "undo"), world.effects.size]).toEqual([began.toReversed(), 0]);
    }
  });

  it("84: the compensation of a step without an answer has no output to read", ({ expect }) => {
    const blind = define([[{ ...SHAPE, hasOutcome: false }]]);
    const { state } = run({ s0: { forward: "lost-always" } }, blind);
    expect(state.phase).toBe("parked");
    expect(state.steps[0]).toMatchObject({
      forward: "unknown",
      undo: "failed",
      undoCall: { error: "output.id is missing", attempts: 0 },
    });
  });
});

describe("peers, of what stops a saga", () => {
  it("85: one that waits and was stored meanwhile still knows what to undo", ({ expect }) => {
    const world = observe({ s2: { forward: "down-always" } }, (self) => {
      if (self.state.steps[2].forward !== "waiting" || self.state.stop !== null) return;
      const stored: unknown = JSON.parse(JSON.stringify(self.state));
      expect(stored).toEqual(self.state);
      cancel(self);
    });
    expect([world.state.phase, world.effects.size]).toEqual(["compensated", 0]);
    expect(calls(world, "undo")).toEqual(["s1", "s0"]);
  });

  it("86: neither a success nor a failure that was overcome undoes anything", ({ expect }) => {
    const world = run({ s1: { forward: "down-once" }, s2: { forward: "lost-once" } });
    expect([world.state.phase, calls(world, "undo"), world.effects.size]).toEqual(["completed", [], 4]);
  });

  it("87: a cancel undoes to the end, and a second one does not disturb that", ({ expect }) => {
    let commands = 0;
    const outcomes: string[] = [];
    const world = observe({}, (self) => {
      commands++;
      if (commands === 5 || self.state.phase === "compensating") outcomes.push(cancel(self));
    });
    expect(outcomes[0]).toBe("done");
    expect(new Set(outcomes.slice(1))).toEqual(new Set(["unchanged"]));
    expect([world.state.phase, world.effects.size]).toEqual(["compensated", 0]);
  });
});

describe("keys", () => {
  it("of a compensation change only when it was definitely refused and a person asks again", ({ expect }) => {
    const refused = run({ s1: { forward: "refuse" }, s0: { undo: "refuse" } });
    const lost = run({ s1: { forward: "refuse" }, s0: { undo: "down-always" } });
    const epochs = [refused, lost].map(({ definition, state, now }) => {
      const operation = { kind: "retry-compensation", note: null, step: null } as const;
      const outcome = operate(definition, state, operation, now);
      return outcome.kind === "done" ? outcome.state.steps[0].undoCall.epoch : outcome.kind;
    });
    expect(epochs).toEqual([2, 1]);
  });

  it("reads by key are never confused with writes: asking has none", ({ expect }) => {
    const world = run({ s0: { forward: "lost-once" } });
    expect(world.seen.find(({ direction }) => direction === "outcome")?.key).toBeNull();
  });
});

describe("tries", () => {
  it("are counted when something may have left, and only then", ({ expect }) => {
    const first = begin(FOUR, createState(FOUR, 0), WORK, 0, 0.5);
    const told = {
      attempt: 1,
      purpose: "call",
      result: { kind: "unsent", reason: "circuit_open", retryAfterMs: 700 },
    } as const;
    const { state, instruction } = settle(FOUR, first.state, WORK, told, 10, 0.5);
    expect(instruction).toEqual({ kind: "later", waitMs: 700 });
    expect(state.steps[0].call).toMatchObject({ attempts: 0, deferrals: 1, error: "circuit_open" });
    expect(state.steps[0].inDoubt).toBe(false);
  });

  it("have a lease: a second executor waits, and takes over when it has run out", ({ expect }) => {
    const first = begin(FOUR, createState(FOUR, 0), WORK, 0, 0.5);
    const leaseMs = 1000 + LEASE_SLACK_MS;
    expect(begin(FOUR, first.state, WORK, 1, 0.5).instruction).toEqual({
      kind: "later",
      waitMs: leaseMs - 1,
    });
    const after = begin(FOUR, first.state, WORK, leaseMs, 0.5);
    expect(after.instruction).toEqual({ kind: "call", purpose: "outcome", attempt: 1 });
    expect(after.state.steps[0].inDoubt).toBe(true);
  });

  it("that were given up are dropped when they come back", ({ expect }) => {
    const first = begin(FOUR, createState(FOUR, 0), WORK, 0, 0.5);
    const later = begin(FOUR, first.state, WORK, 60_000, 0.5);
    const result = { kind: "answered", status: 422, body: null, retryAfterMs: null } as const;
    const stale = settle(FOUR, later.state, WORK, { attempt: 1, purpose: "call", result }, 60_001, 0.5);
    expect(stale.state.steps[0].forward).toBe("inflight");
  });

  it("that a template makes impossible end the step without a call", ({ expect }) => {
    const definition = define([[SHAPE]]);
    const [[step]] = definition.groups;
    const broken = {
      ...definition,
      groups: [[{ ...step, call: { ...step.call, path: "/{body.nothing}" } }]],
    };
    const identity = { seed: "s", input: { body: {}, params: {}, query: {}, headers: {} } };
    const { state, command } = commandFor(broken, createState(broken, 0), identity, WORK, null, 0, 0.5);
    expect(command).toEqual({ kind: "settled", next: [] });
    expect(state).toMatchObject({ phase: "compensated", stop: { note: "body.nothing is missing" } });
  });
});

describe("the watchdog", () => {
  it("looks when something should have happened, and less often when that does not help", ({ expect }) => {
    const fresh = createState(FOUR, 0);
    expect(dueAt(fresh, 0, 0, 1)).toBe(STALL_MS);
    const { state } = begin(FOUR, fresh, WORK, 0, 0.5);
    expect(dueAt(state, 0, 0, 1)).toBe(1000 + LEASE_SLACK_MS + STALL_MS);
    expect(dueAt(fresh, 20, 7, 2)).toBe(7 + MAX_STALL_MS + 2 * CROWD_MS);
    expect(dueAt({ ...fresh, phase: "parked" }, 0, 0, 1)).toBeNull();
    expect(dueAt({ ...fresh, timeoutAt: 3 }, 0, 0, 1)).toBe(3);
    expect(patientUntil(state, 5)).toBe(1000 + LEASE_SLACK_MS + ALIVE_STALL_MS + 5 * CROWD_MS);
  });

  it("finds out within a minute also when the first two executors that it makes come to nothing", ({
    expect,
  }) => {
    const { state } = begin(FOUR, createState(FOUR, 0), WORK, 0, 0.5);
    let at = dueAt(state, 0, 0, 1) ?? 0;
    for (const rescues of [1, 2]) at = dueAt(state, rescues, at, 20) ?? 0;
    expect(at).toBeLessThanOrEqual(50_000);
    expect(patientUntil(state, 20) + (dueAt(state, 1, 0, 20) ?? 0)).toBeLessThanOrEqual(50_000);
  });

  it("replaces whatever does not move, and leaves those in line alone for longer and longer", ({
    expect,
  }) => {
    for (const status of ["running", "paused", "errored", "complete", "missing", "unknown"]) {
      expect(rescueFor(status, 0)).toBe("replace");
    }
    const replaced = Array.from({ length: 70 }, (_, rescues) => rescues).filter((rescues) => {
      return rescueFor("queued", rescues) === "replace";
    });
    expect(replaced).toEqual([1, 4, 16, 64]);
  });
});
