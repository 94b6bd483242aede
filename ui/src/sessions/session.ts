/** Sessions and their runs, as `GET /sessions` and below tell them. */

import type { RunStatus } from "../api/types";
import type { JsonObject } from "../approvals/approval";

export interface SessionItem {
  session_id: string;
  session_name: string;
  session_state: JsonObject | null;
  created_at: string;
  updated_at: string;
  /** Of the last run; null before the first one. */
  status: RunStatus | null;
  run_count: number;
  total_cost: number | null;
  last_answer: string | null;
  component_name: string | null;
  component_kind: string;
  component_id: string;
}

export interface SessionDetail {
  session_id: string;
  session_name: string;
  user_id?: string | null;
  team_id?: string | null;
  agent_id?: string | null;
  session_state?: JsonObject;
  session_summary?: { summary?: string | null } | null;
  metrics?: SessionMetrics;
  created_at: string;
  updated_at: string;
  total_tokens?: number | null;
  forked_from_session_id?: string;
}

export interface SessionMetrics {
  total_tokens?: number;
  details?: Record<string, ModelShare[]>;
}

interface ModelShare {
  id: string;
  provider?: string;
  total_tokens?: number;
}

/** A run of `GET /sessions/{id}/runs`. Members' runs stand before the run that delegated to them. */
export interface SessionRun {
  run_id: string;
  parent_run_id?: string;
  status: RunStatus;
  run_input: string;
  content?: unknown;
  tools?: SessionTool[];
  events?: { event?: string; content?: unknown }[];
  created_at: string;
  team_id?: string;
  agent_id?: string;
}

export interface SessionTool {
  tool_name: string;
  approval_id?: string | null;
  confirmed?: boolean | null;
  answered?: boolean | null;
  tool_call_error?: boolean | null;
}

export interface SessionPage {
  data: SessionItem[];
  meta: { page: number; limit: number; total_pages: number; total_count: number };
}

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
