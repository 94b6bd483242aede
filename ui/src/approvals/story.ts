/** What led to a question: the person's message, then what each model on the way to the call said and delegated. */

import type { MemberRun } from "../api/types";
import { type Approval, callerOf } from "./approval";

export interface StoryLine {
  who: string;
  /** The words, or null if they are the text of the model call at `path`. */
  text: string | null;
  path: string;
}

/** A call stands in a turn of its run: `t1/c0`, or `t0/c2/t1/c0` if a delegation leads to it. */
const CALL = /(?:^|\/)(t\d+)\/c\d+$/;

export function storyOf(approval: Approval, input: string | null, members: readonly MemberRun[]): StoryLine[] {
  const calls = callsTo(approval.step_path);
  const nameOf = new Map(members.map((member) => [member.path, member.name]));
  const lines: StoryLine[] = [];
  if (input) lines.push({ who: approval.user_id ?? "User", text: input, path: "" });
  for (const [index, call] of calls.entries()) {
    const isLast = index === calls.length - 1;
    const runPath = calls[index - 1]?.path ?? "";
    const who = nameAt(approval, nameOf, runPath, isLast);
    lines.push({ who, text: null, path: `${call.turn}/m` });
    const next = calls[index + 1];
    if (next === undefined) continue;
    const task = index + 1 === calls.length - 1 ? approval.task : members.find(({ path }) => path === call.path)?.task;
    const whom = nameAt(approval, nameOf, call.path, index + 1 === calls.length - 1);
    if (task) lines.push({ who: `${who} to ${whom}`, text: task, path: "" });
  }
  return lines;
}

function nameAt(
  approval: Approval,
  nameOf: ReadonlyMap<string, string | null>,
  runPath: string,
  isCaller: boolean,
): string {
  if (isCaller) return callerOf(approval);
  return (runPath === "" ? approval.source_name : nameOf.get(runPath)) ?? "A team";
}

/** The calls on the way to a step, the outermost first, each with the path of its turn. */
function callsTo(stepPath: string): { path: string; turn: string }[] {
  const calls: { path: string; turn: string }[] = [];
  let path = stepPath;
  for (let match = CALL.exec(path); match !== null; match = CALL.exec(path)) {
    calls.unshift({ path, turn: path.slice(0, path.lastIndexOf("/")) });
    path = path.slice(0, match.index);
  }
  return calls;
}
