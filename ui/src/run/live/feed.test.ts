import { expect, test } from "vitest";
import { busyRun, START } from "../fixtures";
import type { RunEvent } from "../model/types";
import { type Entry, KEPT_EVENTS, type ModelCall, RunFeed, type Thread } from "./feed";

const ROOT = "root";

function event(index: number, name: string, own: Partial<RunEvent> = {}): RunEvent {
  return { event: name, event_index: index, created_at: 0, at: START + index, run_id: ROOT, ...own };
}

function thread(feed: RunFeed, runId = ROOT): Thread {
  const thread = feed.threads.get(runId);
  if (thread === undefined) throw new Error(`no thread ${runId}`);
  return thread;
}

function texts(entries: readonly Entry[]): [string, boolean][] {
  return entries
    .filter((entry): entry is ModelCall => entry.kind === "model")
    .map((entry) => [entry.text, entry.isVoid]);
}

test("text is joined, and events that come twice after a resume change nothing", () => {
  const events = [
    event(0, "TeamRunStarted", { model: "gpt-5" }),
    event(1, "TeamModelRequestStarted", { model: "gpt-5" }),
    event(2, "TeamRunContent", { content: "Hello " }),
    event(3, "TeamRunContent", { content: "world" }),
  ];
  const feed = new RunFeed(ROOT);
  feed.apply(events);
  feed.apply(events.slice(1));
  feed.apply([event(4, "TeamModelRequestCompleted", { input_tokens: 3, output_tokens: 2 })]);
  expect(texts(thread(feed).entries)).toEqual([["Hello world", false]]);
  expect(thread(feed).openModel).toBeNull();
  expect(feed.recent).toHaveLength(5);
});

test("text that a lost process had written is void, and the text that follows stands alone", () => {
  const { events, run } = busyRun();
  const feed = new RunFeed(run.run_id);
  feed.apply(events);
  expect(texts(thread(feed, "orders").entries)).toEqual([
    ["", false],
    ["The order is paid, and the compl", true],
    ["The order is paid in full, and the complaint window is open until Friday.", false],
  ]);
});

test("a call that was out when the process was lost ends with the last sign of life", () => {
  const feed = new RunFeed(ROOT);
  feed.apply([
    event(0, "TeamRunStarted"),
    event(1, "TeamModelRequestStarted", { model: "m" }),
    event(9, "TeamRunContinued", { reason: "recovered", attempt: 2, superseded: [] }),
  ]);
  const [call] = thread(feed).entries;
  expect(call).toMatchObject({ isCutOff: true, endedAt: START + 1 });
});

test("a model of the server says how much of its prompt it has read", () => {
  const feed = new RunFeed(ROOT);
  feed.apply([
    event(0, "ModelRequestStarted", { model: "local" }),
    event(1, "ModelPromptProgress", { read_tokens: 64, prompt_tokens: 200 }),
  ]);
  expect(thread(feed).entries[0]).toMatchObject({ prompt: { readTokens: 64, tokens: 200 } });
});

test("a model call that is retried keeps its tries", () => {
  const feed = new RunFeed(ROOT);
  feed.apply([
    event(0, "ModelRequestStarted", { model: "m" }),
    event(1, "ModelRequestRetried", { try: 1, wait_seconds: 0.5, reason: "overloaded" }),
    event(2, "RunError", { content: "The model is overloaded.", error_type: "model_error" }),
  ]);
  expect(thread(feed).entries[0]).toMatchObject({
    isError: true,
    isCutOff: true,
    retries: [{ reason: "overloaded", waitSeconds: 0.5 }],
  });
  expect(feed.isEnded).toBe(true);
});

test("a try that failed in the middle of its answer was not cut off, and the next one is an entry of its own", () => {
  const feed = new RunFeed(ROOT);
  feed.apply([
    event(0, "ModelRequestStarted", { model: "m" }),
    event(1, "RunContent", { content: "half" }),
    event(2, "ModelRequestRetried", { try: 1, wait_seconds: 0.5, reason: "silent for 60 s" }),
    event(3, "RunContinued", { reason: "model_retry", superseded: [{ run_id: ROOT, from_event_index: 0 }] }),
    event(4, "ModelRequestStarted", { model: "m" }),
    event(5, "RunContent", { content: "half again" }),
    event(6, "ModelRequestRetried", { try: 2, wait_seconds: 1, reason: "silent for 60 s" }),
    event(7, "RunContinued", { reason: "model_retry", superseded: [{ run_id: ROOT, from_event_index: 4 }] }),
    event(8, "ModelRequestStarted", { model: "m" }),
    event(9, "RunContent", { content: "whole" }),
  ]);
  const { entries } = thread(feed);
  expect(texts(entries)).toEqual([
    ["half", true],
    ["half again", true],
    ["whole", false],
  ]);
  expect(entries).toMatchObject([
    { isRetried: true, isCutOff: false, endedAt: START + 3, retries: [{ number: 1 }] },
    { isRetried: true, isCutOff: false, endedAt: START + 7, retries: [{ number: 2 }] },
    { isRetried: false, endedAt: null, retries: [] },
  ]);
});

test("text of a member that is shown as its leader's begins a new entry with each call", () => {
  const feed = new RunFeed(ROOT);
  const member = { run_id: "m", parent_run_id: ROOT };
  feed.apply([
    event(0, "TeamRunStarted"),
    event(1, "RunStarted", member),
    event(2, "ModelRequestStarted", { ...member, model: "m" }),
    event(3, "TeamRunContent", { content: "first" }),
    event(4, "TeamRunContinued", { reason: "member_failed", superseded: [{ run_id: ROOT, from_event_index: 2 }] }),
    event(5, "ModelRequestStarted", { ...member, model: "m" }),
    event(6, "TeamRunContent", { content: "second" }),
  ]);
  expect(texts(thread(feed).entries)).toEqual([
    ["first", true],
    ["second", false],
  ]);
});

test("a structured answer is not shown as another text", () => {
  const feed = new RunFeed(ROOT);
  feed.apply([
    event(0, "ModelRequestStarted", { model: "m" }),
    event(1, "TeamRunIntermediateContent", { content: '{"age": 3}' }),
    event(2, "ModelRequestCompleted"),
    event(3, "TeamRunContent", { content: { age: 3 }, content_type: "Person" }),
  ]);
  expect(texts(thread(feed).entries)).toEqual([['{"age": 3}', false]]);
});

test("a pause ends nothing: what follows the decision goes on", () => {
  const feed = new RunFeed(ROOT);
  feed.apply([event(0, "TeamRunStarted"), event(1, "TeamRunPaused", { content: "" })]);
  expect(feed.isEnded).toBe(false);
  feed.apply([
    event(2, "TeamRunContinued", { reason: "decided", attempt: 2 }),
    event(3, "TeamRunCompleted", { content: "Done" }),
  ]);
  expect(feed.isEnded).toBe(true);
  expect(thread(feed).answer).toBe("Done");
});

test("progress of a tool stands with its call", () => {
  const tool = {
    tool_call_id: "c",
    tool_name: "crawl",
    tool_args: {},
    tool_call_error: null,
    result: null,
    metrics: null,
    child_run_id: null,
  };
  const feed = new RunFeed(ROOT);
  feed.apply([
    event(0, "ToolCallStarted", { tool }),
    event(1, "CustomEvent", { tool_call_id: "c", tool_name: "crawl", content: "page 1 of 9" }),
  ]);
  expect(thread(feed).entries[0]).toMatchObject({ kind: "tool", progress: ["page 1 of 9"], endedAt: null });
});

test("only the newest events are kept, and listeners hear once for a batch", () => {
  const feed = new RunFeed(ROOT);
  let calls = 0;
  feed.subscribe(() => {
    calls += 1;
  });
  feed.apply(Array.from({ length: KEPT_EVENTS + 500 }, (_, i) => event(i, "TeamRunContent", { content: "x" })));
  expect(calls).toBe(1);
  expect(feed.recent).toHaveLength(KEPT_EVENTS);
  expect(feed.recent[0]?.event_index).toBe(500);
  expect(texts(thread(feed).entries)[0]?.[0]).toHaveLength(KEPT_EVENTS + 500);
});

test("a step of a workflow lasts from its start to its end, over a try that failed, and has its function's result", () => {
  const step = { step_id: "1", step_name: "collect" };
  const feed = new RunFeed(ROOT);
  const response = { executor_type: "function", content: "42", success: true };
  feed.apply([
    event(0, "StepStarted", step),
    event(1, "StepError", { ...step, error: "busy", will_retry: true }),
    event(2, "StepStarted", step),
    event(3, "StepCompleted", { ...step, step_response: response as never }),
    event(4, "LoopIterationStarted", { step_id: "2", step_name: "drafts", iteration: 1 }),
  ]);
  expect(thread(feed).entries).toMatchObject([
    { type: "Step", name: "collect", startedAt: START, endedAt: START + 3, isError: false, result: "42" },
    { type: "LoopIteration", name: "drafts, iteration 1", endedAt: null },
  ]);
});

test("the text of a step that is a generator grows while it runs, and begins anew after a failed try or a crash", () => {
  const step = { step_id: "1", step_name: "write", workflow_run_id: ROOT };
  const feed = new RunFeed(ROOT);
  const result = () => (thread(feed).entries[0] as { result: string | null }).result;
  feed.apply([event(0, "StepStarted", step), event(1, "RunContent", { ...step, content: "one " })]);
  feed.apply([event(2, "RunContent", { ...step, content: "two" })]);
  expect(result()).toBe("one two");
  feed.apply([event(3, "StepError", { ...step, error: "busy", will_retry: true })]);
  expect(result()).toBeNull();
  feed.apply([
    event(4, "RunContent", { ...step, content: "cut off" }),
    event(5, "WorkflowContinued", {
      reason: "recovered",
      attempt: 2,
      superseded: [{ run_id: ROOT, path: "s0", from_event_index: 4 }],
    }),
    event(6, "RunContent", { ...step, content: "again" }),
  ]);
  expect(result()).toBe("again");
  expect(thread(feed).entries.filter((entry) => entry.kind === "model")).toEqual([]);
});
