import {
  type ReactNode,
  type Ref,
  type RefObject,
  useCallback,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useReducer,
  useRef,
} from "react";
import { RowOffsets } from "./offsets";

export interface VirtualRowsHandle {
  scrollTo: (index: number) => void;
}

interface VirtualRowsProps {
  /** One key for each row, in order. */
  keys: readonly string[];
  estimate: number;
  scroller: RefObject<HTMLElement | null>;
  render: (index: number) => ReactNode;
  /** Stay at the end as rows are added or grow, until the reader scrolls back. */
  isAtEnd?: boolean;
  /** The reader scrolled back (false), or to the end (true), by whatever means. */
  onReaderScroll?: (isAtEnd: boolean) => void;
  handle?: Ref<VirtualRowsHandle>;
}

/** How far around what is in sight rows are in the document, in pixels. */
const AROUND = 400;
/** How near to the end the reader has to scroll to be at the end. */
const NEAR_END = 80;
/** For so long after the reader scrolled back, a move to the end is none of the reader's: touches are applied late. */
const SETTLE_MS = 300;

/** Rows of any height in an element that scrolls; only those near what is in sight are in the document. */
export function VirtualRows({
  keys,
  estimate,
  scroller,
  render,
  isAtEnd = false,
  onReaderScroll,
  handle,
}: VirtualRowsProps) {
  const offsets = useRef<RowOffsets>(null);
  offsets.current ??= new RowOffsets(estimate);
  const rows = offsets.current;
  const laidOut = useRef<readonly string[]>([]);
  const anchor = useRef<{ key: string; offset: number } | null>(null);
  if (laidOut.current !== keys) {
    anchor.current = isAtEnd ? null : anchorOf(rows, laidOut.current, scroller.current);
    laidOut.current = keys;
    rows.setKeys(keys);
  }
  const [, refresh] = useReducer((count: number) => count + 1, 0);
  const observer = useRef<ResizeObserver>(null);
  const frame = useRef(0);
  const knownTop = useRef(0);
  const readerScroll = useRef(onReaderScroll);
  readerScroll.current = onReaderScroll;

  const scheduleRefresh = useCallback(() => {
    if (frame.current !== 0) return;
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      refresh();
    });
  }, []);

  const moveTo = useCallback((element: HTMLElement, top: number) => {
    element.scrollTop = top;
    knownTop.current = element.scrollTop;
  }, []);

  // An effect, not a layout effect: the element that scrolls is a parent, whose ref is set after those of its children.
  useEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const own = new ResizeObserver((entries) => {
      let above = 0;
      for (const { target } of entries) {
        if (!(target instanceof HTMLElement) || target === element || !target.isConnected) continue;
        const index = Number(target.dataset.index);
        // A row that is partly in sight grows at its end, below what the reader looks at.
        const isAbove = rows.topOf(index + 1) <= element.scrollTop + above;
        const change = rows.setHeight(index, target.offsetHeight);
        if (isAbove) above += change;
      }
      // What the reader looks at stays where it is.
      if (above !== 0) moveTo(element, element.scrollTop + above);
      scheduleRefresh();
    });
    let scrolledBackAt = Number.NEGATIVE_INFINITY;
    const onScroll = () => {
      const isAtEndNow = readerScrolledTo(element, knownTop.current);
      knownTop.current = element.scrollTop;
      scheduleRefresh();
      if (isAtEndNow === null) return;
      const now = performance.now();
      if (!isAtEndNow) scrolledBackAt = now;
      else if (now - scrolledBackAt < SETTLE_MS) return;
      readerScroll.current?.(isAtEndNow);
    };
    observer.current = own;
    own.observe(element);
    for (const row of element.querySelectorAll<HTMLElement>(".virtual-row")) own.observe(row);
    element.addEventListener("scroll", onScroll, { passive: true });
    return () => {
      own.disconnect();
      observer.current = null;
      element.removeEventListener("scroll", onScroll);
      cancelAnimationFrame(frame.current);
      frame.current = 0;
    };
  }, [scroller, rows, scheduleRefresh, moveTo]);

  const measure = useCallback((element: HTMLElement | null) => {
    if (element === null) return;
    const own = observer.current;
    own?.observe(element);
    return () => own?.unobserve(element);
  }, []);

  // Rows that come before what the reader looks at do not move it.
  useLayoutEffect(() => {
    const at = anchor.current;
    anchor.current = null;
    const index = at === null ? -1 : keys.indexOf(at.key);
    if (at !== null && index >= 0 && scroller.current !== null) moveTo(scroller.current, rows.topOf(index) + at.offset);
  }, [keys, rows, scroller, moveTo]);

  const { total } = rows;
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!isAtEnd || total === 0 || element === null) return;
    // The event of the reader's scroll may still be on its way.
    if (readerScrolledTo(element, knownTop.current) !== false) moveTo(element, total);
  }, [isAtEnd, total, scroller, moveTo]);

  useImperativeHandle(handle, () => ({
    scrollTo: (index) => {
      const element = scroller.current;
      if (element !== null) moveTo(element, rows.topOf(index) - element.clientHeight / 2);
    },
  }));

  // Before the first layout there is no element to ask: a screenful is enough, and a refresh follows.
  const top = scroller.current?.scrollTop ?? 0;
  const height = scroller.current?.clientHeight ?? 800;
  const { first, end } = rows.between(top - AROUND, top + height + AROUND);
  const items: ReactNode[] = [];
  for (let i = first; i < end; i++) {
    items.push(
      <div
        key={keys[i]}
        ref={measure}
        data-index={i}
        className="virtual-row"
        style={{ transform: `translateY(${rows.topOf(i)}px)` }}
      >
        {render(i)}
      </div>,
    );
  }
  return (
    <div className="virtual-space" style={{ height: total }}>
      {items}
    </div>
  );
}

/**
 * Whether the reader scrolled back (false) or to the end (true) since the page last knew where the element was.
 *
 * Null: neither. A list that became shorter is moved back by the browser, but then its end is in sight.
 */
function readerScrolledTo(element: HTMLElement, knownTop: number): boolean | null {
  const { scrollTop, scrollHeight, clientHeight } = element;
  const left = scrollHeight - scrollTop - clientHeight;
  if (scrollTop < knownTop - 1) return left > 1 ? false : null;
  return scrollTop > knownTop && left < NEAR_END ? true : null;
}

/** The first row in sight, and how far it is scrolled; null at the top, where what is new is shown. */
function anchorOf(rows: RowOffsets, keys: readonly string[], scroller: HTMLElement | null) {
  if (scroller === null || scroller.scrollTop <= 0) return null;
  const index = rows.between(scroller.scrollTop, scroller.scrollTop).first;
  const key = keys[index];
  return key === undefined ? null : { key, offset: scroller.scrollTop - rows.topOf(index) };
}
