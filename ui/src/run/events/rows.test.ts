import { expect, test } from "vitest";
import { longRun, START } from "../fixtures";
import type { RunEvent } from "../model/types";
import { type EventRow, hasEvent, toEventRows } from "./rows";

const NONE: ReadonlySet<string> = new Set();

function event(index: number, name: string, runId = "a", content?: string): RunEvent {
  return { event: name, event_index: index, created_at: 0, at: START + index, run_id: runId, content };
}

function lines(rows: readonly EventRow[]): string[] {
  return rows.map((row) =>
    row.kind === "event"
      ? `${row.event.event_index} ${row.event.event}`
      : `${row.pieces.length} pieces of ${row.first.run_id}, ${row.characters} characters: ${row.text.slice(0, 20)}`,
  );
}

const EVENTS = [
  event(0, "TeamRunStarted"),
  event(1, "TeamRunContent", "a", "Hello"),
  event(2, "RunContent", "b", "I see"),
  event(3, "TeamRunContent", "a", " there"),
  event(4, "RunContent", "b", "."),
  event(5, "ToolCallStarted", "b"),
  event(6, "RunContent", "b", "One piece"),
];

test("pieces of a text are one row, also if two runs write at once, and another event begins a new row", () => {
  expect(lines(toEventRows(EVENTS, NONE))).toEqual([
    "6 RunContent",
    "5 ToolCallStarted",
    "2 pieces of b, 6 characters: I see.",
    "2 pieces of a, 11 characters: Hello there",
    "0 TeamRunStarted",
  ]);
});

test("a row of pieces opens to them, newest first like the rest", () => {
  const rows = toEventRows(EVENTS, new Set(["from 1"]));
  expect(lines(rows).slice(2)).toEqual([
    "2 pieces of b, 6 characters: I see.",
    "2 pieces of a, 11 characters: Hello there",
    "3 TeamRunContent",
    "1 TeamRunContent",
    "0 TeamRunStarted",
  ]);
});

test("text and reasoning are apart, and a row keeps its key while its text grows", () => {
  const reasoning = { ...event(1, "ReasoningContentDelta"), reasoning_content: "hm" };
  const rows = (last: number) =>
    toEventRows([reasoning, ...Array.from({ length: last }, (_, i) => event(i + 2, "RunContent", "a", "x"))], NONE);
  expect(lines(rows(3))).toEqual(["3 pieces of a, 3 characters: xxx", "1 ReasoningContentDelta"]);
  expect(rows(3)[0]?.key).toBe(rows(9)[0]?.key);
});

test("a piece is found in its row", () => {
  const rows = toEventRows(EVENTS, NONE);
  expect(rows.findIndex((row) => hasEvent(row, ({ event_index: index }) => index === 4))).toBe(2);
});

test("20,000 pieces are one row, and no event of a long run is lost", () => {
  const pieces = Array.from({ length: 20_000 }, (_, i) => event(i, "RunContent", "a", "x"));
  expect(lines(toEventRows(pieces, NONE))).toEqual([`20000 pieces of a, 20000 characters: ${"x".repeat(20)}`]);
  const { events } = longRun(20_000);
  const count = (row: EventRow) => (row.kind === "event" ? 1 : row.pieces.length);
  expect(toEventRows(events, NONE).reduce((sum, row) => sum + count(row), 0)).toBe(events.length);
});
