// The pictures of docs/overload.md, as SVG: what succeeds of each class over the offered load, and what an
// upstream gets during an outage. Made of runs, not of hand-drawn numbers.

import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { watchOutage } from "./outages.ts";
import { LOADS, successByLoad } from "./steady.ts";

const FOLDER = fileURLToPath(new URL("../../../docs/images/", import.meta.url));
const WIDTH = 720;
const LEFT = 60;
const RIGHT = 700;
const TOP = 40;
/** Colours that can be told apart in print and by colour-blind readers (Okabe and Ito). */
const CLASS_COLOURS = ["#0072b2", "#e69f00", "#009e73"] as const;
const GREY = "#666";
const OUTAGE = { seed: 1, regions: 1, isolates: 25, rps: 100, upMs: 70_000 } as const;
const OUTAGE_SECONDS = 110;
const OUTAGE_FROM = 10;

/** Measures and draws both. */
export function drawPictures(seeds: readonly number[]): void {
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(`${FOLDER}success-by-load.svg`, successPicture(successByLoad(seeds)));
  writeFileSync(`${FOLDER}calls-over-an-outage.svg`, outagePicture());
}

interface Frame {
  readonly title: string;
  readonly height: number;
  readonly bottom: number;
}

function svg({ title, height, bottom }: Frame, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" ` +
      `font-family="sans-serif" font-size="13">`,
    `<title>${title}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    text(LEFT, 22, title, "start", "#111"),
    line(LEFT, bottom, RIGHT, bottom, GREY),
    line(LEFT, TOP, LEFT, bottom, GREY),
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

function text(x: number, y: number, words: string, anchor: "start" | "middle" | "end", fill = GREY): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" fill="${fill}">${words}</text>`;
}

function line(x1: number, y1: number, x2: number, y2: number, stroke: string): string {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" stroke="${stroke}"/>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

export function successPicture(
  loads: readonly { readonly times: number; readonly shares: readonly number[] }[],
): string {
  const bottom = 300;
  const x = (times: number): number =>
    LEFT + 20 + (Math.log(times / LOADS[0]) / Math.log(10 / LOADS[0])) * (RIGHT - LEFT - 70);
  const y = (share: number): number => bottom - share * (bottom - TOP - 20);
  const parts = [0, 0.25, 0.5, 0.75, 1].flatMap((share) => [
    line(LEFT, y(share), RIGHT, y(share), "#e5e5e5"),
    text(LEFT - 6, y(share) + 4, `${share * 100} %`, "end"),
  ]);
  for (const { times } of loads) parts.push(text(x(times), bottom + 18, `${times}x`, "middle"));
  parts.push(text((LEFT + RIGHT) / 2, bottom + 38, "offered load, of what the upstream can serve", "middle"));
  for (const [index, colour] of CLASS_COLOURS.entries()) {
    const points = loads.map(({ times, shares }) => `${round(x(times))},${round(y(shares[index]))}`);
    parts.push(`<polyline points="${points.join(" ")}" fill="none" stroke="${colour}" stroke-width="2.5"/>`);
    for (const point of points) {
      const [cx, cy] = point.split(",");
      parts.push(`<circle cx="${cx}" cy="${cy}" r="3.5" fill="${colour}"/>`);
    }
    const last = loads[loads.length - 1];
    const above = last === undefined ? 0 : y(last.shares[index]);
    // The two that end near zero must not stand on each other.
    parts.push(text(x(10) + 10, above + (index === 1 ? -6 : 4), `P${index}`, "start", colour));
  }
  return svg({ title: "Requests that succeed, by class", height: 350, bottom }, parts);
}

function outagePicture(): string {
  const bottom = 240;
  const { regions, calls } = watchOutage(OUTAGE);
  const [{ probes, changes }] = regions;
  const x = (seconds: number): number => LEFT + (seconds / OUTAGE_SECONDS) * (RIGHT - LEFT);
  const most = OUTAGE.rps * 1.4;
  const y = (count: number): number => bottom - (count / most) * (bottom - TOP - 10);
  const perSecond = Array.from({ length: OUTAGE_SECONDS }, () => 0);
  for (const at of calls[0]) {
    const second = Math.floor(at / 1000);
    if (second < OUTAGE_SECONDS) perSecond[second]++;
  }
  const until = OUTAGE.upMs / 1000;
  const parts = [
    `<rect x="${round(x(OUTAGE_FROM))}" y="${TOP}" width="${round(x(until) - x(OUTAGE_FROM))}" ` +
      `height="${bottom - TOP}" fill="#fbe3e0"/>`,
    text((x(OUTAGE_FROM) + x(until)) / 2, TOP + 16, "every call fails", "middle"),
  ];
  for (const count of [0, 50, 100]) parts.push(text(LEFT - 6, y(count) + 4, String(count), "end"));
  for (const [second, count] of perSecond.entries()) {
    if (count === 0) continue;
    const width = round(x(1) - x(0) - 1);
    parts.push(
      `<rect x="${round(x(second))}" y="${round(y(count))}" width="${width}" ` +
        `height="${round(bottom - y(count))}" fill="${CLASS_COLOURS[0]}"/>`,
    );
  }
  parts.push(text(LEFT - 6, bottom + 24, "probes", "end"));
  for (const { at, isGood } of probes) {
    if (at > OUTAGE_SECONDS * 1000) continue;
    const colour = isGood ? CLASS_COLOURS[2] : "#d55e00";
    parts.push(`<circle cx="${round(x(at / 1000))}" cy="${bottom + 20}" r="4" fill="${colour}"/>`);
  }
  for (const { at, to } of changes) {
    if (to !== "ramp" && to !== "closed") continue;
    parts.push(
      line(x(at / 1000), TOP + 4, x(at / 1000), bottom, GREY),
      text(x(at / 1000) + 4, TOP + 16, to, "start"),
    );
  }
  for (let second = 0; second <= OUTAGE_SECONDS; second += 10) {
    parts.push(text(x(second), bottom + 46, `${second} s`, "middle"));
  }
  const title = `Calls per second that reach an upstream, ${OUTAGE.isolates} isolates, ${OUTAGE.rps}/s offered`;
  return svg({ title, height: 300, bottom }, parts);
}
