/**
 * What the Run page reads of the server, as far as it uses it. Times are unix seconds with fractions.
 * The generated types in `api/schema.d.ts` have everything.
 */

import type { Activity, ComponentKind, MemberRun, RunAttempt, RunStatus, Totals } from "@/api/types";

export type { ComponentKind, MemberRun, RunAttempt, RunStatus, Totals };

/** A step that was in progress when its run was cancelled. */
export interface CutOffStep {
  path: string;
  kind: StepKind;
  name: string | null;
  outcome: "stopped" | "finished" | "unknown" | "abandoned";
}

export interface RunError {
  code: string;
  message: string;
  retryable: boolean;
  partial?: string;
}

/** `GET /runs/{run_id}?view=full`. */
export interface RunDetail {
  run_id: string;
  root_run_id: string;
  path: string | null;
  parent_run_id?: string;
  session_id: string;
  user_id?: string;
  team_id?: string;
  team_name?: string;
  agent_id?: string;
  agent_name?: string;
  workflow_id?: string;
  workflow_name?: string;
  /** Of a workflow the message itself, or an object if it has an input schema. */
  input: { input_content: string } | string | Record<string, unknown>;
  content?: unknown;
  content_type?: string;
  model?: string;
  status: RunStatus;
  created_at: number;
  queued_at?: number;
  started_at?: number;
  ended_at?: number;
  attempts?: number;
  queue_position?: number;
  forked_from?: string;
  copied_from?: string;
  cancel?: { requested_at: number; by: string | null; steps?: CutOffStep[] };
  error?: RunError;
  totals: Totals | null;
  activity: Activity | null;
  attempt_list: RunAttempt[];
  waiting: number;
  members: MemberRun[];
}

export type StepKind = "prepare" | "model" | "tool" | "delegate" | "hook";
export type StepState = "started" | "completed" | "failed" | "unknown" | "waiting";

export interface StepAttempt {
  attempt: number;
  started_at: number;
  ended_at: number | null;
  outcome: string;
}

/** One step of a run or of its members. */
export interface RunStep {
  path: string;
  kind: StepKind;
  state: StepState;
  attempt: number;
  started_at: number;
  ended_at: number | null;
  usage: Record<string, number> | null;
  cost: number | null;
  name: string | null;
  run_id: string;
  parent_path: string | null;
  tool_call_id: string | null;
  child_run_ids: string[];
  approval_id: string | null;
  error: { code: string; message: string } | null;
  tries: number;
  attempts: StepAttempt[];
}

/** A step with its texts, for the details. */
export interface RunStepDetail extends RunStep {
  arguments: Record<string, unknown> | null;
  result: string | null;
  /** The length of the whole result, of which `result` may be a part. */
  result_characters: number | null;
}

/** A tool call as events have it. */
export interface EventTool {
  tool_call_id: string;
  tool_name: string;
  tool_args: Record<string, unknown>;
  tool_call_error: boolean | null;
  result: string | null;
  metrics: { start_time: number; end_time: number; duration: number } | null;
  child_run_id: string | null;
}

/** One event. Which of the optional keys it has depends on its name. */
export interface RunEvent {
  event: string;
  event_index: number;
  created_at: number;
  at?: number;
  run_id: string;
  parent_run_id?: string;
  session_id?: string;
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
  error_type?: string;
  reason?: string;
  attempt?: number;
  superseded?: { run_id: string; path?: string; from_event_index: number }[];
  try?: number;
  wait_seconds?: number;
  input_tokens?: number;
  output_tokens?: number;
  [key: string]: unknown;
}

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

/** When an event happened. Events of an old server have whole seconds only. */
export function eventTime(event: RunEvent): number {
  return event.at ?? event.created_at;
}
