/** The filters of the Runs page: in the URL, and as the server's query. */
import type { RunFilters } from "musterd-client";
import type { ComponentKind, RunCounts, RunStatus, RunSummary } from "../api/types";
import type { Tone } from "../shared/status";
import type { RunTarget } from "../start/startRequest";

export type StateName = "all" | "needs_you" | "running" | "queued" | "paused" | "failed" | "cancelled" | "completed";

export interface StateFilter {
  name: StateName;
  label: string;
  /** The key of its number in the counts. */
  count: keyof RunCounts;
  /** None: runs in any state. */
  statuses: RunStatus[];
  tone?: Tone;
}

/** "Needs you" is no status: a run that goes on with other members may need you too. */
export const STATE_FILTERS: StateFilter[] = [
  { name: "all", label: "All", count: "all", statuses: [] },
  { name: "needs_you", label: "Needs you", count: "needs_you", statuses: [], tone: "wait" },
  { name: "running", label: "Running", count: "running", statuses: ["RUNNING"] },
  { name: "queued", label: "Queued", count: "pending", statuses: ["PENDING"] },
  { name: "failed", label: "Failed", count: "error", statuses: ["ERROR"] },
  { name: "cancelled", label: "Cancelled", count: "cancelled", statuses: ["CANCELLED"] },
  { name: "completed", label: "Completed", count: "completed", statuses: ["COMPLETED"] },
];

export const ACTIVE_STATUSES: RunStatus[] = ["PENDING", "RUNNING", "PAUSED"];
export const FINAL_STATUSES: RunStatus[] = ["COMPLETED", "ERROR", "CANCELLED"];

export type SinceName = "hour" | "today" | "week";
export const SINCE_LABEL: Record<SinceName, string> = { hour: "Last hour", today: "Today", week: "Last 7 days" };

export interface Filters {
  state: StateName;
  /** `team:ID` or `agent:ID`; a bare id means a team. */
  component: string | null;
  user: string | null;
  session: string | null;
  text: string | null;
  since: SinceName | null;
}

export function filtersFrom(params: URLSearchParams): Filters {
  const state = params.get("state");
  const since = params.get("since");
  return {
    state: STATE_FILTERS.find((filter) => filter.name === state)?.name ?? "all",
    component: params.get("team"),
    user: params.get("user"),
    session: params.get("session"),
    text: params.get("q"),
    since: since !== null && since in SINCE_LABEL ? (since as SinceName) : null,
  };
}

/** How many filters hide runs, the state's chip aside. */
export function countFilters(filters: Filters): number {
  return [filters.component, filters.user, filters.session, filters.text, filters.since].filter(Boolean).length;
}

export function stateFilter(name: StateName): StateFilter {
  const filter = STATE_FILTERS.find((candidate) => candidate.name === name);
  if (!filter) throw new Error(`no filter ${name}`);
  return filter;
}

/** The start of the time that is shown, in whole seconds. */
export function sinceSeconds(since: SinceName | null, now: Date): number | null {
  if (since === null) return null;
  if (since === "today") return new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime() / 1000;
  return Math.floor(now.getTime() / 1000) - (since === "hour" ? 3600 : 7 * 86_400);
}

type RunCountFilters = Omit<RunFilters, "status" | "needs_you" | "limit" | "cursor">;

/** The query of the counts: all filters but the state. */
export function countsQuery(filters: Filters, now: Date): RunCountFilters {
  const target = targetOf(filters.component);
  const idOf = (kind: ComponentKind) => (target?.kind === kind ? target.id || null : null);
  return {
    team_id: idOf("team"),
    agent_id: idOf("agent"),
    workflow_id: idOf("workflow"),
    user_id: filters.user || null,
    session_id: filters.session || null,
    q: filters.text || null,
    created_after: sinceSeconds(filters.since, now),
  };
}

/** A team, agent or workflow as the URL names it. */
export function targetOf(text: string | null): RunTarget | null {
  if (!text) return null;
  const match = /^(team|agent|workflow):(.*)$/s.exec(text);
  return match ? { kind: match[1] as ComponentKind, id: match[2] ?? "" } : { kind: "team", id: text };
}

/** Whether a run that the feed tells of belongs on the page. The text is the server's to search: see `Filters.text`. */
export function matches(run: RunSummary, filters: Filters, now: Date): boolean {
  const target = targetOf(filters.component);
  const { statuses } = stateFilter(filters.state);
  const after = sinceSeconds(filters.since, now);
  return (
    (statuses.length === 0 || statuses.includes(run.status)) &&
    (filters.state !== "needs_you" || run.waiting > 0) &&
    (target === null || (run.component_kind === target.kind && run.component_id === target.id)) &&
    (filters.user === null || run.user_id === filters.user) &&
    (filters.session === null || run.session_id === filters.session) &&
    (after === null || run.created_at >= after) &&
    (filters.text === null || textMatches(run, filters.text))
  );
}

function textMatches(run: RunSummary, text: string): boolean {
  const lower = text.toLowerCase();
  return [run.input, run.outcome, run.run_id].some((part) => part?.toLowerCase().includes(lower));
}
