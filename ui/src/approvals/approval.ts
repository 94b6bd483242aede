/** Approvals as `GET /approvals` lists them: tool calls that wait, or waited, for a person. */

export type ApprovalStatus = "pending" | "approved" | "rejected" | "expired" | "cancelled";

export type PauseType = "confirmation" | "user_input" | "external_execution" | "unknown_outcome";

export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

export type JsonObject = { [name: string]: Json };

/** A field that a person fills in before a call. `field_type` is one of str, int, float, bool, list, dict. */
export interface InputField {
  name: string;
  field_type: string;
  description: string | null;
  value: Json;
}

export interface FeedbackOption {
  label: string;
  description: string | null;
  selected: boolean;
}

/** A question of the model with answers to choose from. */
export interface FeedbackQuestion {
  question: string;
  header: string | null;
  multi_select: boolean;
  selected_options: string[] | null;
  options: FeedbackOption[];
}

export interface Requirement {
  id: string;
  kind: PauseType;
  created_at?: string;
  started_at?: number;
  user_input_schema?: InputField[];
  user_feedback_schema?: FeedbackQuestion[];
  member_agent_name?: string;
}

export interface Approval {
  id: string;
  run_id: string;
  session_id: string;
  status: ApprovalStatus;
  source_type: string;
  /** `required`: only the inbox decides; `audit`: listed here once it is decided elsewhere. */
  approval_type: string | null;
  pause_type: PauseType | null;
  tool_name: string | null;
  tool_args: JsonObject | null;
  expires_at: number | null;
  team_id: string | null;
  agent_id: string | null;
  user_id: string | null;
  source_name: string | null;
  requirements: Requirement[] | null;
  resolution_data: { values?: JsonObject; result?: string; note?: string } | null;
  resolved_by: string | null;
  resolved_at: number | null;
  created_at: number | null;
  run_status: string | null;
  member_name?: string | null;
  member_run_id?: string | null;
  /** What the team's leader asked the member to do. */
  task?: string | null;
  tool_description?: string | null;
  step_path?: string | null;
  /** What happens if nobody decides in time; null: the run fails. */
  default_decision?: "approve" | "reject" | null;
}

export interface ApprovalPage {
  data: Approval[];
  meta: { page: number; limit: number; total_pages: number; total_count: number };
}

export function isPending(approval: Approval): boolean {
  return approval.status === "pending";
}

export function requirementOf(approval: Approval): Requirement | undefined {
  return approval.requirements?.[0];
}

/** The agent or member whose model made the call. */
export function callerOf(approval: Approval): string {
  return approval.member_name ?? requirementOf(approval)?.member_agent_name ?? approval.source_name ?? "The agent";
}

/** "Billing of Support desk", or the one name if the call is the root run's own. */
export function callerWithTeam(approval: Approval): string {
  const caller = callerOf(approval);
  const source = approval.source_name;
  return source === null || source === caller ? caller : `${caller} of ${source}`;
}

export function toolOf(approval: Approval): string {
  return approval.tool_name ?? "a tool";
}
