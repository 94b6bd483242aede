/**
 * The canvas of the timeline: keeps what is drawn, the visible part and the pointer, and draws at most once per frame.
 * React gives it data and hears of what the reader does.
 */
import { serverNow } from "../../api/serverClock";
import type { Downtime, Lane, Span, Spans } from "../spans";
import { type Colours, onThemeChange, readColours } from "./colours";
import {
  bandAt,
  drawAxis,
  drawLanes,
  hitTest,
  isShown,
  type Only,
  type Scene,
  type Surface,
  type View,
  xOf,
} from "./draw";
import { gapsOf, isIdle } from "./idleTime";
import { indexLane, type LaneIndex } from "./laneIndex";
import { AXIS_HEIGHT, type Layout, layoutLanes, NAMES_LEAST, namesWidth } from "./layout";
import { TimeScale } from "./scale";

interface Hit {
  span: Span;
  lane: Lane;
}

/** The bar below the pointer, or between the bars a time in which no process drove the run. */
export interface Hover {
  key: string;
  of: Span | Downtime;
  /** Where it is in the window. */
  anchor: DOMRect;
}

export interface TimelineHandlers {
  /** The lanes stand elsewhere, or others are in sight. */
  onLayout: (layout: Layout, visible: { from: number; to: number }) => void;
  onHover: (hover: Hover | null) => void;
  onSelect: (span: Span, lane: Lane) => void;
  onFollow: (isFollowing: boolean) => void;
  onZoom: (isZoomed: boolean) => void;
  /** A range that is being dragged, in pixels of the canvas. */
  onBrush: (range: { from: number; to: number } | null) => void;
}

/** Narrower, and the names stand above the bars. */
const PHONE_WIDTH = 640;
/** As `.lane-title` has it. */
const NAME_FONT = "600 13px Inter, ui-sans-serif, system-ui, sans-serif";
const PHONE_MARGIN = 14;
/** The room after the last bar: for its label, or for what comes next. */
const ROOM_LIVE = 0.045;
const ROOM_ENDED = 0.03;
const LEAST_SECONDS = 0.02;
/** A view of more than this share of the run shows all of it; zooming in and out again is not exact. */
const WHOLE_SHARE = 0.9999;
const DRAG_PIXELS = 5;
/** How far from a bar it is still hit, in pixels. */
const MOUSE_SLACK = 4;
const TOUCH_SLACK = 22;
/** How often the folds of a run that waits are made anew. */
const REFOLD_SECONDS = 5;

export class TimelineController {
  private scene: Scene | null = null;
  private spans: Spans | null = null;
  private colours: Colours;
  private frame = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private width = 0;
  private height = 0;
  private foldedAt = 0;
  private drag: { x: number; y: number; id: number; kind: "mouse" | "touch"; view: View; moved: boolean } | null = null;
  private tap: { x: number; y: number; slack: number } | null = null;
  private readonly pinch = new Map<number, number>();
  private readonly stops: (() => void)[] = [];
  private folds = true;
  private only: Only = null;
  private selectedId: string | null = null;
  private hovered: Hover | null = null;
  private zoomed: View | null = null;
  private isFollowing = true;
  private frozenAt: number | null = null;
  private readonly body: CanvasRenderingContext2D | null;
  private readonly axis: CanvasRenderingContext2D | null;
  private readonly isReduced = matchMedia("(prefers-reduced-motion: reduce)").matches;

  constructor(
    private readonly scroller: HTMLElement,
    private readonly bodyCanvas: HTMLCanvasElement,
    private readonly axisCanvas: HTMLCanvasElement,
    private readonly handlers: TimelineHandlers,
  ) {
    this.body = bodyCanvas.getContext("2d");
    this.axis = axisCanvas.getContext("2d");
    this.colours = readColours();
    this.stops.push(
      onThemeChange(() => {
        this.colours = readColours();
        this.requestDraw();
      }),
    );
    const resize = new ResizeObserver(() => this.resize());
    resize.observe(scroller);
    this.stops.push(() => resize.disconnect());
    this.listen(scroller, "scroll", () => this.onScroll());
    this.listen(bodyCanvas, "pointerdown", (event) => this.onPointerDown(event as PointerEvent));
    this.listen(bodyCanvas, "pointermove", (event) => this.onPointerMove(event as PointerEvent));
    this.listen(bodyCanvas, "pointerup", (event) => this.onPointerUp(event as PointerEvent));
    this.listen(bodyCanvas, "pointercancel", (event) => this.endDrag(event as PointerEvent));
    this.listen(bodyCanvas, "pointerleave", () => this.hover(null));
    this.listen(bodyCanvas, "click", () => this.onClick());
    this.listen(bodyCanvas, "dblclick", () => this.showAll());
    this.listen(scroller, "wheel", (event) => this.onWheel(event as WheelEvent), { passive: false });
    void document.fonts?.ready.then(() => this.rebuild()); // names have other widths in their own font
    this.resize();
  }

  close(): void {
    for (const stop of this.stops) stop();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.frame = -1;
  }

  // --- what is shown ------------------------------------------------------------------------------------------

  setSpans(spans: Spans): void {
    this.spans = spans;
    this.rebuild();
  }

  /** Show the run as of this moment; null: as of now. */
  freeze(at: number | null): void {
    this.frozenAt = at;
    this.requestDraw();
  }

  setFolds(areFolded: boolean): void {
    if (this.folds === areFolded) return;
    this.folds = areFolded;
    this.rebuild();
  }

  setOnly(only: Only): void {
    this.only = only;
    this.requestDraw();
  }

  setFollowing(isFollowing: boolean): void {
    this.isFollowing = isFollowing;
    if (isFollowing && this.zoomed && this.scene?.isLive) {
      const span = this.zoomed.to - this.zoomed.from;
      const to = this.fullView().to;
      this.zoomed = { from: to - span, to };
    }
    this.requestDraw();
  }

  /** Mark a bar, and bring it into sight. */
  select(id: string | null): void {
    this.selectedId = id;
    if (id !== null) this.reveal(id);
    this.requestDraw();
  }

  showAll(): void {
    this.zoomed = null;
    this.handlers.onZoom(false);
    this.requestDraw();
  }

  zoomBy(factor: number, x?: number): void {
    const view = this.view();
    const left = this.left();
    const share = x === undefined ? 0.5 : Math.min(1, Math.max(0, (x - left) / Math.max(1, this.right() - left)));
    const anchor = view.from + share * (view.to - view.from);
    const span = (view.to - view.from) * factor;
    this.zoom({ from: anchor - share * span, to: anchor + (1 - share) * span });
  }

  // --- building -----------------------------------------------------------------------------------------------

  private now(): number {
    return this.spans?.end ?? this.frozenAt ?? serverNow();
  }

  private rebuild(): void {
    const { spans } = this;
    if (spans === null) return;
    const now = Math.max(this.now(), spans.start + 0.001);
    const times = this.zoomed && this.scene ? this.timesOf(this.zoomed) : null;
    const scale = new TimeScale(spans.start, this.folds ? gapsOf(spans, now) : [], now);
    // Folds may have come or gone: what is in sight stays.
    if (times !== null) this.zoomed = { from: scale.toAxis(times.from), to: scale.toAxis(times.to) };
    const indexes = new Map<Lane, LaneIndex>();
    for (const lane of spans.lanes) indexes.set(lane, indexLane(lane, scale));
    this.foldedAt = now;
    this.scene = {
      layout: layoutLanes(spans.lanes, this.isPhone(), namesWidth(spans.lanes, this.width, this.measureName)),
      indexes,
      scale,
      downtime: spans.downtime,
      now,
      isLive: spans.end === null,
      view: { from: 0, to: 1 },
      only: this.only,
      selectedId: this.selectedId,
      hoveredId: this.hovered?.key ?? null,
    };
    this.tellLayout();
    this.requestDraw();
  }

  private tellLayout(): void {
    if (this.scene === null) return;
    const from = this.scroller.scrollTop;
    this.handlers.onLayout(this.scene.layout, { from, to: from + this.height });
  }

  private isPhone(): boolean {
    return this.width < PHONE_WIDTH;
  }

  private left(): number {
    return this.isPhone() ? PHONE_MARGIN : (this.scene?.layout.namesWidth ?? NAMES_LEAST);
  }

  private readonly measureName = (name: string): number => {
    if (this.axis === null) return 0;
    this.axis.font = NAME_FONT;
    return this.axis.measureText(name).width;
  };

  private right(): number {
    return this.isPhone() ? this.width - PHONE_MARGIN : this.width;
  }

  private resize(): void {
    const before = this.width;
    const width = this.scroller.clientWidth;
    const height = Math.max(0, this.scroller.clientHeight - AXIS_HEIGHT);
    if (width === this.width && height === this.height) return;
    this.width = width;
    this.height = height;
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    sizeCanvas(this.bodyCanvas, width, height, ratio);
    sizeCanvas(this.axisCanvas, width, AXIS_HEIGHT, ratio);
    if (width === before) this.tellLayout();
    else this.rebuild();
    this.draw();
  }

  private fullView(): View {
    const { scene } = this;
    if (scene === null) return { from: 0, to: 1 };
    const to = Math.max(scene.scale.toAxis(scene.now), LEAST_SECONDS);
    return { from: 0, to: to * (1 + (scene.isLive ? ROOM_LIVE : ROOM_ENDED)) };
  }

  private view(): View {
    return this.zoomed ?? this.fullView();
  }

  private timesOf(view: View): View {
    const scale = (this.scene as Scene).scale;
    return { from: scale.toTime(view.from), to: scale.toTime(view.to) };
  }

  private zoom(view: View): void {
    const full = this.fullView();
    const span = Math.max(LEAST_SECONDS, view.to - view.from);
    if (span > full.to * WHOLE_SHARE) {
      this.showAll();
      return;
    }
    const from = Math.min(Math.max(0, view.from), full.to - span);
    this.zoomed = { from, to: from + span };
    this.handlers.onZoom(true);
    // Looking at the past, the reader does not want to be taken away from it.
    if (this.scene?.isLive) this.tellFollowing(this.zoomed.to >= this.scene.scale.toAxis(this.scene.now));
    this.requestDraw();
  }

  private pan(pixels: number): void {
    const view = this.zoomed;
    if (view === null) return;
    const by = (pixels * (view.to - view.from)) / Math.max(1, this.right() - this.left());
    this.zoom({ from: view.from + by, to: view.to + by });
  }

  private tellFollowing(isFollowing: boolean): void {
    if (this.isFollowing === isFollowing) return;
    this.isFollowing = isFollowing;
    this.handlers.onFollow(isFollowing);
  }

  private reveal(id: string): void {
    const { scene } = this;
    if (scene === null) return;
    for (const box of scene.layout.boxes) {
      const span = box.lane.spans.find((one) => one.id === id);
      if (span === undefined) continue;
      const { scrollTop } = this.scroller;
      if (box.top < scrollTop) this.scroller.scrollTop = box.top;
      else if (box.top + box.height > scrollTop + this.height)
        this.scroller.scrollTop = box.top + box.height - this.height;
      const view = this.view();
      const start = scene.scale.toAxis(span.start);
      const end = Math.min(scene.scale.toAxis(span.end ?? scene.now), start + (view.to - view.from) / 2);
      if (this.zoomed !== null && (start < view.from || end > view.to)) {
        const half = (view.to - view.from) / 2;
        this.zoom({ from: start - half, to: start + half });
      }
      return;
    }
  }

  // --- drawing ------------------------------------------------------------------------------------------------

  private requestDraw(): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  private surface(context: CanvasRenderingContext2D, height: number): Surface {
    return { context, width: this.right(), height, colours: this.colours, left: this.left() };
  }

  private draw(): void {
    const { scene } = this;
    if (scene === null || this.body === null || this.axis === null || this.width === 0) return;
    const now = Math.max(this.now(), scene.scale.start + 0.001);
    if (scene.isLive && this.folds && now - this.foldedAt > REFOLD_SECONDS && isIdle(this.spans)) {
      this.rebuild();
      return;
    }
    if (scene.isLive && this.isFollowing && this.zoomed !== null) {
      const by = scene.scale.toAxis(now) - scene.scale.toAxis(scene.now);
      this.zoomed = { from: this.zoomed.from + by, to: this.zoomed.to + by };
    }
    scene.now = now;
    scene.only = this.only;
    scene.selectedId = this.selectedId;
    scene.hoveredId = this.hovered?.key ?? null;
    scene.view = this.view();
    drawAxis(this.surface(this.axis, AXIS_HEIGHT), scene);
    drawLanes(this.surface(this.body, this.height), scene, this.scroller.scrollTop);
    if (scene.isLive && this.frozenAt === null) this.scheduleLive(scene);
  }

  /** Draw again when now has moved by a visible step. */
  private scheduleLive(scene: Scene): void {
    clearTimeout(this.timer);
    const perPixel = (scene.view.to - scene.view.from) / Math.max(1, this.right() - this.left());
    const least = this.isReduced ? 1000 : 33;
    const wait = Math.min(1000, Math.max(least, perPixel * 500));
    this.timer = setTimeout(() => this.requestDraw(), wait);
  }

  // --- the reader ---------------------------------------------------------------------------------------------

  private listen(
    target: EventTarget,
    name: string,
    handler: (event: Event) => void,
    options?: AddEventListenerOptions,
  ): void {
    target.addEventListener(name, handler, options);
    this.stops.push(() => target.removeEventListener(name, handler, options));
  }

  private onScroll(): void {
    this.hover(null);
    this.tellLayout();
    this.requestDraw();
  }

  private place(event: PointerEvent | WheelEvent): { x: number; y: number } {
    const box = this.bodyCanvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  private hitAt(x: number, y: number, slack: number): Hit | null {
    if (this.scene === null) return null;
    const hit = hitTest({ width: this.right(), left: this.left() }, this.scene, x, y + this.scroller.scrollTop, slack);
    if (hit === null || !isShown(hit.span, this.only)) return null;
    return hit;
  }

  private hoverAt(x: number, y: number): Hover | null {
    const hit = this.hitAt(x, y, MOUSE_SLACK);
    if (hit !== null) return { key: hit.span.id, of: hit.span, anchor: this.boxOf(hit) };
    const { scene } = this;
    if (scene === null || x < this.left() || y + this.scroller.scrollTop > scene.layout.height) return null;
    const band = bandAt({ width: this.right(), left: this.left() }, scene, x, MOUSE_SLACK);
    if (band === null) return null;
    const canvas = this.bodyCanvas.getBoundingClientRect();
    return { key: `downtime ${band.start}`, of: band, anchor: new DOMRect(canvas.left + x, canvas.top + y, 1, 1) };
  }

  private hover(hover: Hover | null): void {
    const isBar = hover !== null && "kind" in hover.of;
    this.bodyCanvas.classList.toggle("is-over", isBar);
    if (hover?.key === this.hovered?.key) return;
    this.hovered = hover;
    this.handlers.onHover(hover);
    this.requestDraw();
  }

  private onPointerDown(event: PointerEvent): void {
    if (event.button !== 0) return;
    const { x, y } = this.place(event);
    if (x < this.left() && !this.isPhone()) return;
    const kind = event.pointerType === "mouse" ? "mouse" : "touch";
    if (kind === "touch") this.pinch.set(event.pointerId, x);
    this.drag = { x, y, id: event.pointerId, kind, view: this.view(), moved: this.pinch.size > 1 };
    this.bodyCanvas.setPointerCapture?.(event.pointerId);
  }

  private onPointerMove(event: PointerEvent): void {
    const { x, y } = this.place(event);
    const { drag } = this;
    if (drag === null) {
      if (event.pointerType === "mouse") this.hover(this.hoverAt(x, y));
      return;
    }
    if (this.pinch.size === 2 && this.pinch.has(event.pointerId)) {
      const before = spread(this.pinch);
      this.pinch.set(event.pointerId, x);
      const after = spread(this.pinch);
      if (before > 8 && after > 8) this.zoomBy(before / after, [...this.pinch.values()].reduce((a, b) => a + b, 0) / 2);
      return;
    }
    if (Math.abs(x - drag.x) > DRAG_PIXELS) drag.moved = true;
    if (!drag.moved) return;
    this.hover(null);
    if (drag.kind === "mouse" && !event.shiftKey) {
      this.handlers.onBrush({
        from: Math.max(this.left(), Math.min(drag.x, x)),
        to: Math.min(this.right(), Math.max(drag.x, x)),
      });
    } else {
      this.pan(drag.x - x);
      drag.x = x;
    }
  }

  private onPointerUp(event: PointerEvent): void {
    const { drag } = this;
    const { x, y } = this.place(event);
    this.endDrag(event);
    if (drag === null) return;
    if (!drag.moved) {
      this.tap = { x, y, slack: drag.kind === "touch" ? TOUCH_SLACK : MOUSE_SLACK };
    } else if (drag.kind === "mouse" && !event.shiftKey && Math.abs(x - drag.x) > DRAG_PIXELS) {
      const { view } = drag;
      const perPixel = (view.to - view.from) / Math.max(1, this.right() - this.left());
      const at = (pixel: number) =>
        view.from + (Math.min(this.right(), Math.max(this.left(), pixel)) - this.left()) * perPixel;
      this.zoom({ from: at(Math.min(drag.x, x)), to: at(Math.max(drag.x, x)) });
    }
  }

  /** Selects only when the click follows: a sheet that opened before would take the click as one beside it. */
  private onClick(): void {
    const { tap } = this;
    this.tap = null;
    const hit = tap === null ? null : this.hitAt(tap.x, tap.y, tap.slack);
    if (hit !== null) this.handlers.onSelect(hit.span, hit.lane);
  }

  private endDrag(event: PointerEvent): void {
    this.pinch.delete(event.pointerId);
    this.drag = null;
    this.handlers.onBrush(null);
  }

  private onWheel(event: WheelEvent): void {
    const { x } = this.place(event);
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.zoomBy(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.008), x);
      return;
    }
    const sideways = event.shiftKey && event.deltaX === 0 ? event.deltaY : event.deltaX;
    if (this.zoomed !== null && Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
      event.preventDefault();
      this.pan(sideways);
    }
  }

  /** Where a bar stands in the window, for what is placed beside it. */
  private boxOf({ span, lane }: Hit): DOMRect {
    const { scene } = this;
    const box = scene?.layout.boxes.find((one) => one.lane === lane);
    if (scene === null || box === undefined) return new DOMRect();
    const canvas = this.bodyCanvas.getBoundingClientRect();
    const surface = { width: this.right(), left: this.left() };
    const x0 = Math.max(this.left(), xOf(scene, surface, scene.scale.toAxis(span.start)));
    const x1 = Math.min(this.right(), xOf(scene, surface, scene.scale.toAxis(span.end ?? scene.now)));
    const y = box.barTop + span.row * 17 - this.scroller.scrollTop;
    return new DOMRect(canvas.left + x0, canvas.top + y, Math.max(2, x1 - x0), 14);
  }
}

function sizeCanvas(canvas: HTMLCanvasElement, width: number, height: number, ratio: number): void {
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  canvas.getContext("2d")?.setTransform(ratio, 0, 0, ratio, 0, 0);
}

function spread(pointers: ReadonlyMap<number, number>): number {
  const [a = 0, b = 0] = [...pointers.values()];
  return Math.abs(a - b);
}
