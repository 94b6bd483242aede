/** Draws the bars of the visible lanes on a canvas. Bars that touch within one pixel are joined. */
import type { Downtime, Lane, Span } from "../spans";
import type { Colours } from "./colours";
import { type LaneIndex, visibleRange } from "./laneIndex";
import { BAR_HEIGHT, type LaneBox, type Layout, lanesBetween, ROW_HEIGHT } from "./layout";
import { gapLabel, type TimeScale, ticksOf } from "./scale";

/** The visible part of the axis, in axis seconds. */
export interface View {
  from: number;
  to: number;
}

export type Only = "failed" | "waiting" | null;

export interface Scene {
  layout: Layout;
  indexes: ReadonlyMap<Lane, LaneIndex>;
  scale: TimeScale;
  downtime: readonly Downtime[];
  /** Now, while the run goes on; otherwise its end. */
  now: number;
  isLive: boolean;
  view: View;
  only: Only;
  selectedId: string | null;
  hoveredId: string | null;
}

export interface Surface {
  context: CanvasRenderingContext2D;
  width: number;
  height: number;
  colours: Colours;
  /** Where the bars begin; left of it are the names. */
  left: number;
}

const RADIUS = 3;
/** Narrower bars have no round corners and may be joined. */
const TINY = 3;
const FONT = "500 11px Inter, ui-sans-serif, system-ui, sans-serif";
const AXIS_FONT = "400 11px Inter, ui-sans-serif, system-ui, sans-serif";
const OTHERS_ALPHA = 0.16;
/** With more bars than that in sight, no label stands beside its bar. */
const MOST_LABELS = 300;

/** Whether a bar is one of those that the filter shows. */
export function isShown(span: Span, only: Only): boolean {
  if (only === null) return true;
  return only === "waiting" ? span.kind === "wait" : span.outcome === "failed" || span.outcome === "cut_off";
}

export function xOf(scene: Scene, surface: Pick<Surface, "width" | "left">, axis: number): number {
  const { from, to } = scene.view;
  return surface.left + ((axis - from) / (to - from)) * (surface.width - surface.left);
}

/** Draw the lanes between `scrollTop` and the height of the surface. */
export function drawLanes(surface: Surface, scene: Scene, scrollTop: number): void {
  const { context, width, height, colours, left } = surface;
  context.clearRect(0, 0, width, height);
  context.textBaseline = "middle";
  const boxes = lanesBetween(scene.layout, scrollTop, scrollTop + height);
  const bottom = Math.min(height, scene.layout.height - scrollTop);
  const now = scene.scale.toAxis(scene.now);
  for (const area of areasOf(scene, boxes, scrollTop, bottom)) {
    context.save();
    context.beginPath();
    context.rect(left, area.top, width - left, area.height);
    context.clip();
    drawBands(surface, scene, area);
    for (const box of area.boxes) drawLane(surface, scene, box, scrollTop, now);
    if (scene.isLive) {
      context.fillStyle = colours.runFill;
      context.fillRect(xOf(scene, surface, now) - 0.75, area.top, 1.5, area.height);
    }
    context.restore();
  }
  context.fillStyle = colours.line;
  for (const box of boxes.slice(0, -1)) context.fillRect(0, Math.round(box.top + box.height - scrollTop) - 1, width, 1);
  if (!scene.layout.isPhone) context.fillRect(left - 1, 0, 1, bottom);
}

/** Draw the axis above the lanes. */
export function drawAxis(surface: Surface, scene: Scene): void {
  const { context, width, height, colours, left } = surface;
  context.clearRect(0, 0, width, height);
  context.save();
  context.beginPath();
  context.rect(left, 0, width - left, height);
  context.clip();
  context.font = AXIS_FONT;
  context.textBaseline = "middle";
  context.fillStyle = colours.ink3;
  const perPixel = (scene.view.to - scene.view.from) / Math.max(1, width - left);
  for (const tick of ticksOf(scene.scale, scene.view.from, scene.view.to, perPixel * 74)) {
    const x = xOf(scene, surface, tick.axis);
    const half = measure(context, tick.label) / 2;
    context.textAlign = x - left < 14 ? "left" : "center";
    // A label that would be cut off at the right moves to the left.
    context.fillText(tick.label, x - left < 14 ? Math.max(x, left + 5) : Math.min(x, width - half - 5), height / 2);
  }
  context.textAlign = "center";
  for (const fold of scene.scale.folds) {
    const x0 = xOf(scene, surface, fold.axisStart);
    const x1 = xOf(scene, surface, fold.axisStart + fold.axisWidth);
    if (x1 < left || x0 > width) continue;
    // Never a bare number, which would read as a time of the axis.
    const gap = gapLabel(fold.end - fold.start);
    const label = [`${gap} idle`, `+${gap}`].find((text) => x1 - x0 > measure(context, text));
    context.fillText(label ?? "…", (x0 + x1) / 2, height / 2);
  }
  context.restore();
  context.fillStyle = colours.line;
  context.fillRect(0, height - 1, width, 1);
}

interface Area {
  top: number;
  height: number;
  boxes: LaneBox[];
}

/** Where bars may stand: everywhere, or on a phone below each name. */
function areasOf(scene: Scene, boxes: LaneBox[], scrollTop: number, bottom: number): Area[] {
  if (!scene.layout.isPhone) return [{ top: 0, height: bottom, boxes }];
  return boxes.map((box) => {
    const top = box.barTop - scrollTop - 6;
    return { top, height: box.top + box.height - scrollTop - top, boxes: [box] };
  });
}

function drawBands(surface: Surface, scene: Scene, { top, height }: Area): void {
  const { context, colours } = surface;
  for (const fold of scene.scale.folds) {
    const x0 = xOf(scene, surface, fold.axisStart);
    const x1 = xOf(scene, surface, fold.axisStart + fold.axisWidth);
    context.fillStyle = colours.sunken;
    context.fillRect(x0, top, x1 - x0, height);
  }
  for (const band of scene.downtime) {
    const x0 = xOf(scene, surface, scene.scale.toAxis(band.start));
    const x1 = Math.max(x0 + 2, xOf(scene, surface, scene.scale.toAxis(band.end ?? scene.now)));
    context.fillStyle = hatch(context, colours.ink3, 0.22, null);
    context.fillRect(x0, top, x1 - x0, height);
    context.strokeStyle = colours.ink3;
    context.lineWidth = 1;
    context.setLineDash([4, 3]);
    context.beginPath();
    for (const x of [x0, x1]) {
      context.moveTo(Math.round(x) + 0.5, top);
      context.lineTo(Math.round(x) + 0.5, top + height);
    }
    context.stroke();
    context.setLineDash([]);
  }
}

interface Bar {
  x0: number;
  x1: number;
  span: Span;
}

function drawLane(surface: Surface, scene: Scene, box: LaneBox, scrollTop: number, now: number): void {
  const { context, colours } = surface;
  const index = scene.indexes.get(box.lane);
  if (index === undefined) return;
  const { from, to } = scene.view;
  const y0 = box.barTop - scrollTop;
  context.fillStyle = colours.track;
  for (const base of box.lane.base) {
    const x0 = xOf(scene, surface, scene.scale.toAxis(base.start));
    const x1 = xOf(scene, surface, base.end === null ? now : scene.scale.toAxis(base.end));
    context.fillRect(x0, y0 + BAR_HEIGHT / 2 - 1, Math.max(1, x1 - x0), 2);
  }
  const rows: Bar[][] = [];
  const late: { bar: Bar; y: number }[] = [];
  const ran = new Map<number, Joined>();
  const [first, end] = visibleRange(index, from, to);
  const factor = (surface.width - surface.left) / (to - from);
  for (let i = first; i < end; i++) {
    const stop = Math.min(index.ends[i] as number, now);
    const start = index.starts[i] as number;
    if (stop < from) continue;
    const span = index.spans[i] as Span;
    const x0 = surface.left + (Math.max(start, from - 1) - from) * factor;
    const x1 = Math.max(x0 + 1.5, surface.left + (Math.min(stop, to + 1) - from) * factor);
    const bar = { x0, x1, span };
    const y = y0 + span.row * ROW_HEIGHT;
    let row = rows[span.row];
    if (row === undefined) {
      row = [];
      rows[span.row] = row;
    }
    if (end - first <= MOST_LABELS || x1 - x0 > 40) row.push(bar);
    // What must not be missed is drawn last, over whatever was joined.
    if (isUrgent(span) || span.id === scene.selectedId || span.id === scene.hoveredId) late.push({ bar, y });
    else if (span.kind === "members") continue;
    else if (x1 - x0 < TINY) join(context, ran, colours, scene, bar, y);
    else drawBar(surface, scene, bar, y);
  }
  for (const joined of ran.values()) fillJoined(context, joined);
  for (const { bar, y } of late) drawBar(surface, scene, bar, y);
  const besides = end - first <= MOST_LABELS;
  rows.forEach((bars, row) => {
    drawLabels(surface, scene, bars, y0 + row * ROW_HEIGHT, besides);
  });
}

function isUrgent(span: Span): boolean {
  return span.outcome === "failed" || span.outcome === "cut_off" || span.kind === "wait";
}

// --- joined bars --------------------------------------------------------------------------------------------

interface Joined {
  x0: number;
  x1: number;
  y: number;
  colour: string;
  alpha: number;
}

function join(
  context: CanvasRenderingContext2D,
  ran: Map<number, Joined>,
  colours: Colours,
  scene: Scene,
  bar: Bar,
  y: number,
): void {
  const colour = fillOf(bar.span, colours);
  const alpha = isShown(bar.span, scene.only) ? 1 : OTHERS_ALPHA;
  const open = ran.get(bar.span.row);
  if (open !== undefined && open.colour === colour && open.alpha === alpha && bar.x0 <= open.x1 + 0.5) {
    open.x1 = Math.max(open.x1, bar.x1);
    return;
  }
  if (open !== undefined) fillJoined(context, open);
  ran.set(bar.span.row, { x0: bar.x0, x1: bar.x1, y, colour, alpha });
}

function fillJoined(context: CanvasRenderingContext2D, joined: Joined): void {
  context.globalAlpha = joined.alpha;
  context.fillStyle = joined.colour;
  context.fillRect(joined.x0, joined.y, joined.x1 - joined.x0, BAR_HEIGHT);
  context.globalAlpha = 1;
}

// --- one bar ------------------------------------------------------------------------------------------------

function tintOf({ kind }: Span): "model" | "tool" | "hook" {
  if (kind === "model" || kind === "loading") return "model";
  return kind === "tool" || kind === "function" ? "tool" : "hook";
}

function fillOf(span: Span, colours: Colours): string {
  if (span.kind === "container") return colours.track;
  if (span.outcome === "failed") return colours.fail;
  return colours[tintOf(span)];
}

function drawBar(surface: Surface, scene: Scene, bar: Bar, y: number): void {
  const { context, colours } = surface;
  const { span, x0, x1 } = bar;
  const width = x1 - x0;
  context.globalAlpha = isShown(span, scene.only) ? 1 : OTHERS_ALPHA;
  if (span.kind === "members") {
    // Only its words stand on the line: the members have bars of their own.
  } else if (span.kind === "wait") {
    trace(context, x0, y, width, RADIUS);
    context.fillStyle = hatch(context, colours.waitFill, 0.24, colours.waitWash);
    context.fill();
    outline(context, x0, y, width, colours.waitFill);
  } else if (span.kind === "loading") {
    trace(context, x0, y, width, RADIUS);
    context.fillStyle = hatch(context, colours.model, 0.13, colours.modelWash);
    context.fill();
    outline(context, x0, y, width, colours.model);
  } else if (span.outcome === "cut_off") {
    const tint = tintOf(span);
    trace(context, x0, y, width, RADIUS);
    context.fillStyle = colours[`${tint}Wash`];
    context.fill();
    outline(context, x0, y, width, colours[tint]);
  } else {
    context.fillStyle = fillOf(span, colours);
    if (span.end === null && width > 36) context.fillStyle = fading(context, fillOf(span, colours), x1);
    trace(context, x0, y, width, RADIUS);
    context.fill();
    drawArrival(surface, scene, bar, y);
    drawNotches(surface, scene, span, y);
  }
  context.globalAlpha = 1;
  if (span.id === scene.selectedId || span.id === scene.hoveredId) {
    context.strokeStyle = span.id === scene.selectedId ? colours.ink : colours.ink3;
    context.lineWidth = span.id === scene.selectedId ? 2 : 1;
    trace(context, x0 - 2.5, y - 2.5, width + 5, RADIUS + 2, BAR_HEIGHT + 5);
    context.stroke();
  }
}

/** The fill of a bar that goes on: it fades at its end. */
function fading(context: CanvasRenderingContext2D, colour: string, end: number): CanvasGradient {
  const gradient = context.createLinearGradient(end - 18, 0, end, 0);
  gradient.addColorStop(0, colour);
  gradient.addColorStop(1, /^#[0-9a-f]{6}$/i.test(colour) ? `${colour}59` : colour);
  return gradient;
}

/** A line below the words, from when the answer of a model call began to arrive. */
function drawArrival(surface: Surface, scene: Scene, { span, x0, x1 }: Bar, y: number): void {
  if (span.firstAt === null) return;
  const from = Math.max(x0, xOf(scene, surface, scene.scale.toAxis(span.firstAt)));
  if (x1 - from < TINY) return;
  surface.context.fillStyle = surface.colours.surface;
  surface.context.fillRect(from, y + BAR_HEIGHT - 2, x1 - from, 1);
}

/** A notch for each try that failed. */
function drawNotches(surface: Surface, scene: Scene, span: Span, y: number): void {
  surface.context.fillStyle = surface.colours.surface;
  for (const { at } of span.retries) {
    surface.context.fillRect(xOf(scene, surface, scene.scale.toAxis(at)) - 0.75, y, 1.5, BAR_HEIGHT);
  }
}

function trace(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  width: number,
  radius: number,
  height = BAR_HEIGHT,
): void {
  context.beginPath();
  if (width < TINY * 2) context.rect(x, y, width, height);
  else context.roundRect(x, y, width, height, radius);
}

function outline(context: CanvasRenderingContext2D, x: number, y: number, width: number, colour: string): void {
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.beginPath();
  if (width < TINY) context.rect(x + 0.5, y + 0.5, Math.max(0.5, width - 1), BAR_HEIGHT - 1);
  else context.roundRect(x + 0.5, y + 0.5, width - 1, BAR_HEIGHT - 1, RADIUS);
  context.stroke();
}

const hatches = new Map<string, CanvasPattern | string>();

/** Diagonal stripes. */
function hatch(
  context: CanvasRenderingContext2D,
  colour: string,
  alpha: number,
  ground: string | null,
): CanvasPattern | string {
  const key = `${colour} ${alpha} ${ground}`;
  const known = hatches.get(key);
  if (known !== undefined) return known;
  const size = ground === null ? 8 : 12;
  const tile = document.createElement("canvas");
  tile.width = size;
  tile.height = size;
  const brush = tile.getContext("2d");
  if (brush === null) return colour;
  if (ground !== null) {
    brush.fillStyle = ground;
    brush.fillRect(0, 0, size, size);
  }
  brush.globalAlpha = alpha;
  brush.strokeStyle = colour;
  brush.lineWidth = ground === null ? 1 : 4.5;
  brush.beginPath();
  for (const offset of [-size, 0, size]) {
    brush.moveTo(offset - 1, size + 1);
    brush.lineTo(offset + size + 1, -1);
  }
  brush.stroke();
  const pattern = context.createPattern(tile, "repeat") ?? colour;
  if (hatches.size > 24) hatches.clear();
  hatches.set(key, pattern);
  return pattern;
}

// --- labels -------------------------------------------------------------------------------------------------

/** What stands in or beside a bar. */
export function labelOf(span: Span): string {
  if (span.kind === "wait") return span.end === null ? `${span.label} · needs you` : span.label;
  if (span.outcome === "failed" && span.kind === "model") {
    return span.retries.length > 0 ? `failed after ${span.retries.length + 1} tries` : "failed";
  }
  if (span.outcome === "failed") return `${span.label} · ${span.settled === null ? "failed" : "refused"}`;
  if (span.outcome === "cut_off" && span.kind === "tool") return `${span.label} · cut off`;
  return span.label;
}

/** A label stands in its bar if it fits, otherwise beside it if nothing is there, otherwise in the tooltip only. */
function drawLabels(surface: Surface, scene: Scene, bars: readonly Bar[], y: number, besides: boolean): void {
  const { context, colours, width } = surface;
  context.font = FONT;
  context.textAlign = "left";
  for (const [i, bar] of bars.entries()) {
    const { span } = bar;
    if (!isShown(span, scene.only)) continue;
    const label = labelOf(span);
    const wide = measure(context, label);
    const x0 = Math.max(bar.x0, surface.left);
    const x1 = Math.min(bar.x1, width);
    const next = bars[i + 1]?.x0 ?? width;
    const hasRoom = besides && bar.x1 + wide + 12 <= next;
    const fits = x1 - x0 >= wide + 10;
    if (span.kind === "members") {
      const words = x1 - x0 >= wide + 14 ? label : "waiting";
      const room = measure(context, words);
      if (x1 - x0 >= room + 14) drawOnLine(surface, words, x0 + 4, room, y);
      continue;
    }
    // Notches would cut through the words.
    if (fits && !(hasRoom && span.retries.length > 0)) {
      context.fillStyle = span.kind === "wait" ? colours.wait : insideColour(span, colours);
      context.fillText(label, x0 + 5, y + BAR_HEIGHT / 2 + 0.5);
    } else if (hasRoom && (span.kind !== "model" || span.outcome === "failed")) {
      context.fillStyle = colours.surface;
      context.globalAlpha = 0.85;
      context.fillRect(bar.x1 + 3, y, wide + 6, BAR_HEIGHT);
      context.globalAlpha = 1;
      context.fillStyle = span.outcome === "failed" ? colours.fail : span.kind === "wait" ? colours.wait : colours.ink2;
      context.fillText(label, bar.x1 + 6, y + BAR_HEIGHT / 2 + 0.5);
    }
  }
}

/** Words on the line of a lane, which ends before them and goes on after them. */
function drawOnLine({ context, colours }: Surface, label: string, x: number, wide: number, y: number): void {
  context.fillStyle = colours.surface;
  context.fillRect(x, y, wide + 8, BAR_HEIGHT);
  context.fillStyle = colours.ink3;
  context.fillText(label, x + 4, y + BAR_HEIGHT / 2 + 0.5);
}

function insideColour(span: Span, colours: Colours): string {
  if (span.kind === "container") return colours.ink2;
  if (span.outcome !== "cut_off" && span.kind !== "loading") return colours.onFill;
  return colours[tintOf(span)];
}

const widths = new Map<string, number>();

function measure(context: CanvasRenderingContext2D, text: string): number {
  let width = widths.get(text);
  if (width === undefined) {
    width = context.measureText(text).width;
    if (widths.size > 4000) widths.clear();
    widths.set(text, width);
  }
  return width;
}

// --- what is under the pointer ------------------------------------------------------------------------------

/**
 * The bar at a place of the canvas, or the nearest within `slack` pixels.
 *
 * A bar that is narrower than `slack` counts as that wide: a finger on it touches its neighbours too.
 */
export function hitTest(
  surface: Pick<Surface, "width" | "left">,
  scene: Scene,
  x: number,
  y: number,
  slack = 4,
): { span: Span; lane: Lane } | null {
  const box = lanesBetween(scene.layout, y, y + 1)[0];
  const index = box === undefined ? undefined : scene.indexes.get(box.lane);
  if (box === undefined || index === undefined || x < surface.left) return null;
  const now = scene.scale.toAxis(scene.now);
  const perPixel = (scene.view.to - scene.view.from) / (surface.width - surface.left);
  const axis = scene.view.from + (x - surface.left) * perPixel;
  const [first, end] = visibleRange(index, axis - slack * perPixel, axis + slack * perPixel);
  let best: Span | null = null;
  let least = Infinity;
  let rank = Infinity;
  for (let i = first; i < end; i++) {
    const span = index.spans[i] as Span;
    const half = (Math.min(index.ends[i] as number, now) - (index.starts[i] as number)) / perPixel / 2;
    const fromMiddle = Math.abs((axis - (index.starts[i] as number)) / perPixel - half);
    const beside = Math.max(0, fromMiddle - Math.max(half, slack / 2));
    const above = Math.max(0, Math.abs(y - box.barTop - span.row * ROW_HEIGHT - BAR_HEIGHT / 2) - BAR_HEIGHT / 2);
    const away = Math.hypot(beside, above);
    const ownRank = isUrgent(span) ? 0 : fromMiddle;
    if (away <= slack && (away < least || (away === least && ownRank <= rank))) {
      best = span;
      least = away;
      rank = ownRank;
    }
  }
  return best === null ? null : { span: best, lane: box.lane };
}

/** The time at a place of the canvas in which no process drove the run. */
export function bandAt(
  surface: Pick<Surface, "width" | "left">,
  scene: Scene,
  x: number,
  slack: number,
): Downtime | null {
  const at = (time: number) => xOf(scene, surface, scene.scale.toAxis(time));
  return scene.downtime.find(({ start, end }) => x >= at(start) - slack && x <= at(end ?? scene.now) + slack) ?? null;
}
