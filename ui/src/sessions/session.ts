/** Sessions and their runs, as `GET /sessions` and below tell them. */

import type { components } from "../api/schema";
import type { JsonObject } from "../approvals/approval";

type Schemas = components["schemas"];

export type SessionItem = Schemas["SessionSchema"];

/** A session in either of its two shapes. */
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
  Pick<Schemas["AgentSessionDetailSchema"], "agent_id"> & {
    session_state?: JsonObject;
    session_summary?: { summary?: string | null } | null;
    metrics?: SessionMetrics;
  };

export interface SessionMetrics {
  total_tokens?: number;
  details?: Record<string, { id: string; total_tokens?: number }[]>;
}

/** A run of `GET /sessions/{id}/runs`. Members' runs stand before the run that delegated to them. */
export type SessionRun = Pick<
  Schemas["TeamRunSchema"],
  "run_id" | "parent_run_id" | "status" | "run_input" | "created_at"
> & {
  content?: unknown;
  tools?: SessionTool[];
};

export type SessionTool = Pick<Schemas["ToolExecution"], "tool_name"> &
  Partial<Pick<Schemas["ToolExecution"], "confirmed" | "answered">>;

export type SessionPage = Schemas["PaginatedResponse_SessionSchema_"];

/** Unix seconds of a time in ISO 8601. */
export function unixTime(iso: string): number {
  const milliseconds = Date.parse(iso);
  return Number.isNaN(milliseconds) ? 0 : milliseconds / 1000;
}

/** The page of a session, with the search of the list kept. */
export function sessionPath(id: string, name: string): string {
  const query = name === "" ? "" : `?q=${encodeURIComponent(name)}`;
  return `/sessions/${encodeURIComponent(id)}${query}`;
}
