import { expect, test } from "vitest";
import { busyRun, runDetail, START } from "../fixtures";
import { RunFeed } from "../live/feed";
import type { RunEvent } from "../model/types";
import { type Row, toRows } from "./rows";

function story(rows: readonly Row[]): string[] {
  return rows.map(lineOf);
}

function lineOf(row: Row): string {
  switch (row.kind) {
    case "speaker":
      return `${row.thread.name}:`;
    case "task":
      return `asked by ${row.from}: ${row.text.slice(0, 12)}`;
    case "answer":
      return `answer: ${row.text}`;
    case "sources":
      return `sources of ${row.thread.searches.map((search) => search.query).join(", ")}`;
    case "entry":
      return row.entry.kind === "model" ? `text${row.entry.isVoid ? " void" : ""}` : row.entry.kind;
  }
}

test("the transcript tells who was asked, what was written and called, in order", () => {
  const { run, events } = busyRun();
  const feed = new RunFeed(run.run_id);
  feed.apply(events);
  expect(story(toRows(feed, run, null))).toEqual([
    "Support desk:",
    "asked by mara: Where is my ",
    "text",
    "Orders:",
    "asked by Support desk: Is order 441",
    "tool",
    "text void",
    "Support desk:",
    "note",
    "Orders:",
    "text",
    "Shipping:",
    "asked by Support desk: Send a repla",
    "text",
  ]);
  expect(story(toRows(feed, run, "orders"))).toEqual([
    "Orders:",
    "asked by Support desk: Is order 441",
    "tool",
    "text void",
    "text",
  ]);
});

test("an entry without its speaker above it says itself when it was", () => {
  const { run, events } = busyRun();
  const feed = new RunFeed(run.run_id);
  feed.apply(events);
  const rows = toRows(feed, run, "orders");
  expect(rows.flatMap((row) => (row.kind === "speaker" ? row.text : []))).toEqual([null]);
  expect(rows.flatMap((row) => (row.kind === "entry" ? row.isTimed : []))).toEqual([true, true, true]);
  const all = toRows(feed, run, null);
  const own = all.findIndex((row) => row.kind === "entry" && row.entry.kind === "note");
  expect([all[own - 1], all[own]]).toMatchObject([{ at: START + 12.53, text: null }, { isTimed: false }]);
});

test("an answer that was not written as text is shown, one that was is not shown twice", () => {
  const { run, events } = busyRun();
  const feed = new RunFeed(run.run_id);
  feed.apply(events);
  const last = { ...events[0], event: "TeamRunCompleted", event_index: 1000, content: { refund: 14.9 } };
  feed.apply([last as (typeof events)[number]]);
  const rows = story(toRows(feed, run, run.run_id));
  expect(rows.at(-1)).toContain('"refund": 14.9');
  expect(story(toRows(feed, run, "orders")).filter((line) => line.startsWith("answer"))).toEqual([]);
});

function event(index: number, name: string, own: Partial<RunEvent> = {}): RunEvent {
  return { event: name, event_index: index, created_at: 0, at: START + index, run_id: "run-4417", ...own };
}

test("the sources of a run stand below its answer", () => {
  const searches = [{ query: "holidays", references: ["25 days"], time: 0.01 }];
  const feed = new RunFeed("run-4417");
  feed.apply([
    event(0, "TeamRunStarted"),
    event(1, "TeamModelRequestStarted", { model: "m" }),
    event(2, "TeamRunContent", { content: "25 days." }),
    event(3, "RunStarted", { run_id: "other", parent_run_id: "run-4417", agent_name: "Other" }),
    event(4, "ModelRequestStarted", { run_id: "other", model: "m" }),
    event(5, "TeamModelRequestCompleted"),
    event(6, "TeamRunCompleted", { content: "25 days.", references: searches }),
  ]);
  expect(story(toRows(feed, runDetail(), null)).slice(2)).toEqual(["text", "sources of holidays", "Other:", "text"]);
});

test("a call stands where it began, not where it was announced", () => {
  const call = (id: string, times?: [number, number]) => ({
    tool_call_id: id,
    tool_name: id,
    tool_args: {},
    tool_call_error: false,
    result: null,
    child_run_id: null,
    metrics:
      times === undefined
        ? null
        : { start_time: START + times[0], end_time: START + times[1], duration: times[1] - times[0] },
  });
  const feed = new RunFeed("run-4417");
  feed.apply([
    event(0, "TeamRunStarted"),
    event(1, "TeamToolCallStarted", { tool: call("first") }),
    event(2, "TeamToolCallStarted", { tool: call("second") }),
    event(3, "MessageReceived", { content: "Hurry" }),
    event(5, "TeamToolCallCompleted", { tool: call("first", [1, 4]) }),
    event(6, "TeamToolCallCompleted", { tool: call("second", [4, 6]) }),
  ]);
  const names = toRows(feed, runDetail(), null).flatMap((row) =>
    row.kind !== "entry" ? [] : row.entry.kind === "tool" ? row.entry.name : row.entry.kind,
  );
  expect(names).toEqual(["first", "note", "second"]);
});

test("a delegation that a crash began again stands above what its member had done", () => {
  const delegation = (childRunId: string | null, times: [number, number] | null) => ({
    tool_call_id: "ask",
    tool_name: "delegate_task_to_member",
    tool_args: {},
    tool_call_error: false,
    result: null,
    child_run_id: childRunId,
    metrics: times === null ? null : { start_time: START + times[0], end_time: START + times[1], duration: 1 },
  });
  const feed = new RunFeed("run-4417");
  feed.apply([
    event(0, "TeamRunStarted"),
    event(1, "TeamToolCallStarted", { tool: delegation(null, null) }),
    event(2, "RunStarted", { run_id: "member", parent_run_id: "run-4417", agent_name: "Orders" }),
    event(3, "MessageReceived", { run_id: "member", content: "Hurry" }),
    event(9, "RunCompleted", { run_id: "member", content: "Done" }),
    event(9, "TeamToolCallCompleted", { tool: delegation("member", [8, 9]) }),
  ]);
  const rows = toRows(feed, runDetail(), null);
  expect(rows.flatMap((row) => (row.kind === "entry" ? row.entry.kind : []))).toEqual(["tool", "note"]);
  expect(rows.flatMap((row) => (row.kind === "speaker" ? row.at - START : []))).toEqual([0, 3]);
});

test("the times of the rows never run backwards", () => {
  const { run, events } = busyRun();
  const feed = new RunFeed(run.run_id);
  feed.apply(events);
  const times = toRows(feed, run, null).flatMap((row) =>
    row.kind === "speaker" ? (row.text?.startedAt ?? row.at) : [],
  );
  expect(times.length).toBeGreaterThan(3);
  expect(times).toEqual([...times].sort((a, b) => a - b));
});
