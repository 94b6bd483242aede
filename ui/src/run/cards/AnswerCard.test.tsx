import { cleanup, render, screen } from "@testing-library/preact";
import { afterEach, expect, test } from "vitest";
import type { RunDetail } from "../model/types";
import { AnswerCard } from "./AnswerCard";

afterEach(cleanup);

function completed(changes: Partial<RunDetail>): RunDetail {
  return { status: "COMPLETED", content: "25 days.", ...changes } as RunDetail;
}

const search = (name: string) => ({
  query: "holidays",
  references: [{ name, content: `Text of ${name}.` }],
  time: 0.01,
});

test("the answer of a team names its own sources and its members' sources", () => {
  render(<AnswerCard run={completed({ references: [search("rules")], member_references: [search("handbook")] })} />);
  expect(screen.getAllByRole("listitem").map((item) => item.textContent)).toEqual(["rules", "handbook"]);
});

test("an answer without searches names no sources", () => {
  render(<AnswerCard run={completed({})} />);
  expect(screen.queryByRole("list")).toBeNull();
});
