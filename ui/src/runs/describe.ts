/** What a run does now, or what came of it, in one line. */
import type { RunSummary } from "../api/types";
import { plural } from "../shared/format";
import { type StatusName, shownStatus, type Tone } from "../shared/status";

export interface Line {
  text: string;
  tone: Tone | null;
}

export function describeRun(run: RunSummary): Line {
  if (run.status === "COMPLETED") return { text: firstLine(run.outcome) || "Completed without an answer", tone: null };
  if (run.status === "ERROR") return { text: firstLine(run.outcome) || "Failed without a message", tone: "fail" };
  if (run.status === "CANCELLED") {
    const kept = firstLine(run.outcome);
    return { text: kept ? `Cancelled. Kept: “${kept}”` : "Cancelled", tone: null };
  }
  if (run.cancel_requested_at) return { text: "Cancelling", tone: "idle" };
  if (run.status === "PENDING") return { text: describeQueue(run), tone: "idle" };
  if (run.waiting > 0) {
    const question = firstLine(run.outcome) || `${plural(run.waiting, "question")} for you`;
    const activity = describeActivity(run);
    return { text: activity ? `${sentence(question)} ${activity}` : question, tone: "wait" };
  }
  if (run.status === "PAUSED") return { text: firstLine(run.outcome) || "Waits for a decision", tone: "wait" };
  return { text: describeActivity(run) || "Starting", tone: null };
}

/** A run that asks something needs a person even while its other members work, and is counted so. */
export function listedStatus(run: RunSummary): StatusName {
  const status = shownStatus(run);
  return status === "RUNNING" && run.waiting > 0 ? "PAUSED" : status;
}

function sentence(text: string): string {
  return /[.?!…)]$/.test(text) ? text : `${text}.`;
}

/** `Shipping is writing`; empty while nothing is known, or only that the run waits. */
export function describeActivity(run: Pick<RunSummary, "activity">): string {
  const { activity } = run;
  if (!activity) return "";
  if (activity.kind === "writing") return `${activity.member} is writing`;
  if (activity.kind === "loading") return `${activity.member} is loading the model`;
  if (activity.kind === "model") return `${activity.member} is calling the model`;
  if (activity.kind === "tool") return `${activity.member} is running ${activity.tool ?? "a tool"}`;
  return "";
}

function describeQueue(run: RunSummary): string {
  if (!run.queue_position) return "Queued";
  return `Queued, ${plural(run.queue_position, "run")} ahead in this session`;
}

function firstLine(text: string | null): string {
  return (text ?? "").trim().replace(/\s+/g, " ");
}
