/**
 * Time on one axis, with long idle gaps folded. Bars are placed in "axis seconds": seconds since the start of the run,
 * but for a fold, which takes the same small width however long it is.
 */

export interface Gap {
  start: number;
  end: number;
}

export interface Fold extends Gap {
  /** Where it stands on the axis. */
  axisStart: number;
  axisWidth: number;
}

/** The width of a fold, as a share of all that is not folded. */
const FOLD_SHARE = 0.035;

export class TimeScale {
  readonly folds: Fold[] = [];
  private readonly starts: number[] = [];
  /** The seconds that the folds up to and with each one take away. */
  private readonly removed: number[] = [];

  constructor(
    readonly start: number,
    gaps: readonly Gap[],
    end: number,
  ) {
    const hidden = gaps.reduce((sum, gap) => sum + gap.end - gap.start, 0);
    const width = Math.max(0.001, (end - start - hidden) * FOLD_SHARE);
    let removed = 0;
    for (const gap of gaps) {
      this.folds.push({ ...gap, axisStart: gap.start - start - removed, axisWidth: width });
      removed += gap.end - gap.start - width;
      this.starts.push(gap.start);
      this.removed.push(removed);
    }
  }

  /** Where a time stands on the axis. */
  toAxis(time: number): number {
    const i = lastAtMost(this.starts, time);
    const fold = this.folds[i];
    if (fold === undefined) return time - this.start;
    if (time < fold.end) return fold.axisStart + ((time - fold.start) / (fold.end - fold.start)) * fold.axisWidth;
    return time - this.start - (this.removed[i] ?? 0);
  }

  /** The time at a place of the axis. */
  toTime(axis: number): number {
    const i = this.folds.findLastIndex((fold) => fold.axisStart <= axis);
    const fold = this.folds[i];
    if (fold === undefined) return this.start + axis;
    const into = axis - fold.axisStart;
    if (into < fold.axisWidth) return fold.start + (into / fold.axisWidth) * (fold.end - fold.start);
    return this.start + axis + (this.removed[i] ?? 0);
  }
}

/** The index of the last value that is at most `value`; -1 if none is. */
function lastAtMost(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export interface Tick {
  axis: number;
  label: string;
}

const STEPS = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
  14400, 21600, 43200, 86400, 172800, 604800,
];

/** Ticks between two places of the axis, at least `minimum` axis seconds apart, and none inside a fold. */
export function ticksOf(scale: TimeScale, from: number, to: number, minimum: number): Tick[] {
  const step = STEPS.find((one) => one >= minimum) ?? 604800;
  const ticks: Tick[] = [];
  const isClear = (axis: number): boolean =>
    !scale.folds.some(
      (fold) => axis > fold.axisStart - minimum / 4 && axis < fold.axisStart + fold.axisWidth + minimum / 4,
    );
  let last = -Infinity;
  let number = Math.ceil((scale.toTime(Math.max(0, from)) - scale.start) / step - 1e-9);
  for (let guard = 0; guard < 500; guard++, number++) {
    const seconds = number * step;
    const axis = scale.toAxis(scale.start + seconds);
    if (axis > to) break;
    const fold = scale.folds.find((one) => axis > one.axisStart && axis < one.axisStart + one.axisWidth);
    if (fold !== undefined) {
      number = Math.max(number, Math.ceil((fold.end - scale.start) / step) - 1);
      continue;
    }
    if (!isClear(axis) || axis - last < minimum * 0.75) continue;
    last = axis;
    ticks.push({ axis, label: tickLabel(seconds, step) });
  }
  return ticks;
}

function tickLabel(seconds: number, step: number): string {
  if (seconds === 0) return "0 s";
  if (step < 0.1 && seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  const decimals = step < 0.01 ? 3 : step < 0.1 ? 2 : step < 1 ? 1 : 0;
  if (seconds < 60) return `${seconds.toFixed(decimals)} s`;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = seconds % 60;
  const parts: string[] = [];
  if (hours > 0) parts.push(`${hours} h`);
  if (minutes > 0 || (hours > 0 && rest > 0)) parts.push(`${minutes} m`);
  if (rest > 0.0005) parts.push(`${rest.toFixed(decimals)} s`);
  return parts.join(" ");
}

/** `6 m 12 s` for the label of a fold. */
export function gapLabel(duration: number): string {
  const seconds = Math.round(duration);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, "0")} s`;
  if (seconds < 86400)
    return `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} m`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}
