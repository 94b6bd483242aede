/** What a fork from a step keeps of its run, and what it does again. */
import type { MemberRun, RunStep } from "../model/types";

/** Tool calls and delegations by their names, in the order in which they began. */
export interface ForkPlan {
  kept: string[];
  repeated: string[];
  /** The member whose work has the step; it is done again from its start. */
  member: MemberRun | null;
}

/** The turn of the root run with a step, its own or a member's; null: the step is in no turn. */
export function turnOf(path: string): number | null {
  const turn = /^t(\d+)\//.exec(path)?.[1];
  return turn === undefined ? null : Number(turn);
}

/** Null: the step is in no turn, so no run can be forked from it. */
export function forkPlan(path: string, steps: readonly RunStep[], members: readonly MemberRun[]): ForkPlan | null {
  const turn = turnOf(path);
  if (turn === null) return null;
  const calls = steps.filter(({ kind }) => kind === "tool");
  const namesWhere = (isIn: (turn: number) => boolean) => {
    const names = calls.flatMap((call) => (isIn(turnOf(call.path) ?? -1) ? [call.name ?? "a tool"] : []));
    return [...new Set(names)];
  };
  return {
    kept: namesWhere((one) => one < turn),
    repeated: namesWhere((one) => one >= turn),
    member: members.find((one) => path.startsWith(`${one.path}/`) && !one.path.includes("/t")) ?? null,
  };
}
