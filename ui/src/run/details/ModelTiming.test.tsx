import { cleanup, render, screen } from "@testing-library/preact";
import { afterEach, expect, test } from "vitest";
import { runDetail, runStep, START } from "../fixtures";
import { RunFeed } from "../live/feed";
import type { RunEvent, RunStep } from "../model/types";
import { toSpans } from "../spans";
import { findSpan, type Placed } from "../stepKey";
import { spanDescription } from "../timeline/describe";
import { FailedTries, ModelTiming } from "./ModelTiming";

afterEach(cleanup);

function show(steps: RunStep[], path: string): Placed {
  const placed = findSpan(toSpans({ run: runDetail(), steps }), path);
  if (placed === null) throw new Error(`no bar ${path}`);
  render(
    <>
      <dl>
        <ModelTiming placed={placed} step={steps.find((step) => step.path === path)} />
      </dl>
      <FailedTries retries={placed.span.retries} />
    </>,
  );
  return placed;
}

test("a model call says when its answer began, how fast it arrived, and for how long its model was loaded", () => {
  const usage = { input_tokens: 900, output_tokens: 300 };
  const { span } = show(
    [
      runStep("t0/m/load", 1, 20, { kind: "load", name: "local" }),
      runStep("t0/m", 21, 12, { kind: "model", name: "local", usage, first_token_seconds: 2 }),
    ],
    "t0/m",
  );
  expect(screen.getByText("Answer began").nextSibling?.textContent).toBe("after 2.00\u202fs");
  expect(screen.getByText("Speed").nextSibling?.textContent).toBe("30 tokens per second");
  expect(screen.getByText("Loading").nextSibling?.textContent).toContain("20.0\u202fs");
  expect(spanDescription(span, 0)).toContain("answer began after 2.00\u202fs");
});

test("an answer that arrived in one piece has no speed", () => {
  const usage = { input_tokens: 900, output_tokens: 18 };
  show([runStep("t0/m", 1, 6, { kind: "model", name: "local", usage, first_token_seconds: 6 })], "t0/m");
  expect(screen.getByText("Answer began").nextSibling?.textContent).toBe("after 6.00\u202fs, and arrived in one piece");
  expect(screen.queryByText("Speed")).toBeNull();
});

test("an answer of a few tokens has no speed", () => {
  const usage = { input_tokens: 900, output_tokens: 5 };
  show([runStep("t0/m", 1, 6.06, { kind: "model", name: "local", usage, first_token_seconds: 6 })], "t0/m");
  expect(screen.queryByText("Speed")).toBeNull();
});

test("a model call says which tries failed, why, and how long it waited after them", () => {
  const retries = [
    { failed_at: START + 2, wait_seconds: 0.5, reason: "The model is overloaded." },
    { failed_at: START + 4, wait_seconds: 1, reason: "The connection failed" },
  ];
  const { span } = show([runStep("t0/m", 1, 9, { kind: "model", tries: 3, retries })], "t0/m");
  expect(screen.getByText("1.50 s of waiting")).toBeTruthy();
  expect(screen.getByText(/^Try 1 failed: The model is overloaded\. The next one began 500 ms later\.$/)).toBeTruthy();
  expect(screen.getByText(/^Try 2 failed: The connection failed\./)).toBeTruthy();
  expect(spanDescription(span, 0)).toContain("first try: The model is overloaded.");
});

test("the events of a call that is out say it before the step is stored", () => {
  const event = (index: number, name: string, at: number, own: Partial<RunEvent> = {}): RunEvent => ({
    event: name,
    event_index: index,
    created_at: 0,
    at: START + at,
    run_id: "run-4417",
    ...own,
  });
  const feed = new RunFeed("run-4417");
  feed.apply([
    event(0, "TeamModelRequestStarted", 1, { model: "gpt-5" }),
    event(1, "TeamModelRequestRetried", 2, { try: 1, wait_seconds: 0.5, reason: "busy" }),
    event(2, "TeamModelRequestCompleted", 6, { time_to_first_token: 3, output_tokens: 10 }),
  ]);
  const [span] = toSpans({ run: runDetail(), steps: [], feed }).lanes[0]?.spans ?? [];
  expect(span).toMatchObject({ firstAt: START + 4, retries: [{ at: START + 2, waitSeconds: 0.5, reason: "busy" }] });
});

test("an answer for which the model was not called says so", () => {
  show([runStep("t0/m", 1, 0.01, { kind: "model", name: "local", tries: 0 })], "t0/m");
  expect(screen.getByText(/^Not needed/)).toBeTruthy();
});

test("other steps have no timing of a model", () => {
  show([runStep("t0/c0", 1, 2)], "t0/c0");
  expect(screen.queryByText("Answer began")).toBeNull();
});
