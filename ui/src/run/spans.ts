/**
 * Turns a run, its steps, its approvals and its events into lanes with bars: the one place that knows how they fit.
 *
 * Steps are what is stored, and win. Events fill in what is not stored yet: the model call that is out, the text that
 * is written, a member that began a moment ago.
 */
import type { ModelCall, Retry, RunFeed, Thread, ToolCall } from "./live/feed";
import { memberWaits } from "./memberWaits";
import type { WaitingCall } from "./model/approvals";
import type { MemberRun, RunDetail, RunStatus, RunStep, StepAttempt } from "./model/types";
import { componentName, componentOf, isFinal } from "./model/types";

/**
 * A container is a step of a workflow with steps below it; a choice is its condition, selector or end condition.
 * Loading is the part of a model call in which the model was loaded into the server's memory. In the time of `members` a
 * leader waits for them.
 */
export type SpanKind = "model" | "loading" | "tool" | "wait" | "members" | "hook" | "function" | "choice" | "container";
export type SpanOutcome = "ok" | "failed" | "cut_off" | "running";

/** What a model call used. The cost is null if its model has no list price, or if it is not stored yet. */
export interface Usage {
  input: number;
  output: number;
  cost: number | null;
}

/** One bar. */
export interface Span {
  id: string;
  /** The path of its step, if it is stored; what the address of the page names. */
  path: string | null;
  runId: string;
  kind: SpanKind;
  outcome: SpanOutcome;
  label: string;
  start: number;
  /** Null while it goes on. */
  end: number | null;
  /** 0 for model calls, waits and containers, from 1 for tools beside each other. */
  row: number;
  /** Which attempt of its step this is, from 1. */
  attempt: number;
  /** When the answer of a model call began to arrive; null if it is not known. */
  firstAt: number | null;
  /** The tries that failed, and after which another one followed. */
  retries: readonly Retry[];
  /** How often the model was called; 0 if it was not needed, and for other steps. */
  tries: number;
  /** What a model call used; null until it is known. */
  usage: Usage | null;
  error: string | null;
  approvalId: string | null;
  /** The decision that gave a call its outcome in place of the tool. */
  settled: RunStep["settled"];
}

export type LaneState = "running" | "waiting" | "completed" | "failed" | "cancelled" | "queued";

/** One member, with everything it did in this run. */
export interface Lane {
  key: string;
  runIds: string[];
  name: string;
  /** The last step of a workflow that it ran, if its name is another. */
  step: string | null;
  depth: number;
  /** Whether no sibling follows: how its line in the tree ends. */
  isLast: boolean;
  state: LaneState;
  note: string;
  cost: number | null;
  /** Of its model calls, read and written. */
  tokens: number;
  rows: number;
  spans: Span[];
  /** From when to when its runs lasted. */
  base: { start: number; end: number | null }[];
}

/** A time in which no process drove the run. */
export interface Downtime {
  start: number;
  end: number | null;
  /** How the attempt before ended. */
  outcome: string;
}

export interface Spans {
  lanes: Lane[];
  start: number;
  /** Null while the run goes on. */
  end: number | null;
  downtime: Downtime[];
}

export interface SpanSources {
  run: RunDetail;
  steps: readonly RunStep[];
  approvals?: readonly WaitingCall[];
  feed?: RunFeed;
}

interface TreeRun {
  runId: string;
  parentRunId: string | null;
  componentId: string;
  name: string;
  status: RunStatus;
  start: number | null;
  end: number | null;
  outcome: string | null;
}

interface Draft extends Lane {
  runs: TreeRun[];
  children: Draft[];
}

/** The tools with which a leader delegates. */
export const DELEGATIONS: ReadonlySet<string> = new Set([
  "delegate_task_to_member",
  "delegate_task_to_members",
  "execute_task",
  "execute_tasks_parallel",
]);
const KIND_OF_STEP: Partial<Record<RunStep["kind"], SpanKind>> = {
  model: "model",
  load: "loading",
  hook: "hook",
  function: "function",
  choice: "choice",
};
const LOADING = "loading the model";
const labelOf = ({ kind, name }: RunStep): string => {
  if (kind === "load") return LOADING;
  return kind === "retrieve" ? `search ${name}` : (name ?? kind);
};
const CONTAINERS = new Set(["Steps", "Parallel", "Loop", "Condition", "Router"]);
const LOST = new Set(["lost", "handed_over", "released"]);
/** Bars that overlap further are drawn over each other. */
const MAX_ROWS = 12;
/** Some times have whole milliseconds, some do not. */
const ALLOWED_OVERLAP = 0.002;

export function toSpans({ run, steps, approvals = [], feed }: SpanSources): Spans {
  const start = run.started_at ?? run.queued_at ?? run.created_at;
  const end = isFinal(run.status) ? (run.ended_at ?? latest(steps, start)) : null;
  const runs = runsOf(run, feed);
  const lanes = lanesOf(runs, run.run_id);
  const laneOfRun = new Map<string, Draft>();
  for (const lane of lanes) for (const id of lane.runIds) laneOfRun.set(id, lane);
  const root = lanes[0];
  const place = (span: Span): void => {
    (laneOfRun.get(span.runId) ?? root)?.spans.push(span);
  };

  const context = new Context(run, runs, start, end, approvals);
  for (const step of steps) for (const span of context.ofStep(step)) place(span);
  for (const span of context.ofApprovals(steps)) place(span);
  for (const { path, names, ...own } of memberWaits(steps, run.members, end)) {
    const outcome = own.end === null ? "running" : "ok";
    place(
      withoutStep({ id: `members ${path}`, kind: "members", outcome, label: `waiting for ${listed(names)}`, ...own }),
    );
  }
  const downtime = downtimeOf(run, end);
  if (feed !== undefined) {
    addLive(steps, feed, downtime, laneOfRun, place);
    addContainers(feed, end, place);
  }
  const stepOfRun = new Map(
    steps.filter(isWorkflowStep).flatMap((step) => step.child_run_ids.map((id) => [id, step.name])),
  );

  for (const lane of lanes) finishLane(lane, stepOfRun, context, feed);
  return { lanes, start, end, downtime };
}

/** Whether a run took the step over from the run that it was forked from: it was not made again. */
export function isTakenOver(step: RunStep): boolean {
  return step.attempt === 0;
}

/** The times in which no process drove the run, oldest first. */
export function downtimeOf(run: RunDetail, end: number | null): Downtime[] {
  const attempts = [...run.attempt_list].sort((a, b) => a.attempt - b.attempt);
  const bands: Downtime[] = [];
  for (const [i, attempt] of attempts.entries()) {
    if (!LOST.has(attempt.outcome) || attempt.ended_at === null) continue;
    const next = attempts[i + 1];
    bands.push({
      start: attempt.ended_at,
      end: next?.started_at ?? end,
      outcome: attempt.outcome,
    });
  }
  return bands;
}

/** How often a process took the run over from another one. An attempt that follows a decision is none. */
export function takeovers(run: RunDetail): number {
  const last = Math.max(0, ...run.attempt_list.map((one) => one.attempt));
  return run.attempt_list.filter((one) => LOST.has(one.outcome) && one.attempt < last).length;
}

/**
 * The cost of model calls; null if one of them has no list price, undefined if none has ended.
 *
 * Events do not have the cost of a call: it is known once its step is read.
 */
export function costOf(spans: readonly Span[]): number | null | undefined {
  const costs = spans.flatMap(({ usage, path }) => (usage === null || path === null ? [] : usage.cost));
  if (costs.length === 0) return undefined;
  return costs.includes(null) ? null : costs.reduce<number>((sum, cost) => sum + (cost ?? 0), 0);
}

/** The seconds of all downtime. */
export function downtimeSeconds(bands: readonly Downtime[], now: number): number {
  return bands.reduce((sum, band) => sum + Math.max(0, (band.end ?? now) - band.start), 0);
}

// --- runs and lanes -----------------------------------------------------------------------------------------

function runsOf(run: RunDetail, feed: RunFeed | undefined): TreeRun[] {
  const runs = new Map<string, TreeRun>();
  const end = isFinal(run.status) ? (run.ended_at ?? null) : null;
  runs.set(run.run_id, {
    runId: run.run_id,
    parentRunId: null,
    componentId: componentOf(run).id,
    name: componentName(run),
    status: run.status,
    start: run.started_at ?? null,
    end,
    outcome: run.error?.message ?? (typeof run.content === "string" ? run.content : null),
  });
  for (const member of run.members) runs.set(member.run_id, ofMember(member));
  for (const thread of feed?.threads.values() ?? []) {
    const known = runs.get(thread.runId);
    if (known === undefined) runs.set(thread.runId, ofThread(thread));
    else if (known.end === null && thread.endedAt !== null) closeFromThread(known, thread);
  }
  return [...runs.values()];
}

function ofMember(member: MemberRun): TreeRun {
  return {
    runId: member.run_id,
    parentRunId: member.parent_run_id,
    componentId: member.component_id,
    name: member.name ?? member.component_id,
    status: member.status,
    start: member.started_at,
    end: isFinal(member.status) ? member.ended_at : null,
    outcome: member.outcome,
  };
}

function ofThread(thread: Thread): TreeRun {
  const run: TreeRun = {
    runId: thread.runId,
    parentRunId: thread.parentRunId,
    componentId: thread.componentId,
    name: thread.name,
    status: "RUNNING",
    start: thread.startedAt,
    end: null,
    outcome: null,
  };
  if (thread.endedAt !== null) closeFromThread(run, thread);
  return run;
}

/** A member's end that its events tell before the run was read again. */
function closeFromThread(run: TreeRun, thread: Thread): void {
  const last = thread.entries.at(-1);
  const note = last?.kind === "note" ? last.note : "completed";
  if (note === "paused") {
    run.status = "PAUSED";
    return;
  }
  run.end = thread.endedAt;
  run.status = note === "failed" ? "ERROR" : note === "cancelled" ? "CANCELLED" : "COMPLETED";
  run.outcome ??= thread.answer ?? (last?.kind === "note" ? last.text : null);
}

/** One lane for each member below its leader's lane, in the order in which they first began. */
function lanesOf(runs: readonly TreeRun[], rootId: string): Draft[] {
  const laneOfRun = new Map<string, Draft>();
  const byKey = new Map<string, Draft>();
  const byId = new Map(runs.map((run) => [run.runId, run]));
  const laneOf = (run: TreeRun): Draft => {
    const known = laneOfRun.get(run.runId);
    if (known !== undefined) return known;
    const parentRun = run.parentRunId === null ? undefined : byId.get(run.parentRunId);
    const parent = run.runId === rootId ? null : laneOf(parentRun ?? (byId.get(rootId) as TreeRun));
    const key = parent === null ? "" : `${parent.key}/${run.componentId}`;
    let lane = byKey.get(key);
    if (lane === undefined) {
      lane = newLane(key, run.name, parent === null ? 0 : parent.depth + 1);
      byKey.set(key, lane);
      parent?.children.push(lane);
    }
    lane.runIds.push(run.runId);
    lane.runs.push(run);
    laneOfRun.set(run.runId, lane);
    return lane;
  };
  for (const run of [...runs].sort((a, b) => (a.start ?? Infinity) - (b.start ?? Infinity))) laneOf(run);
  const root = byKey.get("");
  return root === undefined ? [] : flatten(root);
}

function newLane(key: string, name: string, depth: number): Draft {
  return {
    key,
    name,
    step: null,
    depth,
    isLast: true,
    runIds: [],
    runs: [],
    children: [],
    state: "queued",
    note: "",
    cost: null,
    tokens: 0,
    rows: 1,
    spans: [],
    base: [],
  };
}

function flatten(lane: Draft): Draft[] {
  lane.children.forEach((child, i) => {
    child.isLast = i === lane.children.length - 1;
  });
  return [lane, ...lane.children.flatMap(flatten)];
}

function finishLane(
  lane: Draft,
  stepOfRun: ReadonlyMap<string, string | null>,
  context: Context,
  feed: RunFeed | undefined,
): void {
  lane.spans.sort((a, b) => a.start - b.start);
  lane.rows = assignRows(lane.spans);
  lane.base = lane.runs.flatMap((run) =>
    run.start === null || run.start < context.start - 1 ? [] : [{ start: run.start, end: run.end ?? context.end }],
  );
  const known = lane.spans.flatMap(({ usage }) => usage ?? []);
  lane.cost = costOf(lane.spans) ?? null;
  lane.tokens = known.reduce((sum, { input, output }) => sum + input + output, 0);
  const step = lane.runIds.map((id) => stepOfRun.get(id)).findLast((name) => name);
  lane.step = step === undefined || step === lane.name ? null : step;
  const waiting = lane.spans.find((span) => span.kind === "wait" && span.end === null);
  const last = lane.runs.findLast((run) => !isFinal(run.status)) ?? lane.runs.at(-1);
  lane.state = waiting === undefined ? stateOf(last?.status) : "waiting";
  lane.note = waiting === undefined ? noteOf(lane, last, feed) : `needs you: ${waiting.label}`;
  if (last?.end != null && last.end < context.start) lane.note = "taken over";
}

/** Whether a step of a workflow began a run; a team's delegations are calls of its model. */
function isWorkflowStep(step: RunStep): boolean {
  return step.kind === "delegate" && step.tool_call_id === null;
}

function stateOf(status: RunStatus | undefined): LaneState {
  switch (status) {
    case "RUNNING":
      return "running";
    case "PAUSED":
      return "waiting";
    case "COMPLETED":
      return "completed";
    case "ERROR":
      return "failed";
    case "CANCELLED":
      return "cancelled";
    default:
      return "queued";
  }
}

function noteOf(lane: Draft, run: TreeRun | undefined, feed: RunFeed | undefined): string {
  const outcome = firstLine(run?.outcome ?? "");
  switch (run?.status) {
    case "COMPLETED":
      return outcome === "" ? "done" : `done: ${outcome}`;
    case "ERROR":
      return outcome === "" ? "failed" : `failed: ${outcome}`;
    case "CANCELLED":
      return "cancelled";
    case "PENDING":
      return "waits for its turn";
    case "PAUSED":
      return "needs you";
    case "RUNNING":
      return workOf(lane, feed);
    default:
      return "";
  }
}

/** What a member does at this moment. */
function workOf(lane: Draft, feed: RunFeed | undefined): string {
  const busy = lane.children.filter((child) => child.runs.some((run) => !isFinal(run.status)));
  const threads = lane.runIds.flatMap((id) => feed?.threads.get(id) ?? []);
  const writing = threads.find((thread) => thread.openModel !== null && thread.openModel.text !== "");
  if (writing !== undefined) return "writing";
  const tools = lane.spans.filter((span) => span.end === null && isCall(span)).map((span) => span.label);
  if (tools.length > 0) return `runs ${listed(tools)}`;
  if (lane.spans.some((span) => span.end === null && span.kind === "loading")) return LOADING;
  if (lane.spans.some((span) => span.end === null && span.kind === "model")) return "thinking";
  if (busy.length > 0) return `waits for ${listed(busy.map((child) => child.name))}`;
  return "working";
}

function isCall(span: Span): boolean {
  return span.kind === "tool" || span.kind === "function";
}

/** `a, b and c`; of a long list the first two. */
export function listed(names: readonly string[]): string {
  if (names.length > 3) return `${names.slice(0, 2).join(", ")} and ${names.length - 2} more`;
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function firstLine(text: string): string {
  const line = text.trim().split("\n", 1)[0] ?? "";
  return line
    .replace(/^[#>*\s-]+/, "")
    .replaceAll("**", "")
    .slice(0, 160);
}

function usageOf({ usage, cost }: RunStep): Usage | null {
  if (usage === null && cost === null) return null;
  return { input: usage?.input_tokens ?? 0, output: usage?.output_tokens ?? 0, cost };
}

/** Give each span a row, so that no two of a row overlap. Model calls, waits and containers come first. Returns the rows. */
export function assignRows(spans: readonly Span[]): number {
  const upper: number[] = [];
  const lower: number[] = [];
  const isLower = (span: Span): boolean => isCall(span) || span.kind === "hook" || span.kind === "choice";
  for (const span of spans) {
    const ends = isLower(span) ? lower : upper;
    let row = ends.findIndex((end) => end <= span.start + ALLOWED_OVERLAP);
    if (row < 0) row = Math.min(ends.length, MAX_ROWS - 1);
    ends[row] = Math.max(ends[row] ?? 0, span.end ?? Infinity);
    span.row = row;
  }
  const upperRows = Math.max(1, upper.length);
  for (const span of spans) if (isLower(span)) span.row += upperRows;
  return upperRows + lower.length;
}

// --- stored steps -------------------------------------------------------------------------------------------

class Context {
  private readonly statusOfRun: Map<string, TreeRun>;
  private readonly waitOfStep = new Map<string, WaitingCall[]>();

  constructor(
    private readonly run: RunDetail,
    runs: readonly TreeRun[],
    readonly start: number,
    readonly end: number | null,
    private readonly approvals: readonly WaitingCall[],
  ) {
    this.statusOfRun = new Map(runs.map((one) => [one.runId, one]));
    for (const approval of approvals) {
      const path = approval.step_path;
      if (path) this.waitOfStep.set(path, [...(this.waitOfStep.get(path) ?? []), approval]);
    }
  }

  ofStep(step: RunStep): Span[] {
    if (step.kind === "prepare" || isTakenOver(step)) return [];
    if (step.kind === "delegate" && (step.state !== "failed" || step.child_run_ids.length > 0)) {
      return step.state === "waiting" && !this.hasApproval(step) ? [this.wait(step)] : [];
    }
    // A question that was answered is the wait of its approval.
    if (step.kind === "ask" && step.state !== "waiting") return this.waitOfStep.has(step.path) ? [] : [this.wait(step)];
    const earlier = step.attempts.slice(0, -1).map((attempt, i) => this.earlier(step, attempt, i));
    if (step.state === "waiting") return this.hasApproval(step) ? earlier : [...earlier, this.wait(step)];
    return [...earlier, this.last(step)];
  }

  /** The times for which calls waited for a person. */
  ofApprovals(steps: readonly RunStep[]): Span[] {
    if (this.approvals.length === 0) return [];
    const byPath = new Map(steps.map((step) => [step.path, step]));
    return this.approvals.flatMap((approval) => {
      if (approval.created_at === null) return [];
      const step = approval.step_path ? byPath.get(approval.step_path) : undefined;
      const isPending = approval.status === "pending" && this.end === null;
      const decided = approval.resolved_at ?? this.end ?? approval.created_at;
      // An approval has whole seconds. The call that follows the decision says exactly when the wait was over.
      const began = step !== undefined && step.state !== "waiting" && step.started_at > approval.created_at;
      const closed = began && step.started_at < decided + 2 ? step.started_at : decided;
      return [
        this.span(step, {
          id: `wait ${approval.id}`,
          path: step?.path ?? null,
          runId: approval.member_run_id ?? step?.run_id ?? this.run.run_id,
          kind: "wait",
          outcome: isPending ? "running" : "ok",
          label: approval.tool_name ?? step?.name ?? "a call",
          start: approval.created_at,
          end: isPending ? null : Math.max(closed, approval.created_at),
          approvalId: approval.id,
          settled: step?.approval_id === approval.id ? step.settled : null,
        }),
      ];
    });
  }

  private hasApproval(step: RunStep): boolean {
    return (this.waitOfStep.get(step.path) ?? []).some((approval) => approval.status === "pending");
  }

  private wait(step: RunStep): Span {
    const isPending = this.end === null;
    return this.span(step, {
      id: `wait ${step.path}`,
      kind: "wait",
      outcome: isPending ? "running" : "ok",
      end: isPending ? null : (step.ended_at ?? this.end),
    });
  }

  private earlier(step: RunStep, attempt: StepAttempt, position: number): Span {
    const next = step.attempts[position + 1]?.started_at ?? step.started_at;
    const end = attempt.ended_at ?? this.lossAfter(attempt.started_at) ?? next;
    return this.span(step, {
      id: `${step.path} ${position}`,
      outcome: attempt.outcome === "failed" ? "failed" : attempt.outcome === "completed" ? "ok" : "cut_off",
      start: attempt.started_at,
      end: Math.max(attempt.started_at, Math.min(end, next)),
      attempt: position + 1,
    });
  }

  private last(step: RunStep): Span {
    const attempt = step.attempts.at(-1);
    const start = attempt?.started_at ?? step.started_at;
    const span = this.span(step, { start, error: step.error?.message ?? null, attempt: step.attempts.length || 1 });
    if (attempt?.outcome === "unknown" || step.state === "unknown") {
      // Its process was lost. What came of it may have been decided much later, which is no part of the call.
      span.outcome = "cut_off";
      span.end = Math.max(
        start,
        attempt?.ended_at ?? this.lossAfter(start) ?? step.ended_at ?? this.ownerEnd(step) ?? start,
      );
      span.settled = step.settled;
    } else if (step.state === "completed" || step.state === "failed") {
      span.outcome = step.state === "failed" ? "failed" : "ok";
      span.end = Math.max(start, step.ended_at ?? this.ownerEnd(step) ?? start);
      span.settled = step.settled;
    } else if (step.state === "cancelled") {
      span.outcome = "cut_off";
      span.end = Math.max(start, step.ended_at ?? this.lossAfter(start) ?? this.ownerEnd(step) ?? start);
    } else {
      const ended = this.ownerEnd(step);
      // Its process was lost, and no other has come to it yet.
      const lost = attempt?.outcome === "cut_off" ? this.lossAfter(start) : null;
      span.end = lost === null ? ended : Math.max(start, lost);
      span.outcome = span.end === null ? "running" : "cut_off";
    }
    span.usage = usageOf(step);
    span.firstAt = step.first_token_seconds === null ? null : start + step.first_token_seconds;
    span.retries = step.retries.map((retry, i) => ({
      number: i + 1,
      at: retry.failed_at,
      waitSeconds: retry.wait_seconds,
      reason: retry.reason,
    }));
    return span;
  }

  /** When the process ended that was at work at this time; null if it goes on, or ended with the run. */
  private lossAfter(time: number): number | null {
    const ends = this.run.attempt_list.flatMap((one) =>
      one.ended_at !== null && one.ended_at >= time ? one.ended_at : [],
    );
    return ends.length === 0 ? null : Math.min(...ends);
  }

  /** When the run that made the step ended; null if it goes on. */
  private ownerEnd(step: RunStep): number | null {
    return this.statusOfRun.get(step.run_id)?.end ?? this.end;
  }

  private span(step: RunStep | undefined, own: Partial<Span>): Span {
    return {
      id: step?.path ?? "",
      path: step?.path ?? null,
      runId: step?.run_id ?? this.run.run_id,
      kind: KIND_OF_STEP[step?.kind ?? "tool"] ?? "tool",
      outcome: "ok",
      label: step === undefined ? "" : labelOf(step),
      start: step?.started_at ?? 0,
      end: step?.ended_at ?? null,
      row: 0,
      attempt: 1,
      firstAt: null,
      retries: [],
      tries: step?.kind === "model" ? step.tries : 0,
      usage: null,
      error: null,
      approvalId: step?.approval_id ?? null,
      settled: null,
      ...own,
    };
  }
}

function latest(steps: readonly RunStep[], start: number): number {
  return steps.reduce((end, step) => Math.max(end, step.ended_at ?? step.started_at), start);
}

// --- events -------------------------------------------------------------------------------------------------

/** Add what the events tell and no step has: calls that are out, or that ended since the steps were read. */
function addLive(
  steps: readonly RunStep[],
  feed: RunFeed,
  downtime: readonly Downtime[],
  laneOfRun: ReadonlyMap<string, Draft>,
  place: (span: Span) => void,
): void {
  const calls = new Set(steps.map((step) => `${step.run_id} ${step.tool_call_id}`));
  const spansOfRun = new Map<string, Span[]>();
  for (const lane of new Set(laneOfRun.values())) {
    for (const span of lane.spans) {
      const list = spansOfRun.get(span.runId);
      if (list === undefined) spansOfRun.set(span.runId, [span]);
      else list.push(span);
    }
  }
  const stepOfCall = new Map(steps.map((step) => [`${step.run_id} ${step.tool_call_id}`, step.path]));
  for (const thread of feed.threads.values()) {
    const stored = spansOfRun.get(thread.runId) ?? [];
    const models = stored.filter((span) => span.kind === "model").sort((a, b) => a.start - b.start);
    for (const entry of thread.entries) {
      if (entry.kind === "model" && entry.model !== "" && !entry.isRetried) addModel(entry, models, downtime, place);
      if (entry.kind !== "tool" || DELEGATIONS.has(entry.name) || entry.childRunId !== null) continue;
      const key = `${entry.runId} ${entry.callId}`;
      if (!calls.has(key)) place(ofTool(entry, downtime));
      else if (entry.endedAt !== null) closeTool(entry, stepOfCall.get(key), stored);
    }
  }
}

/** The containers of workflows, which only events tell. */
function addContainers(feed: RunFeed, end: number | null, place: (span: Span) => void): void {
  for (const thread of feed.threads.values()) {
    for (const entry of thread.entries) {
      if (entry.kind !== "step" || !CONTAINERS.has(entry.type)) continue;
      const endedAt = entry.endedAt ?? end;
      place(
        withoutStep({
          id: `event ${entry.index}`,
          runId: entry.runId,
          kind: "container",
          outcome: entry.endedAt !== null ? "ok" : end === null ? "running" : "cut_off",
          label: entry.name,
          start: entry.startedAt,
          end: endedAt,
        }),
      );
    }
  }
}

function addModel(
  call: ModelCall,
  stored: readonly Span[],
  downtime: readonly Downtime[],
  place: (span: Span) => void,
): void {
  const tries = triesOf(call);
  const [first = call] = tries;
  const retries = tries.flatMap((one) => one.retries);
  const match = stored.find((span) => overlaps(span, call));
  const lostAt = call.endedAt === null ? lossOf(call, downtime) : null;
  const isOpen = call.endedAt === null && lostAt === null;
  if (first.loading !== null) {
    if (match === undefined) {
      const outcome = first.loading.end !== null ? "ok" : isOpen ? "running" : "cut_off";
      const loadedAt = first.loading.end ?? call.endedAt ?? lostAt;
      const own = { kind: "loading", outcome, label: LOADING, start: first.startedAt, end: loadedAt } as const;
      place(withoutStep({ id: `loading ${first.index}`, runId: call.runId, ...own }));
    } else if (first.loading.end === null) {
      // Its process was lost before the model was loaded: the stored bar is that of the loading.
      match.kind = "loading";
      match.label = LOADING;
    }
    if (first.loading.end === null) return;
  }
  if (match === undefined) {
    place(
      withoutStep({
        id: `event ${first.index}`,
        runId: call.runId,
        kind: "model",
        outcome: call.isError ? "failed" : call.isCutOff || lostAt !== null ? "cut_off" : isOpen ? "running" : "ok",
        label: isOpen && call.text !== "" ? `${call.model}, writing` : call.model,
        start: first.loading?.end ?? first.startedAt,
        end: call.endedAt ?? lostAt,
        firstAt: call.firstAt,
        retries,
        tries: retries.length + 1,
        usage: call.tokens === null ? null : { ...call.tokens, cost: null },
        error: call.isError ? "failed" : null,
      }),
    );
  }
}

/** The tries of a call of which each but the last failed in the middle of its answer: one bar shows them all. */
function triesOf(call: ModelCall): ModelCall[] {
  return call.earlierTry === null ? [call] : [...triesOf(call.earlierTry), call];
}

type BareSpan = Pick<Span, "id" | "runId" | "kind" | "outcome" | "label" | "start" | "end"> &
  Partial<Pick<Span, "firstAt" | "retries" | "tries" | "usage" | "error">>;

/** A bar that is no stored step. */
function withoutStep(span: BareSpan): Span {
  const none = { firstAt: null, retries: [], tries: 0, usage: null, error: null, approvalId: null, settled: null };
  return { path: null, row: 0, attempt: 1, ...none, ...span };
}

/** Whether a stored model call is the one of the events. A run makes one call at a time, so half of it decides. */
function overlaps(span: Span, call: ModelCall): boolean {
  const callEnd = call.endedAt ?? Infinity;
  const spanEnd = span.end ?? Infinity;
  const shared = Math.min(spanEnd, callEnd) - Math.max(span.start, call.startedAt);
  const shorter = Math.min(spanEnd - span.start, callEnd - call.startedAt);
  return shared > 0 ? shared >= shorter / 2 : Math.abs(span.start - call.startedAt) < 0.005;
}

/** When the process of a call was lost, which no event tells before the next process takes the run over. */
function lossOf(call: { startedAt: number }, downtime: readonly Downtime[]): number | null {
  return downtime.find((band) => band.start > call.startedAt)?.start ?? null;
}

function ofTool(call: ToolCall, downtime: readonly Downtime[]): Span {
  const lostAt = call.endedAt === null ? lossOf(call, downtime) : null;
  return withoutStep({
    id: `event ${call.index}`,
    runId: call.runId,
    kind: "tool",
    outcome: lostAt !== null ? "cut_off" : call.endedAt === null ? "running" : call.isError ? "failed" : "ok",
    label: call.name,
    start: call.startedAt,
    end: call.endedAt ?? lostAt,
    error: call.isError ? call.result : null,
  });
}

function closeTool(call: ToolCall, path: string | undefined, stored: readonly Span[]): void {
  const open = stored.find((span) => span.path === path && span.kind === "tool" && span.end === null);
  if (open === undefined) return;
  open.start = Math.max(open.start, call.startedAt);
  open.end = call.endedAt;
  open.outcome = call.isError ? "failed" : "ok";
  open.error = call.isError ? call.result : null;
}
