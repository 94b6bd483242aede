/** The legend of the timeline: the colours that it has. */
import { serverNow } from "../../api/serverClock";
import type { Span, Spans } from "../spans";
import { gapsOf } from "./idleTime";

export interface LegendItem {
  kind: "model" | "text" | "tool" | "wait" | "fail" | "cut" | "load" | "down" | "fold";
  label: string;
}

export function legendOf(spans: Spans, areGapsFolded: boolean): LegendItem[] {
  const end = spans.end ?? serverNow();
  const has = (test: (span: Span) => boolean) => spans.lanes.some((lane) => lane.spans.some(test));
  const items: (LegendItem & { isShown: boolean })[] = [
    { kind: "model", label: "Model", isShown: true },
    { kind: "text", label: "Writing", isShown: has((span) => span.firstAt !== null) },
    { kind: "tool", label: "Tool", isShown: has((span) => span.kind === "tool") },
    { kind: "wait", label: "Needs you", isShown: has((span) => span.kind === "wait") },
    { kind: "fail", label: "Failed", isShown: has((span) => span.outcome === "failed") },
    { kind: "cut", label: "Cut off", isShown: has((span) => span.outcome === "cut_off") },
    { kind: "load", label: "Loading a model", isShown: has((span) => span.kind === "loading") },
    { kind: "down", label: "Downtime", isShown: spans.downtime.length > 0 },
    { kind: "fold", label: "Idle time, shortened", isShown: areGapsFolded && gapsOf(spans, end).length > 0 },
  ];
  return items.filter(({ isShown }) => isShown);
}
