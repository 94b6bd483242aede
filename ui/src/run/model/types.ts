/**
 * The shapes of a run that the Run page reads, from the server's OpenAPI document (`musterd-client`). Times are unix
 * seconds with fractions.
 */

import type { Schemas } from "musterd-client";
import type { Activity, ComponentKind, MemberRun, RunAttempt, RunStatus, Search, Totals } from "@/api/types";

export type { ComponentKind, MemberRun, RunAttempt, RunStatus, Totals };

/** A step that was in progress when its run was cancelled. */
export type CutOffStep = Schemas["CutOffStep"];

type ReadKeys =
  | ("run_id" | "root_run_id" | "parent_run_id" | "session_id" | "user_id" | "input" | "content" | "model" | "status")
  | ("created_at" | "queued_at" | "started_at" | "ended_at" | "attempts" | "attempt_list" | "queue_position")
  | ("runs_behind" | "forks" | "forked_from" | "copied_from" | "cancel" | "error" | "waiting" | "members")
  | ("references" | "member_references");

/** `GET /runs/{run_id}?view=full`: the keys that the page reads, of a run of a team, an agent or a workflow. */
export type RunDetail = Omit<Pick<Schemas["TeamRunDetails"], ReadKeys | "team_id" | "team_name">, "input"> &
  Partial<Pick<Schemas["AgentRunDetails"], "agent_id" | "agent_name">> &
  Partial<Pick<Schemas["WorkflowRunDetails"], "workflow_id" | "workflow_name">> & {
    /** Of a workflow the message itself, or an object if it has an input schema. */
    input: { input_content?: unknown } | string;
    totals: Totals | null;
    activity: Activity | null;
  };

export type StepAttempt = Schemas["StepAttempt"];

/** One step of a run or of its members. Its texts are read with the step alone. */
export type RunStep = Schemas["RunStep"];

/** A tool call as events have it. */
export type EventTool = Pick<
  Schemas["ToolExecution"],
  "tool_call_id" | "tool_name" | "tool_args" | "tool_call_error" | "result" | "metrics" | "child_run_id"
>;

/** One event, with the keys that the page reads. Which of the optional ones it has depends on its name. */
export type RunEvent = Pick<Schemas["RunEvent"], "event" | "event_index" | "created_at" | "at" | "run_id"> & {
  parent_run_id?: string;
  nested_depth?: number;
  team_id?: string;
  team_name?: string;
  agent_id?: string;
  agent_name?: string;
  workflow_id?: string;
  workflow_name?: string;
  model?: string;
  content?: unknown;
  reasoning_content?: string;
  tool?: EventTool;
  error?: string;
  reason?: string;
  attempt?: number;
  superseded?: { run_id: string; path?: string; from_event_index: number }[];
  try?: number;
  wait_seconds?: number;
  workflow_run_id?: string;
  step_id?: string;
  step_name?: string;
  iteration?: number;
  will_retry?: boolean;
  step_response?: Schemas["StepOutput"];
  references?: Search[];
  input_tokens?: number;
  output_tokens?: number;
  time_to_first_token?: number;
  read_tokens?: number;
  prompt_tokens?: number;
  [key: string]: unknown;
};

const FINAL: ReadonlySet<RunStatus> = new Set(["COMPLETED", "ERROR", "CANCELLED"]);

/** Whether a run in this state never changes again. */
export function isFinal(status: RunStatus): boolean {
  return FINAL.has(status);
}

/** The message of a run. */
export function messageOf({ input }: RunDetail): string {
  if (typeof input === "string") return input;
  return typeof input.input_content === "string" ? input.input_content : JSON.stringify(input);
}

/** The name of the team, agent or workflow of a run. */
export function componentName(run: RunDetail): string {
  return run.team_name ?? run.agent_name ?? run.workflow_name ?? run.team_id ?? run.agent_id ?? "Run";
}

/** The kind and id of the team, agent or workflow of a run. */
export function componentOf(run: RunDetail): { kind: ComponentKind; id: string } {
  if (run.workflow_id !== undefined) return { kind: "workflow", id: run.workflow_id };
  return run.team_id === undefined ? { kind: "agent", id: run.agent_id ?? "" } : { kind: "team", id: run.team_id };
}
