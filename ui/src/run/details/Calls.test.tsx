import { cleanup, render, screen } from "@testing-library/preact";
import { afterEach, expect, test } from "vitest";
import { Router } from "wouter";
import { useHashLocation, useHashSearch } from "../../app/hashLocation";
import { memberRun, runDetail, runStep } from "../fixtures";
import type { RunStep } from "../model/types";
import { Calls } from "./Calls";

afterEach(cleanup);

const MODEL = runStep("t0/m", 0, 1, { kind: "model", name: "gpt-5" });

function show(steps: RunStep[], step: RunStep = MODEL): (string | null)[] {
  const run = runDetail({ members: [memberRun("o", "Orders"), memberRun("s", "Shipping"), memberRun("b", "Billing")] });
  render(
    <Router hook={useHashLocation} searchHook={useHashSearch}>
      <Calls run={run} steps={steps} step={step} />
    </Router>,
  );
  return screen.queryAllByRole("listitem").map((item) => item.textContent);
}

test("a model call names the calls that it decided on, in its order, with links to their steps", () => {
  const lines = show([
    runStep("t0/c10", 1, 1, { name: "last" }),
    runStep("t0/c1", 2, 1, { name: "get_order", state: "failed" }),
    runStep("t0/c0", 3, 1, { name: "get_customer" }),
    runStep("t0/c0/t0/c0", 3, 1, { name: "of_a_member" }),
    runStep("t1/c0", 4, 1, { name: "of_the_next_turn" }),
    MODEL,
  ]);
  expect(lines).toEqual(["get_customer", "get_orderfailed", "last"]);
  const link = screen.getByRole("link", { name: "get_order" });
  expect(link.getAttribute("href")).toBe("#/runs/run-4417?step=t0%2Fc1");
});

test("a delegation names the members that were asked", () => {
  const lines = show([
    runStep("t0/c0", 1, 1, { kind: "delegate", name: "delegate_task_to_members", child_run_ids: ["o", "s"] }),
    runStep("t0/c0/0", 1, 1, { kind: "delegate", child_run_ids: ["o"] }),
  ]);
  expect(lines).toEqual(["Asks Orders, Shipping"]);
  const link = screen.getByRole("link", { name: "Shipping" });
  expect(link.getAttribute("href")).toBe("#/runs/run-4417?view=transcript&member=s");
});

test("an answer without calls, and what is no model call, has none", () => {
  const call = runStep("t1/c0", 1, 1);
  expect(show([MODEL, call])).toEqual([]);
  expect(show([MODEL, call], call)).toEqual([]);
});
