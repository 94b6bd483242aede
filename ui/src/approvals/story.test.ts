import { expect, it } from "vitest";
import { REFUND } from "./fixtures";
import { storyOf } from "./story";

it("tells the message, and what each model on the way said and delegated", () => {
  expect(storyOf(REFUND, "Where is my order 4417?", [])).toEqual([
    { who: "mara", text: "Where is my order 4417?", path: "" },
    { who: "Support desk", text: null, path: "t0/m" },
    { who: "Support desk to Billing", text: REFUND.task, path: "" },
    { who: "Billing", text: null, path: "t0/c1/t0/m" },
  ]);
});

it("names the teams between the root and the member", () => {
  const member = {
    run_id: "run-1-shipping",
    parent_run_id: "run-1",
    path: "t0/c1",
    component_kind: "team" as const,
    component_id: "shipping",
    name: "Shipping",
    model: "gpt-5-mini",
    status: "PAUSED" as const,
    task: "Reserve a replacement.",
    started_at: 1,
    ended_at: null,
    outcome: null,
  };
  const approval = { ...REFUND, member_name: "Warehouse", step_path: "t0/c1/t1/c0/t0/c2" };
  expect(storyOf(approval, null, [member]).map(({ who, path }) => [who, path])).toEqual([
    ["Support desk", "t0/m"],
    ["Support desk to Shipping", ""],
    ["Shipping", "t0/c1/t1/m"],
    ["Shipping to Warehouse", ""],
    ["Warehouse", "t0/c1/t1/c0/t0/m"],
  ]);
});

it("has one model on the way to a call of the run itself", () => {
  const approval = { ...REFUND, member_name: null, requirements: null, step_path: "t2/c0" };
  expect(storyOf(approval, "Refund it.", []).map(({ who, path }) => [who, path])).toEqual([
    ["mara", ""],
    ["Support desk", "t2/m"],
  ]);
});
