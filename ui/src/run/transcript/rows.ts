/** The transcript as rows: who speaks, what was asked, what was written, what was called. */
import type { Entry, ModelCall, RunFeed, Thread } from "../live/feed";
import type { RunDetail } from "../model/types";
import { componentName, messageOf } from "../model/types";

export type Row =
  /** With when it began, and with its first text, which says how long it took. */
  | { kind: "speaker"; key: string; thread: Thread; at: number; text: ModelCall | null }
  | { kind: "task"; key: string; thread: Thread; from: string; text: string }
  /** An entry is timed if no speaker stands above it and says when it was. */
  | { kind: "entry"; key: string; thread: Thread; entry: Entry; isTimed: boolean }
  | { kind: "answer"; key: string; thread: Thread; text: string }
  | { kind: "sources"; key: string; thread: Thread };

interface Placed {
  /** When it began. Of two that began together, the one with the lower index is first. */
  at: number;
  index: number;
  thread: Thread;
  row: (key: string, isTimed: boolean) => Row;
}

/**
 * All that happened, in order; of one member if `memberRunId` is given.
 *
 * A model call that only called tools has no row of its own: the calls follow it.
 */
export function toRows(feed: RunFeed, run: RunDetail, memberRunId: string | null): Row[] {
  const tasks = new Map(run.members.map((member) => [member.run_id, member.task ?? ""]));
  const placed: Placed[] = [];
  for (const thread of feed.threads.values()) {
    if (memberRunId !== null && thread.runId !== memberRunId) continue;
    const isRoot = thread.runId === run.run_id;
    const task = isRoot ? messageOf(run) : (tasks.get(thread.runId) ?? "");
    const parent = thread.parentRunId === null ? undefined : feed.threads.get(thread.parentRunId);
    const from = isRoot ? (run.user_id ?? "User") : (parent?.name ?? componentName(run));
    if (task !== "")
      placed.push({
        at: thread.startedAt,
        index: thread.index - 0.5,
        thread,
        row: (key) => ({ kind: "task", key, thread, from, text: task }),
      });
    for (const entry of thread.entries) {
      if (isShown(entry))
        placed.push({
          at: startOf(entry, feed),
          index: entry.index,
          thread,
          row: (key, isTimed) => ({ kind: "entry", key, thread, entry, isTimed }),
        });
    }
    // Both stand right below the last entry, even if other runs began something before this one ended.
    const at = Math.max(thread.startedAt, ...thread.entries.map((entry) => startOf(entry, feed)));
    const index = thread.entries.at(-1)?.index ?? 0;
    const answer = answerOf(thread);
    if (answer !== null) {
      placed.push({ at, index: index + 0.5, thread, row: (key) => ({ kind: "answer", key, thread, text: answer }) });
    }
    if (thread.searches.length > 0) {
      placed.push({ at, index: index + 0.75, thread, row: (key) => ({ kind: "sources", key, thread }) });
    }
  }
  placed.sort((a, b) => a.at - b.at || a.index - b.index);
  const rows: Row[] = [];
  let speaker: Thread | null = null;
  for (const { at, index, thread, row } of placed) {
    const next = row(`${thread.runId} ${index}`, thread === speaker);
    if (next.kind === "entry" && next.entry.kind === "step") {
      speaker = null;
    } else if (thread !== speaker) {
      speaker = thread;
      const text = next.kind === "entry" && next.entry.kind === "model" ? next.entry : null;
      rows.push({ kind: "speaker", key: `${thread.runId} ${index} speaker`, thread, at, text });
    }
    rows.push(next);
  }
  return rows;
}

/** The calls of one answer may begin one after the other, long after the event that announces them. */
function startOf(entry: Entry, feed: RunFeed): number {
  if (entry.kind === "note") return entry.at;
  // A crash lets a delegation begin again, but all that its member did stands below it.
  const childRunId = entry.kind === "tool" ? entry.childRunId : null;
  const member = childRunId === null ? undefined : feed.threads.get(childRunId);
  return Math.min(entry.startedAt, member?.startedAt ?? entry.startedAt);
}

function isShown(entry: Entry): boolean {
  if (entry.kind === "model")
    return entry.text !== "" || entry.reasoning !== "" || entry.endedAt === null || entry.isError;
  return true;
}

/** The answer of a run, if its last text is not the same. */
function answerOf(thread: Thread): string | null {
  if (thread.answer === null || thread.answer.trim() === "") return null;
  const last = thread.entries.findLast(
    (entry): entry is ModelCall => entry.kind === "model" && !entry.isVoid && entry.text !== "",
  );
  return last !== undefined && last.text.trim() === thread.answer.trim() ? null : thread.answer;
}
