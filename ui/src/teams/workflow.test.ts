import { describe, expect, it } from "vitest";
import { kindText, personText, runnerOf, takesJsonMessages, type Workflow, type WorkflowStep } from "./workflow";

const STEP: WorkflowStep = { name: "publish", type: "Step", step_id: "s" };
const WORKFLOW: Workflow = {
  id: "article",
  name: "Article",
  db_id: "db",
  is_component: false,
  workflow_agent: false,
  steps: [STEP],
};

describe("a step of a workflow", () => {
  it("says what it is and what runs it", () => {
    expect(kindText(STEP)).toBeNull();
    expect(runnerOf(STEP)).toBeNull();
    expect(kindText({ ...STEP, type: "Loop", max_iterations: 3 })).toBe("Loop, at most 3 times");
    const workflow = { id: "review", name: "Review", db_id: "db", is_component: false };
    expect(runnerOf({ ...STEP, workflow })).toEqual({ kind: "workflow", id: "review", name: "Review" });
  });

  it("says for what it needs a person", () => {
    expect(personText({ ...STEP, on_error: "fail" })).toBeNull();
    expect(personText({ ...STEP, requires_confirmation: true })).toBe("needs approval");
    expect(personText({ ...STEP, type: "Router", requires_user_input: true })).toBe("a person chooses");
    expect(personText({ ...STEP, on_error: "pause" })).toBe("asks a person after an error");
  });
});

it("takes a message as JSON if it has a schema; a function's schema is of its other parameters", () => {
  const input_schema = { type: "object" };
  expect(takesJsonMessages(WORKFLOW)).toBe(false);
  expect(takesJsonMessages({ ...WORKFLOW, input_schema })).toBe(true);
  expect(takesJsonMessages({ ...WORKFLOW, input_schema, steps: [] })).toBe(false);
});
