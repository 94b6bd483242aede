import { expect, test } from "vitest";
import { describeRun, listedStatus } from "./describe";
import { completedRun, runOf } from "./fixtures";

const activity = (kind: "model" | "writing" | "tool" | "waiting", tool: string | null = null) => ({
  kind,
  run_id: "m1",
  member: "Shipping",
  tool,
  since: 1_001,
});

test.each([
  [completedRun(), "Delivered on 12 November.", null],
  [completedRun({ outcome: null }), "Completed without an answer", null],
  [completedRun({ status: "ERROR", outcome: "Too long.\nTry less." }), "Too long. Try less.", "fail"],
  [completedRun({ status: "CANCELLED", outcome: "Reading the log" }), "Cancelled. Kept: “Reading the log”", null],
  [runOf({ status: "PENDING", queue_position: 1 }), "Queued, 1 run ahead in this session", "idle"],
  [runOf({ status: "PENDING", queue_position: 0 }), "Queued", "idle"],
  [runOf({ activity: activity("writing") }), "Shipping is writing", null],
  [runOf({ activity: activity("tool", "track_parcel") }), "Shipping is running track_parcel", null],
  [runOf({ activity: activity("model") }), "Shipping is calling the model", null],
  [runOf({ cancel_requested_at: 1_002 }), "Cancelling", "idle"],
  [runOf({ waiting: 1, activity: activity("writing") }), "1 question for you. Shipping is writing", "wait"],
  [
    runOf({ waiting: 1, outcome: "May Billing pay?", activity: activity("writing") }),
    "May Billing pay? Shipping is writing",
    "wait",
  ],
  [runOf({ status: "PAUSED", waiting: 1, outcome: "May Rollout call deploy?" }), "May Rollout call deploy?", "wait"],
  [runOf(), "Starting", null],
])("%#", (run, text, tone) => expect(describeRun(run)).toEqual({ text, tone }));

test("a run that asks something is listed as one that needs a person", () => {
  expect(listedStatus(runOf({ waiting: 1 }))).toBe("PAUSED");
  expect(listedStatus(runOf({ waiting: 1, cancel_requested_at: 1 }))).toBe("CANCELLING");
  expect(listedStatus(runOf())).toBe("RUNNING");
});
