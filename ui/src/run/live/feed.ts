/**
 * The story of a run as its events tell it: for each run of the tree its model calls with their text, its tool calls,
 * and notes. Events are applied in the order of their index; an event that was applied before changes nothing, so a
 * stream may be resumed anywhere.
 */
import type { Search } from "@/api/types";
import type { EventTool, RunEvent } from "../model/types";

/** A try of a model call that failed before the next one. */
export interface Retry {
  /** Which try of the call failed, from 1. */
  number: number;
  at: number;
  waitSeconds: number;
  reason: string;
}

export interface ModelCall {
  kind: "model";
  runId: string;
  /** The index of the event with which it began. */
  index: number;
  startedAt: number;
  endedAt: number | null;
  /** Until when the call waited for its model to be loaded into memory; null if it did not have to. */
  loading: { end: number | null } | null;
  /** How much of its prompt a model of the server has read; null if it has not said so. */
  prompt: { readTokens: number; tokens: number } | null;
  /** When its answer began to arrive: text, or a call of a tool. */
  firstAt: number | null;
  /** The model; empty if the text is another run's that is shown as this one's. */
  model: string;
  text: string;
  reasoning: string;
  retries: Retry[];
  tokens: { input: number; output: number } | null;
  /** Whether its text was withdrawn: it comes again, or another answer takes its place. */
  isVoid: boolean;
  /** Whether this try failed in the middle of its answer, so that the next one is an entry of its own. */
  isRetried: boolean;
  /** The try before this one, if that is an entry of its own. */
  earlierTry: ModelCall | null;
  /** Whether the process was lost or the run ended before the call did. */
  isCutOff: boolean;
  /** Whether the run failed while the call was out. */
  isError: boolean;
}

export interface ToolCall {
  kind: "tool";
  runId: string;
  index: number;
  callId: string;
  name: string;
  args: Record<string, unknown>;
  startedAt: number;
  endedAt: number | null;
  isError: boolean;
  result: string | null;
  childRunId: string | null;
  /** What the tool reported while it ran. */
  progress: string[];
}

/** A step of a workflow, or an iteration of a loop. What an agent or a team did in it is in the thread of its run. */
export interface WorkflowStep {
  kind: "step";
  runId: string;
  index: number;
  type: string;
  name: string;
  startedAt: number;
  endedAt: number | null;
  isError: boolean;
  /** What a function returned, or the error of the step. */
  result: string | null;
}

export type NoteKind = "message" | "continued" | "paused" | "failed" | "cancelled" | "completed";

export interface Note {
  kind: "note";
  runId: string;
  index: number;
  at: number;
  note: NoteKind;
  text: string;
}

export type Entry = ModelCall | ToolCall | WorkflowStep | Note;

/** What happened in one run of the tree. */
export interface Thread {
  runId: string;
  /** The index of its first event. */
  index: number;
  parentRunId: string | null;
  componentId: string;
  name: string;
  model: string;
  depth: number;
  startedAt: number;
  endedAt: number | null;
  entries: Entry[];
  /** The complete answer, once the run has one. */
  answer: string | null;
  /** The searches of the run, known once it has completed. */
  searches: readonly Search[];
  openModel: ModelCall | null;
  /** The try that has just failed in the middle of its answer. */
  retriedModel: ModelCall | null;
  openTools: Map<string, ToolCall>;
  /** By the type and the id of the step. */
  openSteps: Map<string, WorkflowStep>;
}

const STEP_EVENT = /^(Step|Steps|Parallel|Loop|Condition|Router|LoopIteration)(?:Execution)?(Started|Completed|Error)$/;

/** How many raw events are kept in memory. */
export const KEPT_EVENTS = 2000;

const NOTES: Readonly<Record<string, NoteKind>> = {
  RunError: "failed",
  RunCancelled: "cancelled",
  RunPaused: "paused",
  RunCompleted: "completed",
};

/** The name of an event without the `Team` of a team's run. */
export function kindOf(event: RunEvent): string {
  const name = event.event.replace(/^Team/, "");
  return name.replace(/^Workflow(Started|Completed|Error|Cancelled|Paused|Continued)$/, "Run$1");
}

export class RunFeed {
  readonly threads = new Map<string, Thread>();
  /** The newest raw events, oldest first. */
  readonly recent: RunEvent[] = [];
  /** Events from this index on are not dropped: older ones, which end there, are shown above them. */
  keptFrom = Number.POSITIVE_INFINITY;
  lastIndex = -1;
  lastAt: number | null = null;
  /** Counts the batches that changed something. */
  version = 0;
  /** Counts what changes the steps of the run and the rows of its transcript: starts and ends, but not more text. */
  stepVersion = 0;
  /** Whether the last event of the root run was its end. */
  isEnded = false;

  private readonly listeners = new Set<() => void>();

  constructor(readonly rootId: string) {}

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  getVersion = (): number => this.version;

  getStepVersion = (): number => this.stepVersion;

  /** Apply events in order, and tell the listeners once. */
  apply(events: readonly RunEvent[]): void {
    let isChanged = false;
    for (const event of events) {
      if (this.applyOne(event)) isChanged = true;
    }
    if (!isChanged) return;
    const excess = Math.max(0, this.recent.length - KEPT_EVENTS);
    const needed = this.recent.slice(0, excess).findIndex((event) => event.event_index >= this.keptFrom);
    this.recent.splice(0, needed < 0 ? excess : needed);
    this.version += 1;
    for (const listener of this.listeners) listener();
  }

  private applyOne(event: RunEvent): boolean {
    if (typeof event.event_index !== "number" || event.event_index <= this.lastIndex) return false;
    const at = event.at;
    const thread = this.threadOf(event, at);
    const before = this.lastAt ?? at;
    this.lastIndex = event.event_index;
    this.lastAt = at;
    this.recent.push(event);
    if (event.run_id === this.rootId) this.isEnded = false;
    switch (kindOf(event)) {
      case "RunStarted":
        thread.startedAt = at;
        thread.model = event.model ?? thread.model;
        this.stepVersion += 1;
        break;
      case "ModelRequestStarted":
        this.startModel(thread, event, at);
        break;
      case "ModelLoadingStarted":
        this.setLoading(thread, null);
        break;
      case "ModelLoadingCompleted":
        this.setLoading(thread, at);
        break;
      case "ModelPromptProgress":
        if (thread.openModel !== null) {
          thread.openModel.prompt = { readTokens: event.read_tokens ?? 0, tokens: event.prompt_tokens ?? 0 };
        }
        break;
      case "ModelRequestRetried":
        thread.openModel?.retries.push({
          number: event.try ?? 1,
          at,
          waitSeconds: event.wait_seconds ?? 0,
          reason: event.reason ?? "",
        });
        this.stepVersion += 1;
        break;
      case "RunContent":
      case "RunIntermediateContent":
        // A workflow's own text is that of a step which is a generator.
        if (event.workflow_run_id === event.run_id) addStepText(thread, event);
        // A structured answer comes as a whole, after the text of which it was made.
        else if (typeof event.content === "string") this.addText(thread, event, at);
        break;
      case "ReasoningContentDelta":
        this.modelOf(thread, event, at).reasoning += event.reasoning_content ?? "";
        break;
      case "ModelRequestCompleted":
        this.endModel(thread, event, at);
        break;
      case "ToolCallStarted":
        if (event.tool) this.startTool(thread, event, event.tool, at);
        break;
      case "ToolCallCompleted":
        if (event.tool) this.endTool(thread, event, event.tool, at);
        break;
      case "CustomEvent":
        this.addProgress(thread, event);
        break;
      case "MessageReceived":
        this.note(thread, event, at, "message", textOf(event.content));
        break;
      case "RunContinued":
        this.continueRun(thread, event, at, before);
        break;
      case "RunCompleted":
      case "RunError":
      case "RunCancelled":
      case "RunPaused":
        this.endRun(thread, event, at);
        break;
      default:
        this.applyStep(thread, event, at);
    }
    return true;
  }

  private threadOf(event: RunEvent, at: number): Thread {
    let thread = this.threads.get(event.run_id);
    if (thread === undefined) {
      const componentId = event.team_id ?? event.agent_id ?? event.workflow_id ?? "";
      thread = {
        runId: event.run_id,
        index: event.event_index,
        parentRunId: event.parent_run_id ?? null,
        componentId,
        name: event.team_name ?? event.agent_name ?? event.workflow_name ?? componentId,
        model: event.model ?? "",
        depth: event.nested_depth ?? 0,
        startedAt: at,
        endedAt: null,
        entries: [],
        answer: null,
        searches: [],
        openModel: null,
        retriedModel: null,
        openTools: new Map(),
        openSteps: new Map(),
      };
      this.threads.set(event.run_id, thread);
    }
    return thread;
  }

  private startModel(thread: Thread, event: RunEvent, at: number): void {
    if (thread.openModel) cutOff(thread.openModel, at);
    thread.openModel = newModelCall(event, at, event.model ?? thread.model);
    thread.openModel.earlierTry = thread.retriedModel;
    thread.retriedModel = null;
    thread.entries.push(thread.openModel);
    // In mode `route` a member's text appears as its leader's. It begins a new entry, so that it can be voided alone.
    const parent = thread.parentRunId === null ? undefined : this.threads.get(thread.parentRunId);
    if (parent?.openModel && parent.openModel.model === "") {
      parent.openModel.endedAt = at;
      parent.openModel = null;
    }
    this.stepVersion += 1;
  }

  private setLoading(thread: Thread, end: number | null): void {
    if (thread.openModel === null) return;
    thread.openModel.loading = { end };
    this.stepVersion += 1;
  }

  private modelOf(thread: Thread, event: RunEvent, at: number): ModelCall {
    if (thread.openModel === null) {
      thread.openModel = newModelCall(event, at, "");
      thread.entries.push(thread.openModel);
      this.stepVersion += 1;
    }
    return thread.openModel;
  }

  private addText(thread: Thread, event: RunEvent, at: number): void {
    const call = this.modelOf(thread, event, at);
    call.firstAt ??= at;
    call.text += textOf(event.content);
    call.reasoning += event.reasoning_content ?? "";
  }

  private endModel(thread: Thread, event: RunEvent, at: number): void {
    const call = thread.openModel;
    thread.openModel = null;
    if (call === null) return;
    call.endedAt = at;
    // A call that only asked for tools had no event before.
    const first = event.time_to_first_token;
    if (first !== undefined) call.firstAt ??= Math.min(at, call.startedAt + first);
    call.tokens = { input: event.input_tokens ?? 0, output: event.output_tokens ?? 0 };
    this.stepVersion += 1;
  }

  private startTool(thread: Thread, event: RunEvent, tool: EventTool, at: number): void {
    if (thread.openTools.has(tool.tool_call_id)) return;
    const call: ToolCall = {
      kind: "tool",
      runId: event.run_id,
      index: event.event_index,
      callId: tool.tool_call_id,
      name: tool.tool_name,
      args: tool.tool_args,
      startedAt: at,
      endedAt: null,
      isError: false,
      result: null,
      childRunId: tool.child_run_id,
      progress: [],
    };
    thread.openTools.set(call.callId, call);
    thread.entries.push(call);
    this.stepVersion += 1;
  }

  private endTool(thread: Thread, event: RunEvent, tool: EventTool, at: number): void {
    if (!thread.openTools.has(tool.tool_call_id)) this.startTool(thread, event, tool, at);
    const call = thread.openTools.get(tool.tool_call_id);
    thread.openTools.delete(tool.tool_call_id);
    if (call === undefined) return;
    // The arguments and the time are those of the call that was made, after a person's changes or a crash.
    call.args = tool.tool_args;
    call.startedAt = tool.metrics?.start_time ?? call.startedAt;
    call.endedAt = tool.metrics?.end_time ?? at;
    call.isError = tool.tool_call_error === true;
    call.result = tool.result;
    call.childRunId = tool.child_run_id ?? call.childRunId;
    this.stepVersion += 1;
  }

  private applyStep(thread: Thread, event: RunEvent, at: number): void {
    const [, type = "", phase] = STEP_EVENT.exec(event.event) ?? [];
    if (phase === undefined) return;
    const key = `${type} ${event.step_id ?? ""}`;
    const open = thread.openSteps.get(key);
    if (phase === "Started") {
      if (open === undefined) this.startStep(thread, event, at, type, key);
    } else if (open !== undefined && event.will_retry === true) {
      open.result = null;
    } else if (open !== undefined) {
      const response = event.step_response;
      open.endedAt = at;
      open.isError = phase === "Error" || response?.success === false;
      if (phase === "Error") open.result = event.error ?? null;
      else if (response?.executor_type === "function") open.result = textOf(response.content);
      thread.openSteps.delete(key);
    }
    this.stepVersion += 1;
  }

  private startStep(thread: Thread, event: RunEvent, at: number, type: string, key: string): void {
    const name = event.step_name ?? type;
    const step: WorkflowStep = {
      kind: "step",
      runId: event.run_id,
      index: event.event_index,
      type,
      name: type === "LoopIteration" ? `${name}, iteration ${event.iteration}` : name,
      startedAt: at,
      endedAt: null,
      isError: false,
      result: null,
    };
    thread.openSteps.set(key, step);
    thread.entries.push(step);
  }

  private addProgress(thread: Thread, event: RunEvent): void {
    const call = thread.openTools.get(String(event.tool_call_id ?? ""));
    const text = textOf(event.content);
    if (call !== undefined && text !== "") call.progress.push(text);
  }

  private continueRun(thread: Thread, event: RunEvent, at: number, before: number): void {
    const open = thread.openModel;
    const isNewAttempt = event.reason === "recovered" || event.reason === "decided";
    for (const item of event.superseded ?? []) {
      const voided = this.voidText(item.run_id, item.from_event_index);
      if (voided === null) continue;
      if (isNewAttempt) cutOff(voided, before);
      else close(voided, at);
    }
    if (event.reason === "model_retry" && open !== null) {
      open.isRetried = true;
      close(open, at);
      thread.retriedModel = open;
      thread.openModel = null;
    }
    if (event.reason === "recovered") {
      for (const other of this.threads.values()) {
        if (other.openModel) cutOff(other.openModel, before);
        other.openModel = null;
      }
    }
    thread.endedAt = null;
    if (isNewAttempt) this.note(thread, event, at, "continued", event.reason ?? "");
    this.stepVersion += 1;
  }

  /** Withdraw the text of a run from an event on. The model call that was writing it is returned, to be ended. */
  private voidText(runId: string, fromIndex: number): ModelCall | null {
    const thread = this.threads.get(runId);
    if (thread === undefined) return null;
    for (const step of thread.openSteps.values()) step.result = null;
    for (let i = thread.entries.length - 1; i >= 0; i--) {
      const entry = thread.entries[i];
      if (entry === undefined || entry.index < fromIndex) break;
      if (entry.kind === "model") entry.isVoid = true;
    }
    const open = thread.openModel;
    if (!open?.isVoid) return null;
    thread.openModel = null;
    return open;
  }

  private endRun(thread: Thread, event: RunEvent, at: number): void {
    const note = NOTES[kindOf(event)] ?? "completed";
    if (thread.openModel) {
      cutOff(thread.openModel, at);
      thread.openModel.isError = note === "failed" && thread.openModel.isCutOff;
    }
    thread.openModel = null;
    thread.endedAt = at;
    if (note === "completed") {
      thread.answer = event.content === undefined ? null : textOf(event.content);
      thread.searches = event.references ?? [];
    } else {
      this.note(
        thread,
        event,
        at,
        note,
        note === "cancelled" ? (event.reason ?? "") : textOf(event.content ?? event.error),
      );
    }
    if (event.run_id === this.rootId) this.isEnded = note !== "paused";
    this.stepVersion += 1;
  }

  private note(thread: Thread, event: RunEvent, at: number, note: NoteKind, text: string): void {
    thread.entries.push({ kind: "note", runId: event.run_id, index: event.event_index, at, note, text });
    this.stepVersion += 1;
  }
}

/** The text of a value: itself, or JSON. */
export function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return value === null || value === undefined ? "" : JSON.stringify(value, null, 2);
}

function newModelCall(event: RunEvent, at: number, model: string): ModelCall {
  return {
    kind: "model",
    runId: event.run_id,
    index: event.event_index,
    startedAt: at,
    endedAt: null,
    loading: null,
    prompt: null,
    firstAt: null,
    model,
    text: "",
    reasoning: "",
    retries: [],
    tokens: null,
    isVoid: false,
    isRetried: false,
    earlierTry: null,
    isCutOff: false,
    isError: false,
  };
}

function addStepText(thread: Thread, event: RunEvent): void {
  const step = thread.openSteps.get(`Step ${event.step_id ?? ""}`);
  if (step !== undefined) step.result = (step.result ?? "") + textOf(event.content);
}

function cutOff(call: ModelCall, at: number): void {
  // Text without a call of its own has no end event; it is complete when the next thing happens.
  call.isCutOff = call.model !== "";
  close(call, at);
}

function close(call: ModelCall, at: number): void {
  call.endedAt = Math.max(at, call.startedAt);
}
