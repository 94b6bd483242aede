/** The shapes that several pages read. Times are unix seconds with fractions; unknown values are null. */

export type RunStatus = "PENDING" | "RUNNING" | "PAUSED" | "COMPLETED" | "ERROR" | "CANCELLED";
export type ComponentKind = "team" | "agent";

/** The figures of a run with all its members. */
export interface Totals {
  input_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
  cost: number | null;
  model_calls: number;
  tool_calls: number;
  failed_calls: number;
}

/** What a run does now. */
export interface Activity {
  kind: "model" | "writing" | "tool" | "waiting";
  run_id: string;
  member: string;
  tool: string | null;
  since: number;
}

export interface RunSummary {
  run_id: string;
  component_kind: ComponentKind;
  component_id: string;
  component_name: string | null;
  session_id: string;
  session_name: string | null;
  user_id: string | null;
  status: RunStatus;
  input: string | null;
  /** The answer, the error's message, or what the run waits for; at most 200 characters. */
  outcome: string | null;
  created_at: number;
  queued_at: number | null;
  started_at: number | null;
  ended_at: number | null;
  attempts: number;
  queue_position: number | null;
  /** Pending approvals in the run's tree. */
  waiting: number;
  activity: Activity | null;
  totals: Totals | null;
  cancel_requested_at: number | null;
}

export interface RunCounts {
  all: number;
  pending: number;
  running: number;
  paused: number;
  completed: number;
  error: number;
  cancelled: number;
  needs_you: number;
}

export interface Page<T> {
  data: T[];
  meta: { limit: number; next_cursor: string | null };
}

export interface RunAttempt {
  attempt: number;
  worker_id: string | null;
  started_at: number;
  ended_at: number | null;
  outcome: "running" | "lost" | "handed_over" | "paused" | "released" | "ended";
}

export interface MemberRun {
  run_id: string;
  parent_run_id: string | null;
  path: string;
  component_kind: ComponentKind;
  component_id: string;
  name: string | null;
  model: string | null;
  status: RunStatus;
  task: string | null;
  started_at: number | null;
  ended_at: number | null;
  outcome: string | null;
}

/** `GET /runs/{run_id}`: AgentOS's object with these keys in addition. The full view has more keys than are named. */
export interface RunDetail extends RunSummary {
  root_run_id: string;
  path: string;
  attempt_list: RunAttempt[];
  members: MemberRun[];
  content?: unknown;
  content_type?: string;
  model?: string | null;
  model_provider?: string | null;
}

export interface StepError {
  code: string;
  message: string;
}

export interface StepAttempt {
  attempt: number;
  started_at: number;
  ended_at: number | null;
  outcome: "completed" | "running" | "cut_off" | "failed" | "unknown";
}

export interface Approval {
  id: string;
  run_id: string;
  session_id: string;
  status: "pending" | "approved" | "rejected" | "expired" | "cancelled";
  source_type: string;
  approval_type: string | null;
  pause_type: string | null;
  tool_name: string | null;
  tool_args: Record<string, unknown> | null;
  expires_at: number | null;
  agent_id: string | null;
  team_id: string | null;
  user_id: string | null;
  source_name: string | null;
  requirements: Record<string, unknown>[] | null;
  context: Record<string, unknown> | null;
  resolution_data: Record<string, unknown> | null;
  resolved_by: string | null;
  resolved_at: number | null;
  created_at: number | null;
  updated_at: number | null;
  run_status: RunStatus | null;
  member_name: string | null;
  member_run_id: string | null;
  task: string | null;
  tool_description: string | null;
  step_path: string | null;
  default_decision: string | null;
}

export interface Me {
  user_id: string | null;
  principal: "user" | "service_account" | "security_key" | "open";
  name: string | null;
  scopes: string[];
  is_admin: boolean;
  auth_required: boolean;
}

/** Messages of `GET /runs/changes`. */
export interface FeedHello {
  server_id: string;
  version: string;
  now: number;
}
export interface FeedApproval {
  id: string;
  run_id: string;
  status: Approval["status"];
  created_at: number;
}
export interface FeedCounts {
  pending_approvals: number;
}
