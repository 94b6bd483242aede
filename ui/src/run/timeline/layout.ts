/** Where lanes and rows stand. The same numbers place the names beside the canvas. */
import type { Lane } from "../spans";

export const AXIS_HEIGHT = 26;
export const BAR_HEIGHT = 14;
export const ROW_HEIGHT = 17;
const FIRST_ROW = 8;
const MIN_LANE = 46;
/** On a phone the name stands above the bars. */
const PHONE_NAME = 46;
const PHONE_TRACK = 34;

export interface LaneBox {
  lane: Lane;
  top: number;
  height: number;
  /** Where the bars of row 0 begin. */
  barTop: number;
}

export interface Layout {
  boxes: LaneBox[];
  height: number;
  isPhone: boolean;
}

export function layoutLanes(lanes: readonly Lane[], isPhone: boolean): Layout {
  const boxes: LaneBox[] = [];
  let top = 0;
  for (const lane of lanes) {
    const bars = 13 + lane.rows * ROW_HEIGHT;
    const height = isPhone ? PHONE_NAME + Math.max(PHONE_TRACK, bars) : Math.max(MIN_LANE, bars);
    boxes.push({ lane, top, height, barTop: top + FIRST_ROW + (isPhone ? PHONE_NAME : 0) });
    top += height;
  }
  return { boxes, height: top, isPhone };
}

/** The lanes between two heights, by binary search: from the first to before the last. */
export function lanesBetween(layout: Layout, from: number, to: number): LaneBox[] {
  const { boxes } = layout;
  let low = 0;
  let high = boxes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const box = boxes[middle] as LaneBox;
    if (box.top + box.height <= from) low = middle + 1;
    else high = middle;
  }
  const visible: LaneBox[] = [];
  for (let i = low; i < boxes.length; i++) {
    const box = boxes[i] as LaneBox;
    if (box.top >= to) break;
    visible.push(box);
  }
  return visible;
}
