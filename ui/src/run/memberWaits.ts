/** The times in which a leader waits for its members. */
import type { MemberRun, RunStep } from "./model/types";

export interface MemberWait {
  /** The path of the first delegation. */
  path: string;
  /** The run of the leader. */
  runId: string;
  start: number;
  /** Null while it goes on. */
  end: number | null;
  /** The names of the members, in the order of their delegations. */
  names: string[];
}

/**
 * One wait for delegations that overlap: a leader goes on once all of them have ended.
 *
 * @param end of the whole run; null while it goes on.
 */
export function memberWaits(
  steps: readonly RunStep[],
  members: readonly MemberRun[],
  end: number | null,
): MemberWait[] {
  const nameOf = new Map(members.map((member) => [member.run_id, member.name ?? member.component_id]));
  const open = new Map<string, MemberWait>();
  const waits: MemberWait[] = [];
  for (const step of [...steps].filter(isDelegation).sort((a, b) => a.started_at - b.started_at)) {
    const names = step.child_run_ids.flatMap((id) => nameOf.get(id) ?? []);
    const last = open.get(step.run_id);
    const stop = step.ended_at ?? end;
    if (last !== undefined && (last.end === null || step.started_at < last.end)) {
      last.end = last.end === null || stop === null ? null : Math.max(last.end, stop);
      last.names.push(...names.filter((name) => !last.names.includes(name)));
    } else if (names.length > 0) {
      const wait = {
        path: step.path,
        runId: step.run_id,
        start: step.started_at,
        end: stop,
        names: [...new Set(names)],
      };
      open.set(step.run_id, wait);
      waits.push(wait);
    }
  }
  return waits;
}

/** A call of a leader's model, in this run. A workflow's steps and the parts of a call to several members are none. */
function isDelegation(step: RunStep): boolean {
  return step.kind === "delegate" && step.tool_call_id !== null && step.attempt > 0;
}
