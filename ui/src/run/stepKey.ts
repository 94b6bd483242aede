import type { Lane, Span, Spans } from "./spans";

/** What the address of the page says of a bar: the path of its step, or its event if it has none yet. */
export function stepKey(span: Span): string {
  return span.path ?? span.id;
}

export interface Placed {
  span: Span;
  lane: Lane;
}

/** The bar that an address names: of a step with several attempts the last one. */
export function findSpan(spans: Spans, key: string): Placed | null {
  let last: Placed | null = null;
  for (const lane of spans.lanes) {
    for (const span of lane.spans) if (stepKey(span) === key) last = { span, lane };
  }
  return last;
}

export function findById(spans: Spans, id: string): Placed | null {
  for (const lane of spans.lanes) {
    const span = lane.spans.find((one) => one.id === id);
    if (span !== undefined) return { span, lane };
  }
  return null;
}

export type Move = "before" | "after" | "up" | "down";

/** The bar to which a key moves: within its lane, or to the nearest one in time of the next lane with bars. */
export function moved(spans: Spans, from: Placed | null, move: Move, isShown: (span: Span) => boolean): Placed | null {
  const lanes = spans.lanes
    .map((lane) => ({ lane, list: lane.spans.filter(isShown) }))
    .filter(({ list }) => list.length > 0);
  const row = lanes.findIndex(({ lane }) => lane.key === from?.lane.key);
  const current = lanes[row];
  if (from === null || current === undefined) {
    const first = lanes[0];
    const span = first?.list[0];
    return first === undefined || span === undefined ? null : { lane: first.lane, span };
  }
  if (move === "up" || move === "down") {
    const target = lanes[row + (move === "up" ? -1 : 1)];
    return target === undefined ? from : { lane: target.lane, span: nearest(target.list, from.span.start) };
  }
  const position = current.list.findIndex((span) => span.id === from.span.id);
  const span = current.list[position + (move === "before" ? -1 : 1)];
  return span === undefined ? from : { lane: current.lane, span };
}

function nearest(list: readonly Span[], time: number): Span {
  return list.reduce((best, span) => (Math.abs(span.start - time) < Math.abs(best.start - time) ? span : best));
}
