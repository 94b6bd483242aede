/** The bars of a lane by their places on the axis, so that only the visible ones are looked at. */
import type { Lane, Span } from "../spans";
import type { TimeScale } from "./scale";

export interface LaneIndex {
  spans: readonly Span[];
  /** Where each bar begins and ends on the axis; Infinity while it goes on. */
  starts: Float64Array;
  ends: Float64Array;
  /** The furthest end of the bars up to each one: it only grows, so it can be searched. */
  reach: Float64Array;
}

export function indexLane(lane: Lane, scale: TimeScale): LaneIndex {
  const { spans } = lane;
  const starts = new Float64Array(spans.length);
  const ends = new Float64Array(spans.length);
  const reach = new Float64Array(spans.length);
  let furthest = -Infinity;
  for (const [i, span] of spans.entries()) {
    starts[i] = scale.toAxis(span.start);
    const end = span.end === null ? Infinity : scale.toAxis(span.end);
    ends[i] = end;
    furthest = Math.max(furthest, end);
    reach[i] = furthest;
  }
  return { spans, starts, ends, reach };
}

/** The bars from the first to before the last that may be seen between two places of the axis. */
export function visibleRange(index: LaneIndex, from: number, to: number): [first: number, end: number] {
  return [firstAtLeast(index.reach, from), firstAbove(index.starts, to)];
}

function firstAtLeast(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function firstAbove(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
