import { createServer, type RequestListener } from "node:http";
import { afterEach, describe, it } from "vitest";
import { arrivalGapMs, weightedChoice } from "../../../cli/load/arrivals.ts";
import { parseMix } from "../../../cli/load/mix.ts";
import { runOpenLoop } from "../../../cli/load/open-loop.ts";
import { percentiles } from "../../../cli/load/percentiles.ts";
import { seededRandom } from "../../../cli/load/random.ts";
import { loadTable } from "../../../cli/load/table.ts";

function draw(seed: number): readonly number[] {
  return Array.from({ length: 5 }, seededRandom(seed));
}

describe("arrivals", () => {
  it("have the mean of their rate, and even ones no spread", ({ expect }) => {
    const random = seededRandom(7);
    const count = 50_000;
    let total = 0;
    for (let i = 0; i < count; i++) total += arrivalGapMs("poisson", 200, random);
    // The standard error of the mean is 5 ms / sqrt(50,000) = 0.022 ms; five of them.
    expect(Math.abs(total / count - 5)).toBeLessThan(0.11);
    expect(arrivalGapMs("even", 200, random)).toBe(5);
  });

  it("repeat with their seed", ({ expect }) => {
    expect(draw(3)).toEqual(draw(3));
    expect(draw(3)).not.toEqual(draw(4));
  });

  it("choose by weight", ({ expect }) => {
    const random = seededRandom(1);
    const counts = [0, 0, 0];
    for (let i = 0; i < 10_000; i++) counts[weightedChoice([20, 30, 50], random)]++;
    expect(counts.map((count) => Math.round(count / 1000))).toEqual([2, 3, 5]);
    expect(weightedChoice([1, 0], () => 0.999_999_999)).toBe(0);
  });
});

describe("percentiles", () => {
  it("are nearest ranks", ({ expect }) => {
    const values = Array.from({ length: 1000 }, (_, index) => 1000 - index);
    expect(percentiles(values)).toEqual({ count: 1000, p50: 500, p90: 900, p99: 990, p999: 999, max: 1000 });
    expect(percentiles([])).toEqual({ count: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 });
  });
});

describe("mix", () => {
  it("reads paths that contain an equals sign", ({ expect }) => {
    expect(parseMix("/a?x=1=20, /b=0.5")).toEqual([
      { path: "/a?x=1", weight: 20 },
      { path: "/b", weight: 0.5 },
    ]);
    for (const wrong of ["", "/a", "a=1", "/a=0", "/a=x"]) expect(parseMix(wrong)).toBeTypeOf("string");
  });
});

describe("runOpenLoop", () => {
  const servers: (() => void)[] = [];
  afterEach(() => {
    for (const close of servers.splice(0)) close();
  });

  async function serve(listener: RequestListener): Promise<string> {
    const server = createServer(listener);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    servers.push(() => {
      server.closeAllConnections();
      server.close();
    });
    const address = server.address();
    return typeof address === "object" && address !== null ? `http://127.0.0.1:${address.port}` : "";
  }

  it("counts answers by status and problem code, from many addresses", async ({ expect }) => {
    const addresses = new Set<unknown>();
    const url = await serve((request, response) => {
      addresses.add(request.headers["cf-connecting-ip"]);
      if (request.url === "/ok") return response.end("ok");
      response.writeHead(503, { "content-type": "application/problem+json" });
      return response.end('{"code":"shed"}');
    });
    const mix = [
      { path: "/ok", weight: 1 },
      { path: "/shed", weight: 1 },
    ];
    const report = await runOpenLoop({ url, rate: 200, seconds: 1, mix, addresses: 20, arrivals: "even" });
    const [ok, shed] = report.paths;
    expect(report.offered).toBe(199);
    expect(ok.statuses).toEqual({ 200: ok.offered });
    expect(shed.statuses).toEqual({ 503: shed.offered });
    expect(shed.codes).toEqual({ shed: shed.offered });
    expect(ok.okLatencyMs.count + shed.otherLatencyMs.count).toBe(199);
    expect(addresses.size).toBe(20);
    expect(loadTable(report)).toContain(`shed ${shed.offered}`);
  });

  it("sends to several origins in turn", async ({ expect }) => {
    const counts = [0, 0, 0];
    const urls = await Promise.all(
      counts.map((_, index) =>
        serve((_request, response) => {
          counts[index]++;
          response.end("ok");
        }),
      ),
    );
    const [url, ...otherUrls] = urls;
    const mix = [{ path: "/", weight: 1 }];
    const report = await runOpenLoop({ url, otherUrls, rate: 91, seconds: 1, mix, arrivals: "even" });
    expect(report.paths[0].ok).toBe(90);
    expect(counts).toEqual([30, 30, 30]);
  });

  it("does not wait for answers, and counts lost ones", async ({ expect }) => {
    let inFlight = 0;
    let most = 0;
    const url = await serve((request) => {
      most = Math.max(most, ++inFlight);
      setTimeout(() => request.socket.destroy(), 500);
    });
    const report = await runOpenLoop({
      url,
      rate: 100,
      seconds: 1,
      mix: [{ path: "/", weight: 1 }],
      arrivals: "even",
    });
    expect(report.started).toBe(99);
    expect(report.paths[0].errors).toBe(99);
    expect(most).toBeGreaterThan(40);
  });
});
