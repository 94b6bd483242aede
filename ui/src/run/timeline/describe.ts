/** A bar in words, for the tooltip and for screen readers. */
import { formatDuration, formatTime } from "../../shared/format";
import type { Retry } from "../live/feed";
import type { Downtime, Span } from "../spans";

const KIND: Record<Span["kind"], string> = {
  model: "model call",
  loading: "model call",
  tool: "tool call",
  wait: "needs you",
  members: "",
  hook: "hook",
  function: "function",
  choice: "choice",
  container: "steps",
};

export function outcomeText(span: Span): string {
  if (span.kind === "wait") {
    if (span.settled !== null) return `waited, ${settledText(span.settled)}`;
    return span.end === null ? "needs you" : "waited";
  }
  if (span.kind === "members") return span.end === null ? "waiting" : "waited";
  if (span.settled !== null && span.outcome !== "cut_off") return settledText(span.settled);
  switch (span.outcome) {
    case "failed":
      return span.retries.length > 0 ? `failed after ${span.retries.length + 1} tries` : "failed";
    case "cut_off":
      return span.settled === null ? "cut off" : `cut off, ${settledText(span.settled)}`;
    case "running":
      return "running";
    default:
      return span.retries.length > 0 ? `completed after ${span.retries.length + 1} tries` : "completed";
  }
}

/** What a decision made of a call: "result entered by Ida", "refused by Ida". */
export function settledText(settled: NonNullable<Span["settled"]>): string {
  const { outcome, by } = settled;
  const who = by === null || by === "client" ? "a person" : by === "expiry" ? "the default decision" : by;
  return `${outcome === "happened" ? "result entered" : "refused"} by ${who}`;
}

/** What was wrong with a try of a model call, and when the next one began. */
export function retryText({ number, reason, waitSeconds }: Retry): string {
  return `Try ${number} failed: ${reason.replace(/\.$/, "")}. The next one began ${formatDuration(waitSeconds)} later.`;
}

export function spanTitle(span: Span): string {
  const isSentence = span.kind === "wait" || span.kind === "loading" || span.kind === "members";
  return isSentence ? span.label : `${span.label}, ${KIND[span.kind]}`;
}

export function spanDescription(span: Span, now: number): string {
  const parts = [outcomeText(span), formatDuration((span.end ?? now) - span.start)];
  if (span.firstAt !== null) parts.push(`answer began after ${formatDuration(span.firstAt - span.start)}`);
  const [retry] = span.retries;
  if (retry !== undefined) parts.push(`first try: ${retry.reason.slice(0, 80)}`);
  if (span.attempt > 1) parts.push(`attempt ${span.attempt}`);
  if (span.error !== null && span.error !== "failed") parts.push(span.error.slice(0, 160));
  parts.push(`started ${formatTime(span.start)}`);
  return parts.join(", ");
}

const ENDED: Record<string, string> = { lost: "Process lost", handed_over: "Handed over", released: "Released" };

/** Why no process drove the run for some time, and when one did again. */
export function downtimeText({ start, end, outcome }: Downtime): string {
  const next = end === null ? "waiting for a process" : `another process went on at ${formatTime(end)}`;
  return `${ENDED[outcome] ?? "Stopped"} at ${formatTime(start)}, ${next}`;
}
