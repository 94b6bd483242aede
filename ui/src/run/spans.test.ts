import { expect, test } from "vitest";
import { busyRun, longRun, memberRun, runDetail, runStep, START } from "./fixtures";
import { RunFeed } from "./live/feed";
import type { RunEvent, RunStep } from "./model/types";
import { assignRows, downtimeSeconds, type Lane, listed, type Span, type Spans, takeovers, toSpans } from "./spans";
import { spanDescription } from "./timeline/describe";

function lane(spans: Spans, name: string): Lane {
  const lane = spans.lanes.find((one) => one.name === name);
  if (lane === undefined) throw new Error(`no lane ${name}`);
  return lane;
}

function event(index: number, name: string, runId: string, at: number, own: Partial<RunEvent> = {}): RunEvent {
  return { event: name, event_index: index, created_at: 0, at: START + at, run_id: runId, agent_name: runId, ...own };
}

test("each member has one lane, below its leader's, in the order in which they began", () => {
  const spans = toSpans(busyRun());
  expect(spans.lanes.map((one) => [one.name, one.depth, one.isLast])).toEqual([
    ["Support desk", 0, true],
    ["Orders", 1, false],
    ["Shipping", 1, false],
    ["Carrier", 2, false],
    ["Warehouse", 2, true],
    ["Billing", 1, true],
  ]);
  expect(lane(spans, "Shipping").runIds).toEqual(["shipping-1", "shipping-2"]);
  expect(lane(spans, "Warehouse").base).toHaveLength(2);
});

test("an attempt that was cut off ends when its process was lost, and the next one follows", () => {
  const spans = toSpans(busyRun());
  const bars = lane(spans, "Carrier").spans.filter((span) => span.kind === "tool");
  expect(bars.map((span) => [span.outcome, span.attempt])).toEqual([
    ["cut_off", 1],
    ["ok", 2],
  ]);
  expect((bars[0]?.end ?? 0) - START).toBeCloseTo(5.61);
  expect((bars[1]?.start ?? 0) - START).toBeCloseTo(12.55);
});

test("a call that a lost process cut off ends there, whatever a person decides about it later", () => {
  const run = runDetail({
    status: "COMPLETED",
    ended_at: START + 37,
    attempt_list: [
      { attempt: 1, worker_id: "w1", started_at: START, ended_at: START + 3.5, outcome: "lost" },
      { attempt: 2, worker_id: "w2", started_at: START + 14, ended_at: START + 14.2, outcome: "paused" },
      { attempt: 3, worker_id: "w2", started_at: START + 36, ended_at: START + 37, outcome: "ended" },
    ],
  });
  const cut = { attempt: 3, started_at: START + 0.1, ended_at: null, outcome: "unknown" as const };
  const call = runStep("t0/c0", 0.1, 36, { name: "charge", attempt: 3, attempts: [cut] });
  const settled = { outcome: "happened" as const, by: "Ida", at: START + 36.1 };
  const open = { ...call, state: "unknown" as const, ended_at: null };
  for (const step of [open, { ...call, settled }]) {
    const [bar] = toSpans({ run, steps: [step] }).lanes[0]?.spans ?? [];
    expect(bar).toMatchObject({ outcome: "cut_off", end: START + 3.5, attempt: 1, settled: step.settled });
  }
  const [bar] = toSpans({ run, steps: [{ ...call, settled }] }).lanes[0]?.spans ?? [];
  expect(spanDescription(bar as Span, START + 40)).toContain("cut off, result entered by Ida");
  expect(takeovers(run)).toBe(1);
});

test("a model call that failed has a notch for each try before the last, where it failed", () => {
  const failed = lane(toSpans(busyRun()), "Carrier").spans.find((span) => span.outcome === "failed");
  expect(failed?.retries.map((retry) => retry.at - START)).toEqual([expect.closeTo(16.65), expect.closeTo(18.15)]);
  expect(failed?.error).toBe("The model is overloaded.");
});

test("a call that waits for a person is a bar without an end, from the exact time of the question", () => {
  const { run, steps, approvals } = busyRun();
  const waiting = approvals.map((one) => ({ ...one, created_at: START + 28.3 }));
  const billing = lane(toSpans({ run, steps, approvals: waiting }), "Billing");
  const waits = billing.spans.filter((span) => span.kind === "wait");
  expect(waits).toHaveLength(1);
  expect(waits[0]).toMatchObject({ end: null, path: "t1/c1/t0/c0", approvalId: "ap-1", label: "refund_payment" });
  expect(billing.state).toBe("waiting");
  expect(billing.note).toBe("needs you: refund_payment");
});

test("without approvals the step itself says that it waits", () => {
  const { run, steps } = busyRun();
  const waits = lane(toSpans({ run, steps }), "Billing").spans.filter((span) => span.kind === "wait");
  expect(waits.map((span) => [span.start - START, span.end])).toEqual([[expect.closeTo(28.3), null]]);
});

test("a wait ends where the call that was approved begins", () => {
  const step = runStep("t0/c0", 30.25, 1, { name: "refund" });
  const approval = {
    id: "a",
    status: "approved",
    tool_name: "refund",
    created_at: START + 10,
    resolved_at: START + 30,
    step_path: "t0/c0",
  };
  const bars = toSpans({ run: runDetail(), steps: [step], approvals: [approval] }).lanes[0]?.spans;
  expect(bars?.map((span) => [span.kind, span.start - START, (span.end ?? 0) - START])).toEqual([
    ["wait", 10, expect.closeTo(30.25)],
    ["tool", expect.closeTo(30.25), expect.closeTo(31.25)],
  ]);
});

test("downtime lasts from the end of a lost attempt to the start of the next one", () => {
  const spans = toSpans(busyRun());
  expect(spans.downtime).toHaveLength(1);
  expect(downtimeSeconds(spans.downtime, 0)).toBeCloseTo(6.92);
});

test("a pause is no downtime, and a lost attempt without a successor is down until now", () => {
  const attempts = (outcome: "paused" | "lost") => [
    { attempt: 1, worker_id: null, started_at: START, ended_at: START + 5, outcome },
  ];
  const down = (outcome: "paused" | "lost") =>
    toSpans({ run: runDetail({ attempt_list: attempts(outcome) }), steps: [] }).downtime;
  expect(down("paused")).toEqual([]);
  expect(downtimeSeconds(down("lost"), START + 8)).toBeCloseTo(3);
});

test("delegations draw no bar of their own, unless no member's run came of them", () => {
  const delegated = runStep("t0/c0", 1, 5, { kind: "delegate", child_run_ids: ["a"] });
  const rejected = runStep("t0/c1", 1, 0.1, { kind: "delegate", state: "failed", name: "delegate_task_to_member" });
  const bars = toSpans({ run: runDetail(), steps: [delegated, rejected] }).lanes[0]?.spans;
  expect(bars?.map((span) => [span.path, span.outcome])).toEqual([["t0/c1", "failed"]]);
});

test("a leader's wait for its members is one bar that names them, from the first delegation to the last end", () => {
  const names = ["Billing", "Shipping", "Returns"];
  const members = names.map((name) => memberRun(name, name, { started_at: START + 1 }));
  const run = runDetail({ status: "COMPLETED", ended_at: START + 20, members });
  const delegation = (path: string, start: number, seconds: number, name: string) =>
    runStep(path, start, seconds, { kind: "delegate", tool_call_id: path, child_run_ids: [name] });
  const steps = [
    runStep("t0/m", 0, 1, { kind: "model" }),
    delegation("t0/c0", 1, 4, "Billing"),
    delegation("t0/c1", 1, 7, "Shipping"),
    runStep("t1/m", 8, 1, { kind: "model" }),
    delegation("t1/c0", 9, 3, "Returns"),
  ];
  const bars = (at = run) =>
    toSpans({ run: at, steps }).lanes[0]?.spans.filter((span) => span.kind === "members") ?? [];
  expect(bars().map((span) => [span.label, span.start - START, (span.end ?? 0) - START, span.row])).toEqual([
    ["waiting for Billing and Shipping", 1, 8, 0],
    ["waiting for Returns", 9, 12, 0],
  ]);
  const open = steps.map((step) =>
    step.path === "t1/c0" ? { ...step, state: "started" as const, ended_at: null } : step,
  );
  const live = toSpans({ run: { ...run, status: "RUNNING" }, steps: open }).lanes[0]?.spans.at(-1);
  expect([live?.label, live?.end, spanDescription(live as Span, START + 11)]).toEqual([
    "waiting for Returns",
    null,
    expect.stringContaining("waiting, 2.00\u202fs"),
  ]);
});

test("a fork shows what it did itself, from its own start", () => {
  const run = runDetail({ forked_from: "r0", status: "COMPLETED", started_at: START + 100, ended_at: START + 103 });
  const old = runStep("t0/m", 1, 5, { kind: "model", attempt: 0, cost: 0.5 });
  const own = runStep("t1/m", 100, 2, { kind: "model", cost: 0.1 });
  const spans = toSpans({ run, steps: [old, own] });
  expect([spans.start, spans.end]).toEqual([START + 100, START + 103]);
  expect(spans.lanes[0]?.spans.map((span) => span.path)).toEqual(["t1/m"]);
  expect(spans.lanes[0]?.cost).toBe(0.1);
});

test("a step that was under way when its run ended was cut off there", () => {
  const open = runStep("t0/c0", 1, 0, { state: "started", ended_at: null, attempts: [] });
  const run = runDetail({ status: "CANCELLED", ended_at: START + 9 });
  const [bar] = toSpans({ run, steps: [open] }).lanes[0]?.spans ?? [];
  expect(bar).toMatchObject({ outcome: "cut_off", end: START + 9 });
});

test("a model call that was cancelled was cut off where it was stopped", () => {
  const call = runStep("t0/m", 1, 2, { kind: "model", state: "cancelled" });
  const run = runDetail({ status: "CANCELLED", ended_at: START + 9 });
  const [bar] = toSpans({ run, steps: [call] }).lanes[0]?.spans ?? [];
  expect(bar).toMatchObject({ outcome: "cut_off", end: START + 3 });
});

test("parallel tools stand in rows below each other, and later ones use the free rows", () => {
  const orders = lane(toSpans(busyRun()), "Orders");
  expect(orders.spans.filter((span) => span.kind === "tool").map((span) => span.row)).toEqual([1, 2, 3]);
  expect(orders.rows).toBe(4);
  expect(orders.spans.filter((span) => span.kind === "model").every((span) => span.row === 0)).toBe(true);
});

test("two runs of one member at a time do not cover each other", () => {
  const bars = [0, 0.5].map((start, i) => {
    const [span] =
      toSpans({ run: runDetail(), steps: [runStep(`t${i}/m`, start, 1, { kind: "model" })] }).lanes[0]?.spans ?? [];
    if (span === undefined) throw new Error("no bar");
    return span;
  });
  expect(assignRows(bars)).toBe(2);
  expect(bars.map((span) => span.row)).toEqual([0, 1]);
});

test("events show the model call that is out, which no step has yet", () => {
  const { run, steps, events } = busyRun();
  const feed = new RunFeed(run.run_id);
  feed.apply(events);
  const shipping = lane(toSpans({ run, steps, feed }), "Shipping");
  const open = shipping.spans.filter((span) => span.end === null);
  expect(open.map((span) => [span.kind, span.label, span.path])).toEqual([["model", "gpt-5-mini, writing", null]]);
  expect(shipping.note).toBe("writing");
});

test("one bar shows all tries of a call, also of those that failed in the middle of their answers", () => {
  const feed = new RunFeed("run-4417");
  const superseded = [{ run_id: "run-4417", from_event_index: 0 }];
  feed.apply([
    event(0, "TeamModelRequestStarted", "run-4417", 1, { model: "gpt-5" }),
    event(1, "TeamRunContent", "run-4417", 2, { content: "half" }),
    event(2, "TeamModelRequestRetried", "run-4417", 62, { try: 1, wait_seconds: 0.5, reason: "silent for 60 s" }),
    event(3, "TeamRunContinued", "run-4417", 62, { reason: "model_retry", superseded }),
    event(4, "TeamModelRequestStarted", "run-4417", 62, { model: "gpt-5" }),
  ]);
  const bars = toSpans({ run: runDetail(), steps: [], feed }).lanes[0]?.spans ?? [];
  expect(bars).toMatchObject([{ outcome: "running", start: START + 1, end: null, tries: 2, retries: [{ number: 1 }] }]);
});

test("the time in which a model is loaded is a bar of its own before the call", () => {
  const feed = new RunFeed("run-4417");
  feed.apply([
    event(0, "TeamModelRequestStarted", "run-4417", 1, { model: "local" }),
    event(1, "TeamModelLoadingStarted", "run-4417", 1),
  ]);
  const bars = (steps: RunStep[] = []): Partial<Span>[] =>
    (toSpans({ run: runDetail(), steps, feed }).lanes[0]?.spans ?? []).map(({ kind, label, outcome, start, end }) => ({
      kind,
      label,
      outcome,
      start: start - START,
      end: end === null ? null : end - START,
    }));
  const loading = { kind: "loading", label: "loading the model", start: 1 };
  expect(bars()).toEqual([{ ...loading, outcome: "running", end: null }]);
  expect(toSpans({ run: runDetail(), steps: [], feed }).lanes[0]?.note).toBe("loading the model");
  feed.apply([event(2, "TeamModelLoadingCompleted", "run-4417", 21)]);
  const loaded = { ...loading, outcome: "ok", end: 21 };
  expect(bars()).toEqual([loaded, { kind: "model", label: "local", outcome: "running", start: 21, end: null }]);
  feed.apply([event(3, "TeamModelRequestCompleted", "run-4417", 30)]);
  const steps = [
    runStep("t0/m/load", 1, 20, { kind: "load", name: "local" }),
    runStep("t0/m", 21, 9, { kind: "model", name: "local" }),
  ];
  expect(bars(steps)).toEqual([loaded, { kind: "model", label: "local", outcome: "ok", start: 21, end: 30 }]);
});

test("a call whose process was lost while the model was being loaded has one bar, which says so", () => {
  const feed = new RunFeed("run-4417");
  feed.apply([
    event(0, "TeamModelRequestStarted", "run-4417", 1, { model: "local" }),
    event(1, "TeamModelLoadingStarted", "run-4417", 1),
    event(2, "TeamRunContinued", "run-4417", 9, { reason: "recovered", attempt: 2, superseded: [] }),
    event(3, "TeamModelRequestStarted", "run-4417", 10, { model: "local" }),
  ]);
  const step = runStep("t0/m", 10, 5, {
    kind: "model",
    name: "local",
    attempt: 2,
    attempts: [
      { attempt: 1, started_at: START + 1, ended_at: null, outcome: "cut_off" },
      { attempt: 2, started_at: START + 10, ended_at: START + 15, outcome: "completed" },
    ],
  });
  const bars = toSpans({ run: runDetail(), steps: [step], feed }).lanes[0]?.spans ?? [];
  expect(bars.map(({ kind, outcome }) => [kind, outcome])).toEqual([
    ["loading", "cut_off"],
    ["model", "ok"],
  ]);
});

test("a model call ends where its process was lost, before an event says so", () => {
  const feed = new RunFeed("run-4417");
  feed.apply([
    event(0, "TeamModelRequestStarted", "run-4417", 1, { model: "gpt-5" }),
    event(1, "TeamRunContent", "run-4417", 2, { content: "I am" }),
  ]);
  const lost = { attempt: 1, worker_id: null, started_at: START, ended_at: START + 5, outcome: "lost" as const };
  const [bar] = toSpans({ run: runDetail({ attempt_list: [lost] }), steps: [], feed }).lanes[0]?.spans ?? [];
  expect(bar).toMatchObject({ kind: "model", label: "gpt-5", outcome: "cut_off", end: START + 5 });
});

test("what is stored is not drawn twice when events tell of it too", () => {
  const { run, steps, events } = busyRun();
  const feed = new RunFeed(run.run_id);
  feed.apply(events);
  const without = lane(toSpans({ run, steps }), "Orders").spans.length;
  expect(lane(toSpans({ run, steps, feed }), "Orders").spans).toHaveLength(without);
});

test("a tool call that its events have ended is closed before its step is read again", () => {
  const started = runStep("t0/c0", 1, 0, { state: "started", ended_at: null, tool_call_id: "c", attempts: [] });
  const feed = new RunFeed("run-4417");
  const tool = {
    tool_call_id: "c",
    tool_name: "lookup",
    tool_args: {},
    tool_call_error: true,
    result: "broken",
    metrics: { start_time: START + 1, end_time: START + 2, duration: 1 },
    child_run_id: null,
  };
  feed.apply([
    event(0, "TeamToolCallStarted", "run-4417", 1, { tool: { ...tool, metrics: null, result: null } }),
    event(1, "TeamToolCallCompleted", "run-4417", 2, { tool }),
  ]);
  const [bar, ...others] = toSpans({ run: runDetail(), steps: [started], feed }).lanes[0]?.spans ?? [];
  expect(others).toEqual([]);
  expect(bar).toMatchObject({ outcome: "failed", end: START + 2, error: "broken" });
});

test("a member that began a moment ago has a lane before the run is read again", () => {
  const feed = new RunFeed("run-4417");
  feed.apply([
    event(0, "RunStarted", "m1", 1, {
      parent_run_id: "run-4417",
      agent_id: "orders",
      agent_name: "Orders",
      model: "gpt-5-mini",
    }),
    event(1, "ModelRequestStarted", "m1", 1, { model: "gpt-5-mini" }),
  ]);
  const orders = lane(toSpans({ run: runDetail(), steps: [], feed }), "Orders");
  expect(orders).toMatchObject({ depth: 1, state: "running", note: "thinking" });
});

test("the cost of a lane is that of its own model calls", () => {
  const spans = toSpans(busyRun());
  expect(spans.lanes.map((one) => one.cost?.toFixed(4))).toEqual([
    "0.0080",
    "0.0004",
    "0.0008",
    "0.0001",
    "0.0005",
    "0.0001",
  ]);
});

test("the tokens of a lane are those of its own model calls", () => {
  const usage = { input_tokens: 100, output_tokens: 20 };
  const steps = [
    runStep("t0/m", 1, 1, { kind: "model", usage }),
    runStep("t1/m", 3, 1, { kind: "model", usage }),
    runStep("t2/m", 5, 1, { kind: "model", usage, attempt: 0 }),
  ];
  expect(toSpans({ run: runDetail(), steps }).lanes[0]?.tokens).toBe(240);
});

test("a leader says for whom it waits", () => {
  const run = runDetail({
    members: ["Orders", "Shipping"].map((name) => memberRun(name, name, { status: "RUNNING", started_at: START })),
  });
  expect(toSpans({ run, steps: [] }).lanes[0]?.note).toBe("waits for Orders and Shipping");
  expect(listed(["a", "b", "c", "d"])).toBe("a, b and 2 more");
});

test("a run of 20,000 events has one bar for each step, though events tell of it too", () => {
  const { run, steps, events } = longRun(20_000);
  const feed = new RunFeed(run.run_id);
  feed.apply(events);
  const spans = toSpans({ run, steps, feed });
  expect(spans.lanes.reduce((sum, one) => sum + one.spans.length, 0)).toBe(steps.length);
}, 30_000);

test("a workflow's lanes name their steps, and its own lane has its containers and functions", () => {
  const run = runDetail({
    team_id: undefined,
    team_name: undefined,
    workflow_id: "article",
    workflow_name: "Article",
    members: [memberRun("writer-1", "Writer", { parent_run_id: "run-4417", path: "s0/i0/s0" })],
  });
  const steps = [
    runStep("s0/i0/s0", 1, 2, { kind: "delegate", name: "draft", child_run_ids: ["writer-1"] }),
    runStep("s0/i0/c", 3, 0.1, { kind: "choice", name: "drafts" }),
    runStep("s1", 4, 1, { kind: "function", name: "collect" }),
  ];
  const feed = new RunFeed("run-4417");
  const own = { agent_name: undefined, workflow_id: "article", step_id: "1", step_name: "drafts" };
  feed.apply([
    event(0, "LoopExecutionStarted", "run-4417", 1, own),
    event(1, "LoopExecutionCompleted", "run-4417", 3.2, own),
  ]);
  const spans = toSpans({ run, steps, feed });
  expect(lane(spans, "Writer").step).toBe("draft");
  expect(lane(spans, "Article").spans.map((span) => [span.kind, span.label, span.row])).toEqual([
    ["container", "drafts", 0],
    ["choice", "drafts", 1],
    ["function", "collect", 1],
  ]);
});

test("containers are drawn from the events that are left once the pieces of texts are joined", () => {
  const run = runDetail({ workflow_id: "article", status: "COMPLETED", ended_at: START + 9 });
  const own = { agent_name: undefined, workflow_id: "article", step_id: "1", step_name: "reviews" };
  const feed = new RunFeed("run-4417");
  feed.apply([
    event(3, "ParallelExecutionStarted", "run-4417", 1, own),
    event(812, "RunContent", "writer", 5, { content: "All of a text in one piece.", parent_run_id: "run-4417" }),
    event(815, "ParallelExecutionCompleted", "run-4417", 6, own),
  ]);
  const bars = toSpans({ run, steps: [], feed }).lanes[0]?.spans ?? [];
  expect(bars.map((span) => [span.kind, span.label, (span.end ?? 0) - START])).toEqual([["container", "reviews", 6]]);
});

test("a search before the first turn is a call", () => {
  const steps = [runStep("p/knowledge", 1, 2, { kind: "retrieve", name: "handbook" })];
  const { lanes } = toSpans({ run: runDetail(), steps });
  expect(lanes[0]?.spans.map((span) => [span.kind, span.label])).toEqual([["tool", "search handbook"]]);
});

test("a step's question that was answered is one bar", () => {
  const run = runDetail({ workflow_id: "article", status: "COMPLETED", ended_at: START + 9 });
  const steps = [runStep("s0/q", 1, 3, { kind: "ask", name: "publish" })];
  const approval = {
    id: "ap-1",
    status: "approved",
    tool_name: "publish",
    created_at: START + 1,
    resolved_at: START + 4,
    step_path: "s0/q",
  };
  const spans = toSpans({ run, steps, approvals: [approval] }).lanes.flatMap((one) => one.spans);
  expect(spans.map((span) => [span.kind, span.label])).toEqual([["wait", "publish"]]);
});
