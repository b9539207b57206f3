// What the gateway says of itself: the metrics that docs/observability.md names are those that a scrape has,
// the dashboard asks for nothing else, and an operator can ask where a request's time went.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  startGateway,
  startUpstream,
  until,
  type RunningGateway,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { parsePrometheus, type Sample } from "./support/prometheus.ts";

const ROOT = new URL("../../", import.meta.url);
/** What only several regions have. */
const WITHOUT_SAMPLES = new Set(["tidegate_peer_age_seconds"]);
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SUFFIX = /_(?:bucket|sum|count)$/;
const PART = /_(?:bucket|count)$/;

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly type: string;
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
  }[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] };
}

let upstream: RunningUpstream;
let gateway: RunningGateway;
let text = "";
let samples: readonly Sample[] = [];

beforeAll(async () => {
  upstream = await startUpstream((request, response) => {
    request.resume();
    response.setHeader("server-timing", "db;dur=7");
    setTimeout(() => response.end("ok"), request.url?.endsWith("/slow") === true ? 60 : 0);
  });
  const target = upstream.url;
  gateway = await startGateway({
    config: {
      upstreams: {
        main: { targets: [target, `${target}/`] },
        gone: {
          targets: ["http://127.0.0.1:9"],
          breaker: { consecutive: 1, openFor: "1m", maxOpenFor: "1m" },
        },
      },
      limits: { few: { key: "route", rate: 1, per: "1h", burst: 1, consistency: "local" } },
      counters: { calls: { key: "route" } },
      queues: { work: { upstream: "main" } },
      reactions: {
        answer: {
          on: "thing.*",
          request: { upstream: "main", method: "POST", path: "/react", body: {} },
          // oxlint-disable-next-line unicorn/no-thenable -- it is called so in configurations
          then: { ok: "answer.sent", failed: "answer.failed" },
        },
      },
      relays: { shop: { hyperdrive: "DB", table: "outbox" } },
      subscriptions: { hook: { events: ["*"], deliver: { webhook: target, secrets: ["env:HOOK"] } } },
      sagas: {
        checkout: {
          key: "{body.id}",
          timeout: "1h",
          steps: [
            {
              id: "one",
              request: { upstream: "main", method: "POST", path: "/step" },
              compensate: { none: "nothing to undo" },
            },
          ],
        },
      },
      routes: [
        { path: "/main/*", upstream: "main", count: ["calls"] },
        { path: "/narrow/*", upstream: "main", concurrency: { max: 1, waiting: 5, maxWait: "10s" } },
        { path: "/gone", upstream: "gone" },
        { path: "/limited", upstream: "main", limits: ["few"] },
        { path: "/work", methods: ["POST"], queue: "work" },
        { path: "/event", methods: ["POST"], event: "thing.happened" },
        { path: "/saga", methods: ["POST"], saga: "checkout" },
      ],
    },
    // Nobody listens there: a relay that fails has metrics too.
    args: ["--env", "DB=postgres://user:password@127.0.0.1:9/shop", "--env", `HOOK=${SECRET}`],
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: target },
  });
  const sent = ["/main/x", "/gone", "/gone", "/limited", "/limited"].map((path) => fetch(gateway.url + path));
  await Promise.all(sent);
  await until("all of it is in a scrape", 15_000, async () => {
    const headers = { authorization: `Bearer ${gateway.adminToken}` };
    text = await (await fetch(`${gateway.url}/_gateway/metrics`, { headers })).text();
    samples = parsePrometheus(text);
    return missing().length === 0;
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${missing().join(", ")}`);
  });
});

afterAll(async () => {
  await gateway?.stop();
  await upstream?.stop();
});

/** Metrics that a scrape names. */
function exported(): string[] {
  return [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
}

function missing(): string[] {
  const seen = new Set(samples.map(({ name }) => name.replace(SUFFIX, "")));
  return exported().filter((name) => !seen.has(name) && !WITHOUT_SAMPLES.has(name));
}

/** Metrics of a PromQL expression, each with the labels that are asked of it. */
function asked(expr: string): { metric: string; labels: string[] }[] {
  const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, names]) => names.split(/,\s*/));
  const found = expr.replaceAll(/\bby \([^)]*\)/g, "").matchAll(/\b((?:tidegate|http)_\w+)(?:\{([^}]*)\})?/g);
  return [...found].map(([, metric, selector = ""]) => {
    const selected = [...selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, name]) => name);
    return { metric, labels: [...selected, ...grouped] };
  });
}

describe("the dashboard", () => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what follows fails where it is not so
  const dashboard = JSON.parse(
    readFileSync(new URL("examples/grafana/tidegate.json", ROOT), "utf8"),
  ) as Dashboard;
  const shown = dashboard.panels.filter(({ type }) => type !== "row");
  const queries = shown.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat }) => ({ title, expr, legendFormat })),
  );

  it("asks only for metrics and labels that the gateway exports", () => {
    expect(queries.length).toBeGreaterThan(30);
    for (const { title, expr, legendFormat } of queries) {
      const all = asked(expr);
      expect(all, `${title}: ${expr}`).not.toEqual([]);
      const shownLabels = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, name]) => name);
      for (const { metric, labels } of all) {
        const type = text.includes(`# TYPE ${metric} `) ? null : metric.replace(PART, "");
        expect(text, `${title}: ${metric}`).toContain(`# TYPE ${type ?? metric} `);
        if (WITHOUT_SAMPLES.has(metric)) continue;
        const has = new Set(
          samples.filter(({ name }) => name === metric).flatMap((s) => Object.keys(s.labels)),
        );
        for (const label of [...labels, ...shownLabels]) {
          expect([...has], `${title}: ${metric} has the label ${label}`).toContain(label);
        }
      }
    }
  });

  it("would notice a metric or a label that is not there", () => {
    const expr = 'sum by (tidegate_upstream) (rate(tidegate_gone_total{code="a"}[5m])) / vector(0)';
    expect(asked(expr)).toEqual([{ metric: "tidegate_gone_total", labels: ["code", "tidegate_upstream"] }]);
    expect(text).not.toContain("# TYPE tidegate_gone_total ");
  });

  it("has panels that do not lie on each other, and no id twice", () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(Math.max(...dashboard.panels.map(({ gridPos: { x, w } }) => x + w))).toBe(24);
  });

  it("chooses upstreams by a label that there is", () => {
    const query = JSON.stringify(dashboard.templating.list.find(({ name }) => name === "upstream")?.query);
    expect(query).toContain("label_values(tidegate_shed_cursor, tidegate_upstream)");
  });
});

describe("the page about metrics", () => {
  const page = readFileSync(new URL("docs/observability.md", ROOT), "utf8");

  it("names every metric that there is, and none besides", () => {
    const named = [...page.matchAll(/^\| `((?:tidegate|http)_\w+)`/gm)].map(([, name]) => name);
    const queues = exported().filter((name) => /^tidegate_(queue|subscription|reaction)_/.test(name));
    const others = exported().filter((name) => !queues.includes(name));
    expect(named.filter((name) => !queues.includes(name)).toSorted()).toEqual(others.toSorted());
    const endings = page.matchAll(/^\| `tidegate_queue_\*`[^\n]*\|\n(?:\| `_(\w+)`[^\n]*\n)+/gm);
    expect([...endings]).toHaveLength(1);
    const own = queues.map((name) => name.replace(/^tidegate_(queue|subscription|reaction)/, ""));
    expect([...new Set(own)].filter((ending) => !page.includes(`| \`${ending}\``))).toEqual([]);
  });
});

/** The fields of an operator who asks. */
function why(): Record<string, string> {
  return { "x-tidegate-admin": gateway.adminToken, "x-tidegate-explain": "1" };
}

describe("server-timing", () => {
  it("tells an operator who asks where the time went, behind what the upstream says", async () => {
    const answer = await fetch(`${gateway.url}/main/slow`, { headers: why() });
    const value = answer.headers.get("server-timing") ?? "";
    const numbers =
      /total;dur=(\d+), queue;dur=(\d+), upstream;dur=(\d+), tries;dur=(\d+);desc="1", gateway;dur=(\d+)/;
    const [, total, queue, ofUpstream, tries, own] = (numbers.exec(value) ?? []).map(Number);
    expect(value).toMatch(/^db;dur=7, total/);
    expect(ofUpstream).toBeGreaterThanOrEqual(55);
    expect(tries).toBe(ofUpstream);
    expect(queue + ofUpstream + own).toBe(total);
  });

  it("tells time in line apart", async () => {
    const both = await Promise.all([1, 2].map(() => fetch(`${gateway.url}/narrow/slow`, { headers: why() })));
    const queued = both.map((answer) => {
      const [, queue, ofUpstream] =
        /queue;dur=(\d+), upstream;dur=(\d+)/.exec(answer.headers.get("server-timing") ?? "") ?? [];
      expect(Number(ofUpstream)).toBeGreaterThanOrEqual(55);
      return Number(queue);
    });
    expect(Math.min(...queued)).toBe(0);
    expect(Math.max(...queued)).toBeGreaterThanOrEqual(50);
  });

  it("is on refusals, too", async () => {
    const answer = await fetch(`${gateway.url}/gone`, { headers: why() });
    expect(answer.status).toBe(503);
    expect(answer.headers.get("server-timing")).toMatch(
      /total;dur=\d+, queue;dur=0, upstream;dur=0, .*desc="0"/,
    );
  });

  it("tells nobody else", async () => {
    for (const headers of [{}, { "x-tidegate-explain": "1" }, { ...why(), "x-tidegate-admin": "wrong" }]) {
      const answer = await fetch(`${gateway.url}/main/x`, { headers });
      expect(answer.headers.get("server-timing")).toBe("db;dur=7");
    }
  });
});
