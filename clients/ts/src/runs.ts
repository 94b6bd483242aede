/** What became of a run. */
import { requirementsOf } from "./decisions.js";
import { RunCancelled, RunFailed, RunPaused, StillRunning } from "./errors.js";
import type { Run, RunRef } from "./types.js";

/** Whether it has completed, failed or was cancelled. */
export function isFinal(run: Pick<Run, "status">): boolean {
  return ["COMPLETED", "ERROR", "CANCELLED"].includes(run.status);
}

/** Whether it has finished, or waits for a person. */
export function isSettled(run: Pick<Run, "status">): boolean {
  return isFinal(run) || run.status === "PAUSED";
}

/**
 * The run itself, if it has completed.
 *
 * @throws RunFailed it ended in ERROR.
 * @throws RunCancelled it was cancelled.
 * @throws RunPaused it waits for a person.
 * @throws StillRunning it has not finished.
 */
export function requireCompleted(run: Run): Run {
  if (run.status === "COMPLETED") return run;
  if (run.status === "CANCELLED") throw new RunCancelled(run, "was cancelled");
  if (run.status === "ERROR") {
    throw new RunFailed(run, run.error ? `failed: ${run.error.message} (${run.error.code})` : "failed");
  }
  if (run.status === "PAUSED") {
    const names = requirementsOf(run).map((requirement) => requirement.name);
    throw new RunPaused(run, `waits for a decision about ${names.join(", ")}: see requirementsOf and client.decide`);
  }
  throw new StillRunning(run, `has not finished: its status is ${run.status}`);
}

export function idOf(run: RunRef): string {
  return typeof run === "string" ? run : run.run_id;
}
