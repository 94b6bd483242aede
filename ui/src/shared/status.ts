/** How the status of a run reads and looks, on every page. */
import type { RunStatus } from "../api/types";

export type Tone = "run" | "ok" | "fail" | "wait" | "idle";
export type StatusName = RunStatus | "CANCELLING";

export const STATUS_LABEL: Record<StatusName, string> = {
  PENDING: "Queued",
  RUNNING: "Running",
  PAUSED: "Needs you",
  COMPLETED: "Completed",
  ERROR: "Failed",
  CANCELLED: "Cancelled",
  CANCELLING: "Cancelling",
};

export const STATUS_TONE: Record<StatusName, Tone> = {
  PENDING: "idle",
  RUNNING: "run",
  PAUSED: "wait",
  COMPLETED: "ok",
  ERROR: "fail",
  CANCELLED: "idle",
  CANCELLING: "idle",
};

export function isFinal(status: RunStatus): boolean {
  return status === "COMPLETED" || status === "ERROR" || status === "CANCELLED";
}

/** The status to show: a run that was asked to cancel is "Cancelling" until the server confirms. */
export function shownStatus(run: { status: RunStatus; cancel_requested_at?: number | null }): StatusName {
  return run.cancel_requested_at && !isFinal(run.status) ? "CANCELLING" : run.status;
}
