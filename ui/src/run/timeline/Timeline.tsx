import { Maximize2, Minus, Plus } from "lucide-react";
import {
  type CSSProperties,
  type Ref,
  useCallback,
  useEffect,
  useImperativeHandle,
  useMemo,
  useRef,
  useState,
} from "react";
import { serverNow } from "../../api/serverClock";
import { Button } from "../../shared/Button";
import { formatDuration } from "../../shared/format";
import { placeBeside } from "../../shared/Tooltip";
import type { Lane, Span, Spans } from "../spans";
import type { Placed } from "../stepKey";
import { type Hover, TimelineController } from "./controller";
import { downtimeText, spanDescription, spanTitle } from "./describe";
import { isShown, type Only } from "./draw";
import { LaneNames } from "./LaneNames";
import { AXIS_HEIGHT, type Layout } from "./layout";
import { legendOf } from "./legend";
import { StepsGrid } from "./StepsGrid";

export interface TimelineHandle {
  zoomBy: (factor: number) => void;
  showAll: () => void;
}

export interface TimelineProps {
  spans: Spans;
  rootId: string;
  current: Placed | null;
  only: Only;
  areGapsFolded: boolean;
  isFollowing: boolean;
  /** Show the run as of this time; null: as of now. */
  frozenAt: number | null;
  onSelect: (span: Span, lane: Lane) => void;
  onFollow: (isFollowing: boolean) => void;
  handle?: Ref<TimelineHandle>;
}

/** In pixels. Names this far outside of what is in sight are in the document. */
const SCROLL_STEP = 200;

/** Lanes on one time axis. The bars are drawn on a canvas; names, tooltip and the grid for the keyboard are elements. */
export function Timeline(props: TimelineProps) {
  const { spans, rootId, current, only, areGapsFolded, isFollowing, frozenAt, handle } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const body = useRef<HTMLCanvasElement>(null);
  const axis = useRef<HTMLCanvasElement>(null);
  const controller = useRef<TimelineController | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const [layout, setLayout] = useState<Layout | null>(null);
  const [visible, setVisible] = useState({ from: 0, to: 1000 });
  const [hover, setHover] = useState<Hover | null>(null);
  const [brush, setBrush] = useState<{ from: number; to: number } | null>(null);
  const [isZoomed, setZoomed] = useState(false);

  useEffect(() => {
    if (!scroller.current || !body.current || !axis.current) return;
    const own = new TimelineController(scroller.current, body.current, axis.current, {
      onLayout: (nextLayout, nextVisible) => {
        setLayout(nextLayout);
        // In steps, so that scrolling does not render at every pixel.
        const from = Math.floor(nextVisible.from / SCROLL_STEP) * SCROLL_STEP;
        const to = Math.ceil(nextVisible.to / SCROLL_STEP) * SCROLL_STEP;
        setVisible((known) => (known.from === from && known.to === to ? known : { from, to }));
      },
      onHover: setHover,
      onSelect: (span, lane) => {
        setHover(null); // the panel that opens says more, and the tooltip would cover it
        latest.current.onSelect(span, lane);
      },
      onFollow: (isOn) => latest.current.onFollow(isOn),
      onZoom: setZoomed,
      onBrush: setBrush,
    });
    controller.current = own;
    return () => {
      own.close();
      controller.current = null;
    };
  }, []);
  useEffect(() => controller.current?.setSpans(spans), [spans]);
  useEffect(() => controller.current?.setFolds(areGapsFolded), [areGapsFolded]);
  useEffect(() => controller.current?.setOnly(only), [only]);
  useEffect(() => controller.current?.setFollowing(isFollowing), [isFollowing]);
  useEffect(() => controller.current?.freeze(frozenAt), [frozenAt]);
  const selectedId = current?.span.id ?? null;
  useEffect(() => controller.current?.select(selectedId), [selectedId]);
  useImperativeHandle(handle, () => ({
    zoomBy: (factor) => controller.current?.zoomBy(factor),
    showAll: () => controller.current?.showAll(),
  }));

  const shows = useCallback((span: Span) => isShown(span, only), [only]);
  const open = useCallback(() => {
    const { current: placed, onSelect } = latest.current;
    if (placed !== null) onSelect(placed.span, placed.lane);
  }, []);
  const legend = useMemo(() => legendOf(spans, areGapsFolded), [spans, areGapsFolded]);
  const lastDowntime = spans.downtime.at(-1);
  const height = layout === null ? undefined : layout.height + AXIS_HEIGHT;
  const brushStyle = brush === null ? undefined : { left: brush.from, width: brush.to - brush.from };
  return (
    <div className="timeline-frame">
      <StepsGrid spans={spans} current={current} isShown={shows} onOpen={open} />
      <div className="timeline" ref={scroller} style={{ "--lanes-height": `${height ?? 160}px` } as CSSProperties}>
        <div className="timeline-inner" style={{ height }}>
          <canvas ref={axis} className="timeline-axis" aria-hidden="true" />
          <canvas ref={body} className="timeline-bars" aria-hidden="true" />
          {layout === null ? null : <LaneNames layout={layout} visible={visible} rootId={rootId} />}
        </div>
        {brush === null ? null : <div className="timeline-brush" style={brushStyle} />}
      </div>
      {hover === null ? null : <BarTooltip key={hover.key} hover={hover} />}
      <div className="legend">
        {legend.map(({ kind, label }) => (
          <span key={kind} data-kind={kind}>
            {label}
          </span>
        ))}
        <span className="legend-end">
          {lastDowntime === undefined ? null : <span>{downtimeText(lastDowntime)}</span>}
          <Button
            kind="quiet"
            isIcon
            aria-label="Zoom out"
            title="Zoom out (-)"
            onClick={() => controller.current?.zoomBy(1.6)}
          >
            <Minus className="icon-small" aria-hidden="true" />
          </Button>
          <Button
            kind="quiet"
            isIcon
            aria-label="Zoom in"
            title="Zoom in (+); or drag over the bars"
            onClick={() => controller.current?.zoomBy(1 / 1.6)}
          >
            <Plus className="icon-small" aria-hidden="true" />
          </Button>
          <Button
            kind="quiet"
            isIcon
            aria-label="Show the whole run"
            title="Show the whole run (0)"
            disabled={!isZoomed}
            onClick={() => controller.current?.showAll()}
          >
            <Maximize2 className="icon-small" aria-hidden="true" />
          </Button>
        </span>
      </div>
    </div>
  );
}

function BarTooltip({ hover: { of, anchor } }: { hover: Hover }) {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (element.current === null) return;
    if (!element.current.matches(":popover-open")) element.current.showPopover?.();
    const left = Math.max(anchor.left, Math.min(anchor.right, anchor.left + 12));
    placeBeside(element.current, new DOMRect(left, anchor.top, 1, anchor.height));
  }, [anchor]);
  const isBar = "kind" in of;
  return (
    <div ref={element} popover="manual" className="tooltip" aria-hidden="true">
      <b>{isBar ? spanTitle(of) : `Downtime, ${formatDuration((of.end ?? serverNow()) - of.start)}`}</b>
      <br />
      {isBar ? spanDescription(of, serverNow()) : downtimeText(of)}
    </div>
  );
}
