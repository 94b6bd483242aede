/** A bar in words, for the tooltip and for screen readers. */
import { formatDuration, formatTime } from "../../shared/format";
import type { Span } from "../spans";

const KIND: Record<Span["kind"], string> = {
  model: "model call",
  tool: "tool call",
  wait: "needs you",
  hook: "hook",
  function: "function",
  choice: "choice",
  container: "steps",
};

export function outcomeText(span: Span): string {
  if (span.kind === "wait") return span.end === null ? "needs you" : "waited";
  switch (span.outcome) {
    case "failed":
      return span.retries.length > 0 ? `failed after ${span.retries.length + 1} tries` : "failed";
    case "cut_off":
      return "cut off";
    case "running":
      return "running";
    default:
      return span.retries.length > 0 ? `completed after ${span.retries.length + 1} tries` : "completed";
  }
}

export function spanTitle(span: Span): string {
  return span.kind === "wait" ? span.label : `${span.label}, ${KIND[span.kind]}`;
}

export function spanDescription(span: Span, now: number): string {
  const parts = [outcomeText(span), formatDuration((span.end ?? now) - span.start)];
  if (span.attempt > 1) parts.push(`attempt ${span.attempt}`);
  if (span.error !== null && span.error !== "failed") parts.push(span.error.slice(0, 160));
  parts.push(`started ${formatTime(span.start)}`);
  return parts.join(", ");
}
