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
  /** The width of the names beside the bars. */
  namesWidth: number;
}

export const NAMES_LEAST = 218;
const NAMES_MOST = 380;
/** The bars keep the rest of the width. */
const NAMES_SHARE = 0.36;
/** What stands beside a name: the paddings, the dot and the gaps. */
const BESIDE_NAME = 48;
const COST_WIDTH = 52;
const INDENT = 20;
/** The width changes in steps, so that the bars do not move with each new name. */
const WIDTH_STEP = 8;

/**
 * As wide as the longest name needs, or the reason why a member failed or waits, within limits.
 *
 * @param width of the whole timeline.
 * @param measure the width of a text in the font of names.
 */
export function namesWidth(lanes: readonly Lane[], width: number, measure: (name: string) => number): number {
  const needed = lanes.map(
    (lane) =>
      BESIDE_NAME +
      Math.max(0, lane.depth - 1) * INDENT +
      Math.max(
        measure(laneTitle(lane)) + (lane.cost === null ? 0 : COST_WIDTH),
        lane.state === "failed" || lane.state === "waiting" ? measure(lane.note) : 0,
      ),
  );
  const widest = Math.ceil(Math.max(...needed) / WIDTH_STEP) * WIDTH_STEP;
  return Math.max(NAMES_LEAST, Math.min(widest, NAMES_MOST, Math.floor(width * NAMES_SHARE)));
}

/** The name of a lane, with the step of a workflow that it ran. */
export function laneTitle({ name, step }: Pick<Lane, "name" | "step">): string {
  return step === null ? name : `${name}  ${step}`;
}

export function layoutLanes(lanes: readonly Lane[], isPhone: boolean, width = NAMES_LEAST): Layout {
  const boxes: LaneBox[] = [];
  let top = 0;
  for (const lane of lanes) {
    const bars = 13 + lane.rows * ROW_HEIGHT;
    const height = isPhone ? PHONE_NAME + Math.max(PHONE_TRACK, bars) : Math.max(MIN_LANE, bars);
    boxes.push({ lane, top, height, barTop: top + FIRST_ROW + (isPhone ? PHONE_NAME : 0) });
    top += height;
  }
  return { boxes, height: top, isPhone, namesWidth: width };
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
