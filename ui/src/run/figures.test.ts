import { expect, test } from "vitest";
import { figuresOf, withTotals } from "./figures";
import { busyRun, runDetail, runStep, START } from "./fixtures";
import { RunFeed } from "./live/feed";
import type { RunEvent, RunStep, Totals } from "./model/types";
import { toSpans } from "./spans";

const USAGE = { input_tokens: 100, output_tokens: 20 };
const STEPS = [
  runStep("t0/m", 0, 1, { kind: "model", usage: USAGE, cost: 0.1 }),
  runStep("t0/c0", 1, 1, { tool_call_id: "a" }),
  runStep("t0/c1", 1, 1, { tool_call_id: "b", state: "failed" }),
  runStep("t0/c2", 1, 4, { kind: "delegate", tool_call_id: "c", child_run_ids: ["m1", "m2"] }),
  runStep("t0/c2/0", 1, 4, { kind: "delegate", child_run_ids: ["m1"] }),
  runStep("t0/c3", 1, 0, { kind: "delegate", tool_call_id: "d", state: "failed", name: "delegate_task_to_member" }),
  runStep("t1/m", 5, 1, {
    kind: "model",
    name: "local",
    usage: { input_tokens: 0, output_tokens: 0 },
    cost: 0,
    tries: 0,
  }),
];

function figures(steps: readonly RunStep[], feed?: RunFeed) {
  return figuresOf(toSpans({ run: runDetail(), steps, ...(feed === undefined ? {} : { feed }) }), steps);
}

function event(index: number, name: string, at: number, own: Partial<RunEvent> = {}): RunEvent {
  return { event: name, event_index: index, created_at: 0, at: START + at, run_id: "run-4417", ...own };
}

test("steps count as the server counts them: delegations apart, and no answer that needed no model", () => {
  expect(figures(STEPS)).toMatchObject({
    inputTokens: 100,
    outputTokens: 20,
    cost: 0.1,
    modelCalls: 1,
    toolCalls: 2,
    failedToolCalls: 1,
    delegations: 2,
  });
});

test("a call that its events have ended counts with its lane, before its step is read", () => {
  const feed = new RunFeed("run-4417");
  feed.apply([
    event(0, "TeamModelRequestStarted", 7, { model: "gpt-5" }),
    event(1, "TeamModelRequestCompleted", 9, { model: "gpt-5", input_tokens: 30, output_tokens: 5 }),
    event(2, "TeamModelRequestStarted", 9, { model: "gpt-5" }),
  ]);
  expect(figures(STEPS, feed)).toMatchObject({ inputTokens: 130, outputTokens: 25, modelCalls: 2, openModelCalls: 1 });
  expect(toSpans({ run: runDetail(), steps: STEPS, feed }).lanes[0]?.tokens).toBe(155);
  expect(figures([], feed)).toMatchObject({ inputTokens: 30, cost: undefined });
});

test("without a list price of a model there is no cost", () => {
  expect(figures([...STEPS, runStep("t2/m", 6, 1, { kind: "model", usage: USAGE, cost: null })]).cost).toBeNull();
});

test("the server's totals stand in for what is not read, and tell failed tools from failed models", () => {
  const { run, steps } = busyRun();
  const counted = figuresOf(toSpans({ run, steps: [] }), []);
  const totals: Totals = { ...(run.totals as Totals), tool_calls: 8, delegations: 5, failed_calls: 1 };
  expect(withTotals(counted, totals)).toMatchObject({ inputTokens: 4699, toolCalls: 3, failedToolCalls: 1 });
  const read = figuresOf(toSpans({ run, steps }), steps);
  expect(withTotals(read, totals)).toMatchObject({ failedModelCalls: 1, failedToolCalls: 0 });
});
