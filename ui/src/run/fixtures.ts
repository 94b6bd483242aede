/** Runs for tests: one with everything that can happen to it, and one as long as one likes. */
import type { MemberRun, RunDetail, RunEvent, RunStatus, RunStep, StepAttempt } from "./model/types";

/** When the run began. */
export const START = 1_795_740_432;

export function runDetail(own: Partial<RunDetail> = {}): RunDetail {
  return {
    run_id: "run-4417",
    root_run_id: "run-4417",
    session_id: "mara",
    user_id: "mara",
    team_id: "support",
    team_name: "Support desk",
    input: { input_content: "Where is my order 4417? I have waited nine days. Please fix it today." },
    model: "gpt-5",
    status: "RUNNING",
    created_at: START,
    queued_at: START,
    started_at: START,
    attempts: 1,
    totals: null,
    activity: null,
    attempt_list: [{ attempt: 1, worker_id: "w1", started_at: START, ended_at: null, outcome: "running" }],
    waiting: 0,
    runs_behind: 0,
    forks: [],
    members: [],
    ...own,
  };
}

export function memberRun(runId: string, name: string, own: Partial<MemberRun> = {}): MemberRun {
  return {
    run_id: runId,
    parent_run_id: "run-4417",
    path: "t0/c0",
    component_kind: "agent",
    component_id: name.toLowerCase(),
    name,
    model: "gpt-5-mini",
    status: "COMPLETED",
    task: "",
    started_at: START,
    ended_at: null,
    outcome: null,
    ...own,
  };
}

/** A completed step that began `start` seconds after the run. */
export function runStep(path: string, start: number, seconds: number, own: Partial<RunStep> = {}): RunStep {
  const startedAt = START + start;
  const endedAt = START + start + seconds;
  return {
    path,
    kind: "tool",
    state: "completed",
    attempt: 1,
    started_at: startedAt,
    ended_at: endedAt,
    usage: null,
    cost: null,
    name: "lookup",
    run_id: "run-4417",
    parent_path: null,
    tool_call_id: null,
    child_run_ids: [],
    approval_id: null,
    error: null,
    tries: 1,
    attempts: [{ attempt: 1, started_at: startedAt, ended_at: endedAt, outcome: "completed" }],
    first_token_seconds: null,
    retries: [],
    settled: null,
    ...own,
  };
}

function model(
  runId: string,
  path: string,
  start: number,
  seconds: number,
  cost: number,
  own: Partial<RunStep> = {},
): RunStep {
  return runStep(path, start, seconds, {
    kind: "model",
    name: runId === "run-4417" ? "gpt-5" : "gpt-5-mini",
    run_id: runId,
    cost,
    usage: { input_tokens: 312, output_tokens: 78 },
    ...own,
  });
}

function tool(
  runId: string,
  path: string,
  name: string,
  start: number,
  seconds: number,
  own: Partial<RunStep> = {},
): RunStep {
  return runStep(path, start, seconds, { name, run_id: runId, tool_call_id: `call ${path}`, ...own });
}

/** The attempts of a step that was cut off at 5.61 s and made again. */
function cutOff(from: number, again: number, seconds: number): StepAttempt[] {
  return [
    { attempt: 1, started_at: START + from, ended_at: null, outcome: "cut_off" },
    { attempt: 2, started_at: START + again, ended_at: START + again + seconds, outcome: "completed" },
  ];
}

/**
 * A run 42 s after its start: 3 members, one of them a team with 2 members; a process was lost at 5.61 s and another
 * went on at 12.53 s; a member failed, one writes, one waits for a person.
 */
export function busyRun(): { run: RunDetail; steps: RunStep[]; approvals: BusyApproval[]; events: RunEvent[] } {
  const member = (
    id: string,
    name: string,
    path: string,
    parent: string,
    from: number,
    to: number | null,
    own: Partial<MemberRun>,
  ) =>
    memberRun(id, name, {
      path,
      parent_run_id: parent,
      started_at: START + from,
      ended_at: to === null ? null : START + to,
      status: to === null ? "RUNNING" : "COMPLETED",
      ...own,
    });
  const run = runDetail({
    attempts: 2,
    waiting: 1,
    totals: {
      input_tokens: 4699,
      output_tokens: 1173,
      reasoning_tokens: 0,
      cache_read_tokens: 0,
      cache_write_tokens: 0,
      cost: 0.0099,
      model_calls: 15,
      tool_calls: 8,
      delegations: 0,
      failed_calls: 1,
    },
    attempt_list: [
      { attempt: 1, worker_id: "w1", started_at: START, ended_at: START + 5.61, outcome: "lost" },
      { attempt: 2, worker_id: "w2", started_at: START + 12.53, ended_at: null, outcome: "running" },
    ],
    members: [
      member("orders", "Orders", "t0/c0", "run-4417", 1.74, 15.49, {
        outcome: "paid in full, window open",
        task: "Is order 4417 paid, and is the complaint window open?",
      }),
      member("shipping-1", "Shipping", "t0/c1", "run-4417", 1.74, 24.1, {
        component_kind: "team",
        outcome: "lost in transit",
        task: "Where is the parcel of order 4417?",
      }),
      member("carrier", "Carrier", "t0/c1/t0/c0", "shipping-1", 3.1, 20.58, {
        status: "ERROR",
        outcome: "the model is overloaded",
        task: "Track SE4417-88120",
      }),
      member("warehouse-1", "Warehouse", "t0/c1/t0/c1", "shipping-1", 3.1, 14.98, {
        outcome: "7 in stock",
        task: "Is NX2-BLK in stock?",
      }),
      member("shipping-2", "Shipping", "t1/c0", "run-4417", 26.92, null, {
        component_kind: "team",
        task: "Send a replacement and write the handover note.",
      }),
      member("warehouse-2", "Warehouse", "t1/c0/t0/c0", "shipping-2", 28.03, 31.05, {
        outcome: "reserved R-20931",
        task: "Reserve one NX2-BLK",
      }),
      member("billing", "Billing", "t1/c1", "run-4417", 26.91, null, {
        status: "PAUSED",
        task: "Refund the shipping fee.",
      }),
    ],
  });
  const steps = [
    model("run-4417", "t0/m", 0, 1.73, 0.004),
    model("orders", "t0/c0/t0/m", 1.74, 1.08, 0.0001),
    tool("orders", "t0/c0/t0/c0", "get_customer", 2.82, 0.411),
    tool("orders", "t0/c0/t0/c1", "get_order", 2.82, 0.621),
    tool("orders", "t0/c0/t0/c2", "list_payments", 2.82, 1.35),
    model("orders", "t0/c0/t1/m", 12.53, 2.96, 0.0003, { attempt: 2, attempts: cutOff(4.18, 12.53, 2.96) }),
    model("shipping-1", "t0/c1/t0/m", 1.74, 1.35, 0.0002),
    model("shipping-1", "t0/c1/t1/m", 20.58, 3.52, 0.0003),
    model("carrier", "t0/c1/t0/c0/t0/m", 3.1, 0.977, 0.0001),
    tool("carrier", "t0/c1/t0/c0/t0/c0", "track_parcel", 12.55, 3.2, {
      attempt: 2,
      parent_path: "t0/c1/t0/c0",
      attempts: cutOff(4.07, 12.55, 3.2),
    }),
    model("carrier", "t0/c1/t0/c0/t1/m", 15.75, 4.82, 0, {
      state: "failed",
      cost: null,
      usage: null,
      tries: 3,
      retries: [0.9, 2.4].map((seconds) => ({
        failed_at: START + 15.75 + seconds,
        wait_seconds: 0.5,
        reason: "The model is overloaded.",
      })),
      attempt: 2,
      error: { code: "model_error", message: "The model is overloaded." },
      attempts: [{ attempt: 2, started_at: START + 15.75, ended_at: START + 20.57, outcome: "failed" }],
    }),
    model("warehouse-1", "t0/c1/t0/c1/t0/m", 3.1, 0.948, 0.0001),
    tool("warehouse-1", "t0/c1/t0/c1/t0/c0", "stock_level", 4.05, 0.502),
    tool("warehouse-1", "t0/c1/t0/c1/t0/c1", "next_pickup", 4.05, 0.902),
    model("warehouse-1", "t0/c1/t0/c1/t1/m", 12.55, 2.42, 0.0001, { attempt: 2, attempts: cutOff(4.95, 12.55, 2.42) }),
    model("run-4417", "t1/m", 24.1, 2.8, 0.004),
    model("shipping-2", "t1/c0/t0/m", 26.92, 1.11, 0.0003),
    model("warehouse-2", "t1/c0/t0/c0/t0/m", 28.03, 0.914, 0.0001),
    tool("warehouse-2", "t1/c0/t0/c0/t0/c0", "reserve_item", 28.94, 0.714),
    model("warehouse-2", "t1/c0/t0/c0/t1/m", 29.67, 1.38, 0.0002),
    model("billing", "t1/c1/t0/m", 26.91, 1.39, 0.0001),
    tool("billing", "t1/c1/t0/c0", "refund_payment", 28.3, 0, {
      state: "waiting",
      ended_at: null,
      approval_id: "ap-1",
      attempts: [{ attempt: 2, started_at: START + 28.3, ended_at: null, outcome: "waiting" }],
    }),
  ];
  return { run, steps, approvals: [busyApproval()], events: busyEvents() };
}

export type BusyApproval = ReturnType<typeof busyApproval>;

function busyApproval() {
  return {
    id: "ap-1",
    run_id: "run-4417",
    session_id: "mara",
    status: "pending" as const,
    source_type: "team",
    approval_type: null,
    pause_type: "confirmation" as const,
    tool_name: "refund_payment",
    tool_args: { order_id: "4417", amount_eur: 14.9, reason: "Parcel lost in transit" },
    expires_at: START + 4 * 3600,
    agent_id: "billing",
    team_id: "support",
    user_id: "mara",
    source_name: "Support desk",
    requirements: [
      { id: "ap-1", kind: "confirmation" as const, created_at: new Date((START + 28.3) * 1000).toISOString() },
    ],
    context: null,
    resolution_data: null,
    resolved_by: null,
    resolved_at: null,
    created_at: START + 28,
    updated_at: null,
    run_status: "RUNNING" as const,
    member_name: "Billing",
    member_run_id: "billing",
    task: "Refund the shipping fee.",
    tool_description: "Pay money back to the card that paid.",
    step_path: "t1/c1/t0/c0",
    default_decision: "reject" as const,
  };
}

const NOTE =
  "Handover note for the warehouse, order 4417:\n\n1. Pick one Nordlys X2 (SKU NX2-BLK) from bay C-14; reservation R-20931 holds it until Tuesday 18:00.\n2. Pack with the padded insert, because the first parcel of this order is treated as lost and the customer has waited nine days.\n3. Ship by express with signature, and put the new tracking number";

function busyEvents(): RunEvent[] {
  const events: RunEvent[] = [];
  const add = (event: string, runId: string, name: string, at: number, own: Partial<RunEvent> = {}): void => {
    const isTeam = event.startsWith("Team");
    events.push({
      event,
      event_index: events.length,
      created_at: Math.floor(START + at),
      at: START + at,
      run_id: runId,
      session_id: "mara",
      nested_depth: runId === "run-4417" ? 0 : 1,
      ...(isTeam
        ? { team_id: name.toLowerCase(), team_name: name }
        : { agent_id: name.toLowerCase(), agent_name: name }),
      ...(runId === "run-4417" ? {} : { parent_run_id: "run-4417" }),
      ...own,
    });
  };
  const tool = (id: string, name: string, args: Record<string, unknown>, own: object = {}) => ({
    tool: {
      tool_call_id: id,
      tool_name: name,
      tool_args: args,
      tool_call_error: null,
      result: null,
      metrics: null,
      child_run_id: null,
      ...own,
    },
  });
  add("TeamRunStarted", "run-4417", "Support desk", 0, { model: "gpt-5" });
  add("TeamModelRequestStarted", "run-4417", "Support desk", 0, { model: "gpt-5" });
  add("TeamRunContent", "run-4417", "Support desk", 1.2, {
    content: "I ask **Orders** and **Shipping** at the same time.",
  });
  add("TeamModelRequestCompleted", "run-4417", "Support desk", 1.73, {
    model: "gpt-5",
    input_tokens: 412,
    output_tokens: 61,
  });
  add("RunStarted", "orders", "Orders", 1.74, { model: "gpt-5-mini" });
  add("ModelRequestStarted", "orders", "Orders", 1.74, { model: "gpt-5-mini" });
  add("ModelRequestCompleted", "orders", "Orders", 2.82, { model: "gpt-5-mini", input_tokens: 210, output_tokens: 40 });
  add("ToolCallStarted", "orders", "Orders", 2.82, tool("call t0/c0/t0/c1", "get_order", { order_id: "4417" }));
  add("ToolCallCompleted", "orders", "Orders", 3.44, {
    ...tool(
      "call t0/c0/t0/c1",
      "get_order",
      { order_id: "4417" },
      {
        tool_call_error: false,
        result: '{"order_id": "4417", "paid": true, "items": [{"sku": "NX2-BLK", "quantity": 1}]}',
        metrics: { start_time: START + 2.82, end_time: START + 3.441, duration: 0.621 },
      },
    ),
  });
  add("ModelRequestStarted", "orders", "Orders", 4.18, { model: "gpt-5-mini" });
  add("RunContent", "orders", "Orders", 5.2, { content: "The order is paid, and the compl" });
  const voidFrom = events.length - 2;
  add("TeamRunContinued", "run-4417", "Support desk", 12.53, {
    attempt: 2,
    reason: "recovered",
    superseded: [{ run_id: "orders", path: "t0/c0", from_event_index: voidFrom }],
  });
  add("ModelRequestStarted", "orders", "Orders", 12.53, { model: "gpt-5-mini" });
  add("RunContent", "orders", "Orders", 14, {
    content: "The order is paid in full, and the complaint window is open until Friday.",
  });
  add("ModelRequestCompleted", "orders", "Orders", 15.49, {
    model: "gpt-5-mini",
    input_tokens: 330,
    output_tokens: 52,
  });
  add("RunCompleted", "orders", "Orders", 15.49, {
    content: "The order is paid in full, and the complaint window is open until Friday.",
  });
  add("TeamRunStarted", "shipping-2", "Shipping", 26.92, { model: "gpt-5-mini" });
  add("TeamModelRequestStarted", "shipping-2", "Shipping", 31.05, { model: "gpt-5-mini" });
  for (const [i, part] of NOTE.split(/(?<= )/).entries()) {
    add("TeamRunContent", "shipping-2", "Shipping", 31.3 + i * 0.1, { content: part });
  }
  return events;
}

/** A run of so many events, with as many bars as a real one has. */
export function longRun(
  eventCount: number,
  memberCount = 40,
): { run: RunDetail; steps: RunStep[]; events: RunEvent[] } {
  const members: MemberRun[] = [];
  const steps: RunStep[] = [];
  const events: RunEvent[] = [];
  const random = seeded(4417);
  const clocks: number[] = [];
  const rounds = Math.max(1, Math.floor(eventCount / memberCount / 5));
  const status: RunStatus = "COMPLETED";
  for (let m = 0; m < memberCount; m++) {
    const id = `member-${m}`;
    members.push(memberRun(id, `Member ${m}`, { path: `t0/c${m}`, status, component_id: id, outcome: "done" }));
    clocks.push(random() * 4);
    events.push(longEvent("RunStarted", id, events.length, clocks[m] as number, { model: "gpt-5-mini" }));
  }
  for (let round = 0; round < rounds; round++) {
    for (let m = 0; m < memberCount; m++) {
      const id = `member-${m}`;
      const at = clocks[m] as number;
      const seconds = 0.2 + random() * 1.5;
      const path = `t0/c${m}/t${round}`;
      steps.push(model(id, `${path}/m`, at, seconds, 0.0001));
      events.push(longEvent("ModelRequestStarted", id, events.length, at, { model: "gpt-5-mini" }));
      events.push(
        longEvent("RunContent", id, events.length, at + seconds / 2, { content: `Round ${round} of member ${m}. ` }),
      );
      events.push(longEvent("ModelRequestCompleted", id, events.length, at + seconds, { model: "gpt-5-mini" }));
      const took = 0.05 + random() * 0.8;
      const isFailed = random() < 0.01;
      steps.push(tool(id, `${path}/c0`, "lookup", at + seconds, took, isFailed ? { state: "failed" } : {}));
      const call = {
        tool_call_id: `call ${path}/c0`,
        tool_name: "lookup",
        tool_args: { round },
        tool_call_error: isFailed,
        result: "{}",
        metrics: null,
        child_run_id: null,
      };
      events.push(longEvent("ToolCallStarted", id, events.length, at + seconds, { tool: { ...call, result: null } }));
      events.push(longEvent("ToolCallCompleted", id, events.length, at + seconds + took, { tool: call }));
      clocks[m] = at + seconds + took + random() * 0.3;
    }
  }
  const end = Math.max(...clocks);
  for (const [m, member] of members.entries()) member.ended_at = START + (clocks[m] as number);
  const run = runDetail({ status, ended_at: START + end, members, content: "Done." });
  events.push({
    ...longEvent("TeamRunCompleted", run.run_id, events.length, end, { content: "Done." }),
    nested_depth: 0,
  });
  return { run, steps, events };
}

function longEvent(event: string, runId: string, index: number, at: number, own: Partial<RunEvent>): RunEvent {
  return {
    event,
    event_index: index,
    created_at: Math.floor(START + at),
    at: START + at,
    run_id: runId,
    parent_run_id: "run-4417",
    session_id: "mara",
    nested_depth: 1,
    agent_id: runId,
    agent_name: runId.replace("member-", "Member "),
    ...own,
  };
}

/** The same numbers in every run of the tests. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}
