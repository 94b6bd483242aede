/** The figures of a run with all its members, counted from what the lanes show. */
import type { RunStep, Totals } from "./model/types";
import { costOf, DELEGATIONS, isTakenOver, type Span, type Spans } from "./spans";

export interface Figures {
  inputTokens: number;
  outputTokens: number;
  /** Null if a model has no list price; undefined until a model call has ended. */
  cost: number | null | undefined;
  modelCalls: number;
  failedModelCalls: number;
  openModelCalls: number;
  cutOffModelCalls: number;
  /** Without delegations. */
  toolCalls: number;
  failedToolCalls: number;
  delegations: number;
}

/** The same rules as those of the server's totals, applied to steps and to the events after them. */
export function figuresOf(spans: Spans, steps: readonly RunStep[]): Figures {
  const all = spans.lanes.flatMap((lane) => lane.spans);
  const models = all.filter(isModelCall);
  const tools = all.filter((span) => span.kind === "tool" && !DELEGATIONS.has(span.label));
  const used = all.flatMap(({ usage }) => usage ?? []);
  return {
    inputTokens: sum(used.map(({ input }) => input)),
    outputTokens: sum(used.map(({ output }) => output)),
    cost: costOf(all),
    modelCalls: count(models, "ok") + count(models, "failed"),
    failedModelCalls: count(models, "failed"),
    openModelCalls: count(models, "running"),
    cutOffModelCalls: count(models, "cut_off"),
    toolCalls: count(tools, "ok") + count(tools, "failed"),
    failedToolCalls: count(tools, "failed"),
    delegations: steps.filter(isEndedDelegation).length,
  };
}

/** The server's totals in place of what was counted: before the steps are read, and once they do not change. */
export function withTotals(figures: Figures, totals: Totals): Figures {
  return {
    ...figures,
    inputTokens: totals.input_tokens,
    outputTokens: totals.output_tokens,
    cost: totals.cost,
    modelCalls: totals.model_calls,
    toolCalls: totals.tool_calls - totals.delegations,
    failedToolCalls: Math.max(0, totals.failed_calls - figures.failedModelCalls),
    delegations: totals.delegations,
  };
}

/** Whether it is a call of a model. While a call waits for its model to be loaded, it has no other bar. */
function isModelCall(span: Span): boolean {
  if (span.outcome !== "ok") return span.kind === "model" || span.kind === "loading";
  return span.kind === "model" && span.tries > 0;
}

/** A call of a leader that ended; its parts, one for each of several members, do not count. */
function isEndedDelegation(step: RunStep): boolean {
  const isCall = step.kind === "delegate" && /(^|\/)c\d+$/.test(step.path);
  return isCall && !isTakenOver(step) && (step.state === "completed" || step.state === "failed");
}

function count(spans: readonly Span[], outcome: Span["outcome"]): number {
  return spans.filter((span) => span.outcome === outcome).length;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
