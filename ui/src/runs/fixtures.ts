/** Runs as the server lists them, for tests. */
import type { RunSummary, Totals } from "../api/types";

export const TOTALS: Totals = {
  input_tokens: 4_699,
  output_tokens: 1_173,
  reasoning_tokens: 0,
  cache_read_tokens: 0,
  cache_write_tokens: 0,
  cost: 0.0099,
  model_calls: 15,
  tool_calls: 8,
  delegations: 0,
  failed_calls: 1,
};

export function runOf(change: Partial<RunSummary> = {}): RunSummary {
  return {
    run_id: "run-1",
    component_kind: "team",
    component_id: "support-desk",
    component_name: "Support desk",
    session_id: "s1",
    session_name: "Order 4417",
    user_id: "mara",
    status: "RUNNING",
    input: "Where is my order 4417?",
    outcome: null,
    created_at: 1_000,
    queued_at: 1_000,
    started_at: 1_000.5,
    ended_at: null,
    attempts: 1,
    queue_position: null,
    waiting: 0,
    activity: null,
    totals: TOTALS,
    cancel_requested_at: null,
    ...change,
  };
}

export function completedRun(change: Partial<RunSummary> = {}): RunSummary {
  return runOf({
    run_id: "run-0",
    status: "COMPLETED",
    outcome: "Delivered on 12 November.",
    ended_at: 1_004,
    ...change,
  });
}
