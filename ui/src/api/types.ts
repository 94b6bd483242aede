/**
 * The shapes that several pages read, from the server's OpenAPI document (`schema.d.ts`, by `tools/ui_types.py`). Times
 * are unix seconds with fractions; unknown values are null.
 */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type RunStatus = Schemas["RunStatus"];
export type ComponentKind = Schemas["RunSummary"]["component_kind"];

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

export type RunSummary = Omit<Schemas["RunSummary"], "activity" | "totals"> & {
  activity: Activity | null;
  totals: Totals | null;
};

export type RunCounts = Schemas["RunCountsResponse"];

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

export type MemberRun = Schemas["MemberRun"];

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

export type Approval = Omit<Schemas["ApprovalResponse"], "requirements"> & {
  requirements: Record<string, unknown>[] | null;
};

export type Me = Schemas["MeResponse"];

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
