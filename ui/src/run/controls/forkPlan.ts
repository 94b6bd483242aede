/** What a fork from a step keeps of its run, and what it does again. */
import type { MemberRun, RunStep } from "../model/types";

/** Tool calls and delegations by their names, in the order in which they began. */
export interface ForkPlan {
  kept: string[];
  repeated: string[];
  /** The member whose work has the step; it is done again from its start. */
  member: MemberRun | null;
}

/** The turn of the root run, or the step of a workflow, with a step, its own or a member's; null: it is in none. */
export function stageOf(path: string): number | null {
  const [, turn, step] = /^(?:t(\d+)\/|s(\d+)(?:\/|$))/.exec(path) ?? [];
  const stage = turn ?? step;
  return stage === undefined ? null : Number(stage);
}

/** Null: no run can be forked from the step. */
export function forkPlan(path: string, steps: readonly RunStep[], members: readonly MemberRun[]): ForkPlan | null {
  const stage = stageOf(path);
  if (stage === null) return null;
  const calls = steps.filter(({ kind }) => kind === "tool" || kind === "function");
  const namesWhere = (isIn: (stage: number) => boolean) => {
    const names = calls.flatMap((call) => (isIn(stageOf(call.path) ?? -1) ? [call.name ?? "a tool"] : []));
    return [...new Set(names)];
  };
  return {
    kept: namesWhere((one) => one < stage),
    repeated: namesWhere((one) => one >= stage),
    member: members.find((one) => path.startsWith(`${one.path}/`) && !one.path.includes("/t")) ?? null,
  };
}
