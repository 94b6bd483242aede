/**
 * The shapes that several pages read, from the server's OpenAPI document (`musterd-client`). Times are unix seconds with
 * fractions; unknown values are null.
 */
import type { Schemas } from "musterd-client";

export type RunStatus = Schemas["RunStatus"];
export type ComponentKind = Schemas["RunSummary"]["component_kind"];

/** The figures of a run with all its members. */
export type Totals = Schemas["RunTotals"];

/** What a run does now. */
export type Activity = Schemas["RunActivity"];

export type RunSummary = Schemas["RunSummary"];

export type RunCounts = Schemas["RunCountsResponse"];

export interface Page<T> {
  data: T[];
  meta: { limit: number; next_cursor: string | null };
}

export type MemberRun = Schemas["MemberRun"];

export type RunAttempt = Schemas["AttemptEntry"];

/** `GET /runs/{run_id}?view=summary`. */
export type RunDetail = Schemas["RunSummaryDetails"];

/** What one search of a knowledge base found. */
export type Search = Schemas["References"];

export type Approval = Omit<Schemas["ApprovalResponse"], "requirements"> & {
  requirements: Record<string, unknown>[] | null;
};

export type Me = Schemas["MeResponse"];

/** Messages of `GET /runs/changes`. */
export interface FeedHello {
  server_id: string;
  version: string;
  now: number;
  /** Whether all changes since the last message are sent. */
  is_complete: boolean;
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
