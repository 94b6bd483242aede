import { describe, expect, it } from "vitest";
import type { RunSummary } from "../api/types";
import { LiveTexts, type TextEvent } from "./liveText";
import type { SessionRun } from "./session";
import { tokensByModel } from "./tokens";
import { toTurns } from "./turns";

const SUMMARY: RunSummary = {
  run_id: "r1",
  component_kind: "team",
  component_id: "support",
  component_name: "Support desk",
  session_id: "mara",
  session_name: "Where is my order?",
  user_id: "mara",
  status: "COMPLETED",
  input: "Where is my order?",
  outcome: "It is lost.",
  created_at: 100,
  queued_at: 100,
  started_at: 101,
  ended_at: 110,
  attempts: 1,
  queue_position: null,
  waiting: 0,
  activity: null,
  totals: {
    input_tokens: 20,
    output_tokens: 10,
    reasoning_tokens: 0,
    cache_read_tokens: 0,
    cache_write_tokens: 0,
    cost: 0.0139,
    model_calls: 3,
    tool_calls: 5,
    delegations: 3,
    failed_calls: 0,
  },
  cancel_requested_at: null,
};

const RUN: SessionRun = {
  run_id: "r1",
  parent_run_id: "",
  status: "COMPLETED",
  run_input: "Where is my order? I have waited nine days.",
  content: "It is lost. A replacement leaves on Monday.",
  tools: [],
  created_at: new Date(100_000).toISOString(),
};

describe("a conversation", () => {
  it("joins the full texts of a run with its figures", () => {
    const [turn] = toTurns([RUN], [SUMMARY]);
    expect(turn).toMatchObject({
      input: "Where is my order? I have waited nine days.",
      answer: "It is lost. A replacement leaves on Monday.",
      componentName: "Support desk",
      cost: 0.0139,
      modelCalls: 3,
      toolCalls: 2,
      startedAt: 101,
    });
  });

  it("does not take a part of an answer for the whole, when the run has just finished", () => {
    const written: SessionRun = { ...RUN, status: "RUNNING", content: "It is" };
    expect(toTurns([written], [SUMMARY])[0]).toMatchObject({ status: "COMPLETED", isAnswerStale: true });
    expect(toTurns([RUN], [SUMMARY])[0]).toMatchObject({ isAnswerStale: false });
  });

  it("has the sources of the run and of its members", () => {
    const search = (query: string) => ({ query, references: ["A text"], time: 0.1 });
    const member: SessionRun = { ...RUN, run_id: "m1", parent_run_id: "r1", references: [search("of a member")] };
    const [turn] = toTurns([member, { ...RUN, references: [search("of the run")] }], [SUMMARY]);
    expect(turn?.searches.map(({ query }) => query)).toEqual(["of the run", "of a member"]);
  });

  it("counts members at any depth, and shows what a person decided in them", () => {
    const shipping: SessionRun = { ...RUN, run_id: "m1", parent_run_id: "r1", status: "ERROR" };
    const tools = [
      { tool_name: "refund_payment", confirmed: true, approval_id: "ap-refund" },
      { tool_name: "deploy", confirmed: false },
      { tool_name: "get_order", confirmed: null },
    ];
    const carrier: SessionRun = { ...RUN, run_id: "m2", parent_run_id: "m1", tools };
    const [turn] = toTurns([carrier, shipping, RUN], [SUMMARY]);
    expect(turn).toMatchObject({ members: 2, failedMembers: 1 });
    expect(turn?.decisions).toEqual([
      { tool: "refund_payment", approvalId: "ap-refund", isApproved: true },
      { tool: "deploy", approvalId: null, isApproved: false },
    ]);
  });

  it("shows a run that only the figures have yet, in the order of acceptance", () => {
    const queued: RunSummary = { ...SUMMARY, run_id: "r2", status: "PENDING", created_at: 120, queue_position: 1 };
    const turns = toTurns([RUN], [queued, SUMMARY]);
    expect(turns.map((turn) => [turn.runId, turn.status])).toEqual([
      ["r1", "COMPLETED"],
      ["r2", "PENDING"],
    ]);
    expect(turns[1]?.queuePosition).toBe(1);
  });

  it("leaves runs out whose texts are on an earlier page", () => {
    const older: RunSummary = { ...SUMMARY, run_id: "r0", created_at: 50 };
    expect(toTurns([RUN], [SUMMARY, older]).map((turn) => turn.runId)).toEqual(["r1"]);
  });

  it("shows the error of a failed run apart from an answer", () => {
    const failed: SessionRun = { ...RUN, status: "ERROR", content: "The model did not answer." };
    const [turn] = toTurns([failed], []);
    expect(turn).toMatchObject({ answer: "", outcome: "The model did not answer." });
  });

  it("shows an answer with a schema as JSON", () => {
    const [turn] = toTurns([{ ...RUN, content: { city: "Oslo" } }], [SUMMARY]);
    expect(turn).toMatchObject({ isJson: true, answer: '{\n  "city": "Oslo"\n}' });
  });
});

describe("the texts that runs are writing", () => {
  const delta = (content: string, own: Partial<TextEvent> = {}): TextEvent => {
    return { event: "TeamRunContent", run_id: "r1", nested_depth: 0, content, ...own };
  };
  const textAfter = (...events: TextEvent[]) => {
    const texts = new LiveTexts();
    texts.apply(events);
    return texts.of("r1");
  };

  it("join the deltas of each root run, without those of members", () => {
    const texts = new LiveTexts();
    texts.apply([delta("Hello "), delta("Hi", { run_id: "r2" }), delta("(member)", { run_id: "m1", nested_depth: 1 })]);
    texts.apply([delta("Mara")]);
    expect([texts.of("r1"), texts.of("r2"), texts.of("m1")]).toEqual(["Hello Mara", "Hi", ""]);
  });

  it("start anew with each model call, and drop what an attempt left behind", () => {
    const begins = (event: string) => ({ event, run_id: "r1", nested_depth: 0 });
    expect(textAfter(delta("Let me look."), begins("TeamModelRequestStarted"))).toBe("");
    expect(textAfter(delta("one"), begins("StepStarted"))).toBe("");
    const continued = (run_id: string) => ({ ...begins("TeamRunContinued"), superseded: [{ run_id }] });
    expect(textAfter(delta("Hello Ma"), continued("r1"), delta("Hello"))).toBe("Hello");
    expect(textAfter(delta("Hello Ma"), continued("m1"))).toBe("Hello Ma");
  });
});

it("sums the tokens of a session by model, most first", () => {
  const session = {
    session_id: "mara",
    session_name: "",
    created_at: "",
    updated_at: "",
    metrics: {
      details: {
        model: [
          { id: "gpt-5", total_tokens: 40 },
          { id: "gpt-5-mini", total_tokens: 30 },
        ],
        reasoning: [{ id: "gpt-5-mini", total_tokens: 20 }],
      },
    },
  };
  expect(tokensByModel(session)).toEqual([
    ["gpt-5-mini", 50],
    ["gpt-5", 40],
  ]);
});
