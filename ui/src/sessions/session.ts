/** Sessions and their runs, as `GET /sessions` and below tell them. */

import type { Schemas } from "musterd-client";
import type { RunStatus, Search } from "../api/types";
import type { JsonObject } from "../approvals/approval";
import type { RunTarget } from "../start/startRequest";

export type SessionItem = Schemas["SessionSchema"];

/** A session of a team, an agent or a workflow. */
export type SessionDetail = Pick<
  Schemas["TeamSessionDetailSchema"],
  | "session_id"
  | "session_name"
  | "user_id"
  | "team_id"
  | "created_at"
  | "updated_at"
  | "total_tokens"
  | "forked_from_session_id"
> &
  Pick<Schemas["AgentSessionDetailSchema"], "agent_id"> &
  Pick<Schemas["WorkflowSessionDetailSchema"], "workflow_id"> & {
    session_state?: JsonObject;
    session_summary?: { summary?: string | null } | null;
    metrics?: SessionMetrics;
    /** Of a workflow's session. */
    session_data?: { session_metrics?: SessionMetrics };
  };

export interface SessionMetrics {
  total_tokens?: number;
  details?: Record<string, { id: string; total_tokens?: number }[]>;
}

/** The team, agent or workflow that the session belongs to; null until its first run decides. */
export function ownerOf(session: SessionDetail): RunTarget | null {
  if (session.team_id) return { kind: "team", id: session.team_id };
  if (session.agent_id) return { kind: "agent", id: session.agent_id };
  return session.workflow_id ? { kind: "workflow", id: session.workflow_id } : null;
}

export function metricsOf(session: SessionDetail): SessionMetrics {
  return session.metrics ?? session.session_data?.session_metrics ?? {};
}

/** A run of `GET /sessions/{id}/runs`. Members' runs stand before the run that delegated to them. */
export type SessionRun = Pick<
  Schemas["TeamRunSchema"],
  "run_id" | "parent_run_id" | "status" | "run_input" | "created_at"
> & {
  content?: unknown;
  tools?: SessionTool[];
  references?: Search[];
};

export type SessionTool = Pick<Schemas["ToolExecution"], "tool_name"> &
  Partial<Pick<Schemas["ToolExecution"], "confirmed" | "answered" | "approval_id">>;

export type SessionPage = Schemas["PaginatedResponse_SessionSchema_"];

/** Unix seconds of a time in ISO 8601. */
export function unixTime(iso: string): number {
  const milliseconds = Date.parse(iso);
  return Number.isNaN(milliseconds) ? 0 : milliseconds / 1000;
}

/** What the list of sessions shows. */
export interface SessionFilter {
  /** A part of the name or of the first message. */
  text: string;
  /** A status of any of its runs; of a finished one, the last run's. */
  status: RunStatus | null;
}

export const ALL_SESSIONS: SessionFilter = { text: "", status: null };

/** The statuses in the order of the filter: what needs a look comes first. */
export const FILTER_STATUSES: readonly RunStatus[] = [
  "PAUSED",
  "RUNNING",
  "PENDING",
  "ERROR",
  "CANCELLED",
  "COMPLETED",
];

export function sessionFilterFrom(params: URLSearchParams): SessionFilter {
  const status = params.get("status")?.toUpperCase();
  return { text: params.get("q") ?? "", status: FILTER_STATUSES.find((one) => one === status) ?? null };
}

/** The page of a session, or of none, with the filter of the list kept. */
export function sessionPath(id: string | null, filter: SessionFilter): string {
  const params = new URLSearchParams();
  if (filter.text !== "") params.set("q", filter.text);
  if (filter.status !== null) params.set("status", filter.status.toLowerCase());
  const query = params.toString();
  return `/sessions${id === null ? "" : `/${encodeURIComponent(id)}`}${query === "" ? "" : `?${query}`}`;
}
