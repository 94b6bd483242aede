/** When the calls of the transcript began and ended, and what came of them: as the timeline has it. */
import type { RunStep } from "../model/types";
import type { Span, Spans } from "../spans";
import { outcomeText } from "../timeline/describe";

export interface CallFacts {
  start: number;
  end: number | null;
  /** What to say of a call that did not simply complete; empty if it did. */
  outcome: string;
  isFailed: boolean;
}

/** The facts of each stored call, by {@link callKey}. */
export function callsOf(steps: readonly RunStep[], spans: Spans): Map<string, CallFacts> {
  const bars = new Map<string, Span>();
  for (const lane of spans.lanes) {
    for (const span of lane.spans) if (span.kind === "tool" && span.path !== null) bars.set(span.path, span);
  }
  const calls = new Map<string, CallFacts>();
  for (const step of steps) {
    if (step.tool_call_id === null) continue;
    const bar = bars.get(step.path);
    const isSimple = bar === undefined || (bar.outcome === "ok" && bar.settled === null);
    calls.set(callKey(step.run_id, step.tool_call_id), {
      start: bar?.start ?? step.started_at,
      end: bar === undefined ? step.ended_at : bar.end,
      outcome: isSimple ? "" : outcomeText(bar),
      isFailed: bar?.outcome === "failed" && bar.settled === null,
    });
  }
  return calls;
}

export function callKey(runId: string, callId: string): string {
  return `${runId} ${callId}`;
}
