import { expect, test } from "vitest";
import { busyRun } from "../fixtures";
import { RunFeed } from "../live/feed";
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
  expect(rows.flatMap((row) => (row.kind === "speaker" ? row.first : []))).toEqual([null]);
  expect(rows.flatMap((row) => (row.kind === "entry" ? row.isTimed : []))).toEqual([true, true, true]);
  const all = toRows(feed, run, null);
  const own = all.findIndex((row) => row.kind === "entry" && row.entry.kind === "note");
  expect([all[own - 1], all[own]]).toMatchObject([{ first: { kind: "note" } }, { isTimed: false }]);
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
