/** When nothing of a run was at work. */
import type { Span, Spans } from "../spans";
import type { Gap } from "./scale";

/** Idle gaps from here on are folded. */
const FOLDED_SECONDS = 30;
/** How much of a gap stays visible at both sides of its fold: this share of the busy time, within limits in seconds. */
const MARGIN_SHARE = 0.03;
const MARGIN_LIMITS = [0.01, 1] as const;

/** The idle gaps of a run, in which it only waited or no process drove it. */
export function gapsOf(spans: Spans, now: number): Gap[] {
  const busy: Gap[] = [];
  for (const lane of spans.lanes) {
    for (const span of lane.spans) {
      if (isWork(span)) busy.push({ start: span.start, end: span.end ?? now });
    }
  }
  return idleGaps(busy, spans.start, now);
}

/** Whether nothing is at work now. */
export function isIdle(spans: Spans | null): boolean {
  return spans?.lanes.every((lane) => lane.spans.every((span) => span.end !== null || !isWork(span))) ?? false;
}

/** A container and a leader with its members may wait, and what works has bars of its own. */
function isWork(span: Span): boolean {
  return span.kind !== "wait" && span.kind !== "members" && span.kind !== "container";
}

/**
 * The parts of `start` to `end` in which nothing was at work for longer than {@link FOLDED_SECONDS}, less a margin.
 *
 * @param busy when something was at work; in any order.
 */
export function idleGaps(busy: readonly Gap[], start: number, end: number): Gap[] {
  const gaps: Gap[] = [];
  let idleSince = start;
  const close = (until: number): void => {
    if (until - idleSince > FOLDED_SECONDS) gaps.push({ start: idleSince, end: until });
  };
  for (const one of [...busy].sort((a, b) => a.start - b.start)) {
    if (one.start > idleSince) close(Math.min(one.start, end));
    idleSince = Math.max(idleSince, one.end);
  }
  if (end > idleSince) close(end);
  const busySeconds = end - start - gaps.reduce((sum, gap) => sum + gap.end - gap.start, 0);
  const [least, most] = MARGIN_LIMITS;
  const margin = Math.min(most, Math.max(least, busySeconds * MARGIN_SHARE));
  return gaps.map((gap) => ({ start: gap.start + margin, end: gap.end - margin }));
}
