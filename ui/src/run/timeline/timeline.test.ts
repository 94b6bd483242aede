import { expect, test } from "vitest";
import { busyRun, longRun, runDetail, runStep, START } from "../fixtures";
import { waitingCalls } from "../model/approvals";
import { type Lane, type Spans, toSpans } from "../spans";
import { findSpan, moved } from "../stepKey";
import { downtimeText } from "./describe";
import { bandAt, hitTest, type Scene } from "./draw";
import { idleGaps } from "./idleTime";
import { indexLane, visibleRange } from "./laneIndex";
import { lanesBetween, layoutLanes, namesWidth } from "./layout";
import { legendOf } from "./legend";
import { gapLabel, TimeScale, ticksOf } from "./scale";

test("long idle gaps are folded, short ones are not", () => {
  const busy = [
    { start: 0, end: 10 },
    { start: 20, end: 30 },
    { start: 100, end: 110 },
  ];
  expect(idleGaps(busy, 0, 110)).toEqual([{ start: 31, end: 99 }]);
  expect(idleGaps([{ start: 0, end: 5 }], 0, 60)).toEqual([{ start: 5.15, end: 59.85 }]);
});

test("the axis goes there and back, and a fold takes little of it", () => {
  const scale = new TimeScale(1000, [{ start: 1031, end: 1099 }], 1110);
  for (const time of [1000, 1010, 1031, 1050, 1098, 1099, 1105])
    expect(scale.toTime(scale.toAxis(time))).toBeCloseTo(time);
  expect(scale.toAxis(1110)).toBeLessThan(50);
  expect(scale.toAxis(1105) - scale.toAxis(1100)).toBeCloseTo(5);
});

test("no tick stands in a fold, and ticks keep their distance", () => {
  const scale = new TimeScale(0, [{ start: 31, end: 3599 }], 3660);
  const ticks = ticksOf(scale, 0, scale.toAxis(3660), 10);
  const folded = (axis: number) =>
    scale.folds.some((fold) => axis > fold.axisStart && axis < fold.axisStart + fold.axisWidth);
  expect(ticks.some((tick) => folded(tick.axis))).toBe(false);
  expect(ticks[0]).toEqual({ axis: 0, label: "0 s" });
  expect(ticks.map((tick) => tick.label)).toContain("1 h 0 m 10 s");
});

test("the legend explains the colours that the timeline has, and a fold", () => {
  const kinds = (spans: Spans, areGapsFolded = true) => legendOf(spans, areGapsFolded).map(({ kind }) => kind);
  expect(kinds(toSpans({ run: runDetail({ status: "COMPLETED", ended_at: START + 5 }), steps: [] }))).toEqual([
    "model",
  ]);
  const steps = [runStep("t0/m", 0, 1, { kind: "model" }), runStep("t0/c0", 100, 2, { state: "failed" })];
  const spans = toSpans({ run: runDetail({ status: "COMPLETED", ended_at: START + 102 }), steps });
  expect(kinds(spans)).toEqual(["model", "tool", "fail", "fold"]);
  expect(kinds(spans, false)).toEqual(["model", "tool", "fail"]);
});

test("labels of gaps read like durations", () => {
  expect([40, 372, 7_500, 200_000].map(gapLabel)).toEqual(["40 s", "6 m 12 s", "2 h 05 m", "2 d 7 h"]);
  expect([59.7, 119.7, 3_599.7].map(gapLabel)).toEqual(["1 m 00 s", "2 m 00 s", "1 h 00 m"]);
});

test("only bars in sight are looked at, long ones that began before included", () => {
  const { run, steps } = longRun(5000, 4);
  const lane = toSpans({ run, steps }).lanes[1];
  if (lane === undefined) throw new Error("no lane");
  const scale = new TimeScale(run.started_at ?? 0, [], run.ended_at ?? 0);
  const index = indexLane(lane, scale);
  for (const from of [0, 17.3, 200, 400]) {
    const [first, end] = visibleRange(index, from, from + 2);
    const expected = lane.spans.filter((_, i) => (index.ends[i] ?? 0) >= from && (index.starts[i] ?? 0) <= from + 2);
    const seen = lane.spans.slice(first, end);
    expect(expected.every((span) => seen.includes(span))).toBe(true);
    expect(seen.length).toBeLessThanOrEqual(expected.length + 4);
  }
});

test("the column of names is as wide as the longest one needs, within limits", () => {
  const measure = (name: string) => name.length * 7;
  const wide = (name: string, width = 1200, depth = 1) =>
    namesWidth([{ ...(busySpans().lanes[0] as Lane), name, depth, step: null, cost: 0.1 }], width, measure);
  const long = "Customer complaints team"; // 168 pixels
  expect(wide("Orders")).toBe(218);
  expect(wide(long)).toBe(272);
  expect(wide(long, 1200, 3)).toBe(312);
  expect(wide(long, 700)).toBe(252);
  expect(wide("x".repeat(200))).toBe(380);
});

test("lanes are found by their height", () => {
  const layout = layoutLanes(busySpans().lanes, false);
  expect(layout.boxes.map((box) => box.height)).toEqual([46, 81, 46, 47, 64, 46]);
  expect(lanesBetween(layout, 46, 47).map((box) => box.lane.name)).toEqual(["Orders"]);
  expect(lanesBetween(layout, 0, 10_000)).toHaveLength(6);
});

function busySpans(): Spans {
  const busy = busyRun();
  return toSpans({ ...busy, approvals: waitingCalls(busy.approvals) });
}

function sceneOf(spans: Spans): Scene {
  const end = spans.start + 42;
  const scale = new TimeScale(spans.start, [], end);
  return {
    layout: layoutLanes(spans.lanes, false),
    indexes: new Map(spans.lanes.map((lane) => [lane, indexLane(lane, scale)])),
    scale,
    downtime: [],
    now: end,
    isLive: true,
    view: { from: 0, to: 44 },
    only: null,
    selectedId: null,
    hoveredId: null,
  };
}

test("a click finds the bar under it, in its row", () => {
  const spans = toSpans(busyRun());
  const scene = sceneOf(spans);
  const surface = { width: 440, left: 0 };
  const orders = scene.layout.boxes[1];
  if (orders === undefined) throw new Error("no lane");
  const at = (seconds: number, row: number) =>
    hitTest(surface, scene, seconds * 10, orders.barTop + row * 17 + 7)?.span.label;
  expect(at(3, 1)).toBe("get_customer");
  expect(at(3, 3)).toBe("list_payments");
  expect(at(14, 0)).toBe("gpt-5-mini");
  expect(at(25, 0)).toBeUndefined();
});

test("a finger finds a short bar beside or below a long one", () => {
  const steps = [
    runStep("t0/m", 0, 20, { kind: "model", name: "long" }),
    runStep("t0/c0", 20, 0.1, { name: "short" }),
    runStep("t0/c1", 20.1, 20, { name: "wide" }),
  ];
  const scene = sceneOf(toSpans({ run: runDetail(), steps }));
  const at = (x: number, row: number) => hitTest({ width: 440, left: 0 }, scene, x, 8 + row * 17 + 7, 22)?.span.label;
  expect(at(192, 1)).toBe("short");
  expect(at(192, 0)).toBe("long");
  expect(at(206, 1)).toBe("short");
  expect(at(220, 1)).toBe("wide");
  expect(at(150, 1)).toBe("long");
});

test("between the bars the pointer finds the time in which no process drove the run", () => {
  const spans = toSpans(busyRun());
  const scene = { ...sceneOf(spans), downtime: spans.downtime };
  const at = (seconds: number) => bandAt({ width: 440, left: 0 }, scene, seconds * 10, 1);
  expect([at(5), at(13)]).toEqual([null, null]);
  const band = at(9);
  if (band === null) throw new Error("no downtime");
  expect(downtimeText(band)).toMatch(/^Process lost at .+, another process went on at .+$/);
  expect(downtimeText({ ...band, end: null })).toMatch(/, waiting for a process$/);
});

test("arrows walk the steps of a lane, and to the nearest step of the next lane", () => {
  const spans = toSpans(busyRun());
  const all = () => true;
  const first = moved(spans, null, "after", all);
  expect(first?.lane.name).toBe("Support desk");
  const track = findSpan(spans, "t0/c1/t0/c0/t0/c0");
  expect(track?.span.attempt).toBe(2);
  expect(moved(spans, track, "after", all)?.span.outcome).toBe("failed");
  expect(moved(spans, track, "down", all)?.lane.name).toBe("Warehouse");
  expect(moved(spans, track, "up", all)?.lane.name).toBe("Shipping");
  expect(moved(spans, track, "after", (span) => span.outcome === "failed")?.span.outcome).toBe("failed");
});
