/** A session as a conversation: what a person wrote, what was answered, and the run between the two. */

import type { RunStatus, RunSummary, Search } from "../api/types";
import { type SessionRun, type SessionTool, unixTime } from "./session";

export interface Turn {
  runId: string;
  input: string;
  /** Text, or JSON as text for an answer with a schema; "" until there is one. */
  answer: string;
  isJson: boolean;
  /** The run has finished since its answer was read: it may be a part of the text. */
  isAnswerStale: boolean;
  status: RunStatus;
  acceptedAt: number;
  startedAt: number | null;
  endedAt: number | null;
  queuePosition: number | null;
  waiting: number;
  members: number;
  failedMembers: number;
  modelCalls: number | null;
  /** Without delegations, as on the run's page. */
  toolCalls: number | null;
  cost: number | null;
  componentName: string | null;
  /** What it does now, what it waits for, or why it failed. */
  outcome: string | null;
  decisions: ToolDecision[];
  /** The searches of the run and of its members. */
  searches: readonly Search[];
}

export interface ToolDecision {
  tool: string;
  approvalId: string | null;
  isApproved: boolean;
}

/**
 * @param runs the session's runs with full texts.
 * @param summaries the same runs with figures. A new run may stand in only one of the two lists.
 */
export function toTurns(runs: readonly SessionRun[], summaries: readonly RunSummary[]): Turn[] {
  const roots = runs.filter((run) => !run.parent_run_id);
  const members = membersOf(runs);
  const summaryOf = new Map(summaries.map((summary) => [summary.run_id, summary]));
  const turns = roots.map((run) => turnOf(run, members.get(run.run_id) ?? [], summaryOf.get(run.run_id)));
  const listed = new Set(roots.map((run) => run.run_id));
  const oldest = Math.min(...turns.map((turn) => turn.acceptedAt));
  for (const summary of summaries) {
    // Older runs that have no full text yet are on an earlier page.
    const isOnThisPage = turns.length === 0 || summary.created_at >= oldest;
    if (!listed.has(summary.run_id) && isOnThisPage) turns.push(turnOfSummary(summary));
  }
  return turns.sort((left, right) => left.acceptedAt - right.acceptedAt);
}

export function isUnfinished({ status }: { status: RunStatus }): boolean {
  return status === "PENDING" || status === "RUNNING" || status === "PAUSED";
}

/** Whether the text of the run arrives bit by bit: it is at work, or its answer is not read yet. */
export function isWriting({ status, isAnswerStale }: Turn): boolean {
  return status === "RUNNING" || isAnswerStale;
}

function turnOf(run: SessionRun, members: readonly SessionRun[], summary: RunSummary | undefined): Turn {
  const isJson = typeof run.content === "object" && run.content !== null;
  const tools = [run, ...members].flatMap((one) => one.tools ?? []);
  const base = summary === undefined ? emptyTurn(run.run_id, unixTime(run.created_at)) : turnOfSummary(summary);
  return {
    ...base,
    input: run.run_input,
    answer: run.status === "ERROR" ? "" : answerText(run.content),
    isJson,
    // The list of full texts may be older than the summary, which is small and read more often.
    isAnswerStale: isUnfinished(run) && !isUnfinished(summary ?? run),
    status: summary?.status ?? run.status,
    outcome: summary?.outcome ?? (run.status === "ERROR" ? answerText(run.content) : null),
    members: members.length,
    failedMembers: members.filter((member) => member.status === "ERROR").length,
    decisions: decisionsOf(tools),
    searches: [run, ...members].flatMap((one) => one.references ?? []),
  };
}

function turnOfSummary(summary: RunSummary): Turn {
  return {
    ...emptyTurn(summary.run_id, summary.created_at),
    input: summary.input ?? "",
    status: summary.status,
    startedAt: summary.started_at,
    endedAt: summary.ended_at,
    queuePosition: summary.queue_position,
    waiting: summary.waiting,
    modelCalls: summary.totals?.model_calls ?? null,
    toolCalls: summary.totals === null ? null : summary.totals.tool_calls - summary.totals.delegations,
    cost: summary.totals?.cost ?? null,
    componentName: summary.component_name,
    outcome: summary.outcome,
  };
}

function emptyTurn(runId: string, acceptedAt: number): Turn {
  return {
    runId,
    input: "",
    answer: "",
    isJson: false,
    isAnswerStale: false,
    status: "PENDING",
    acceptedAt,
    startedAt: null,
    endedAt: null,
    queuePosition: null,
    waiting: 0,
    members: 0,
    failedMembers: 0,
    modelCalls: null,
    toolCalls: null,
    cost: null,
    componentName: null,
    outcome: null,
    decisions: [],
    searches: [],
  };
}

/** The members' runs of each root run, at any depth. */
function membersOf(runs: readonly SessionRun[]): Map<string, SessionRun[]> {
  const byId = new Map(runs.map((run) => [run.run_id, run]));
  const members = new Map<string, SessionRun[]>();
  for (const run of runs) {
    const root = rootOf(run, byId);
    if (root === run.run_id) continue;
    members.set(root, [...(members.get(root) ?? []), run]);
  }
  return members;
}

function rootOf(run: SessionRun, byId: ReadonlyMap<string, SessionRun>): string {
  const seen = new Set<string>();
  let current = run;
  while (current.parent_run_id && !seen.has(current.run_id)) {
    seen.add(current.run_id);
    const parent = byId.get(current.parent_run_id);
    if (parent === undefined) return current.parent_run_id;
    current = parent;
  }
  return current.run_id;
}

function decisionsOf(tools: readonly SessionTool[]): ToolDecision[] {
  return tools.flatMap(({ tool_name: tool, approval_id: approvalId = null, confirmed, answered }) => {
    const isApproved = confirmed === true || answered === true;
    return isApproved || confirmed === false ? { tool, approvalId, isApproved } : [];
  });
}

function answerText(content: unknown): string {
  if (content === null || content === undefined) return "";
  return typeof content === "string" ? content : JSON.stringify(content, null, 2);
}
