/**
 * The list of runs as it is shown. Rows change in place and never move by themselves: a run that is new waits behind
 * "N new runs", and one that ends keeps its place until the list is asked for again.
 */
import type { RunSummary } from "../api/types";

export interface RunList {
  /** What the server listed. */
  active: RunSummary[];
  ended: RunSummary[];
  /** The newest state of each run that the feed told of since. */
  changes: ReadonlyMap<string, RunSummary>;
  /** Runs that are not on the page yet. */
  fresh: ReadonlySet<string>;
}

/** How many runs that are not on the page are remembered: a page may stay open for days. */
export const MOST_FRESH = 1_000;

export const EMPTY_CHANGES: Pick<RunList, "changes" | "fresh"> = { changes: new Map(), fresh: new Set() };

/**
 * The changes with `runs` added.
 *
 * @param isShown whether a run is on the page.
 * @param isWanted whether a run that is not on the page belongs there by the filters.
 */
export function withChanges(
  current: Pick<RunList, "changes" | "fresh">,
  runs: readonly RunSummary[],
  isShown: (runId: string) => boolean,
  isWanted: (run: RunSummary) => boolean,
): Pick<RunList, "changes" | "fresh"> {
  const changes = new Map(current.changes);
  const fresh = new Set(current.fresh);
  for (const run of runs) {
    const wasShown = isShown(run.run_id);
    if (!wasShown && !isWanted(run)) {
      fresh.delete(run.run_id);
      continue;
    }
    changes.delete(run.run_id); // so that the last change stands last
    changes.set(run.run_id, run); // also of one that is not shown yet: the list may be older when it comes
    if (!wasShown && fresh.size < MOST_FRESH) fresh.add(run.run_id);
  }
  const hidden = [...changes.keys()].filter((id) => !isShown(id));
  for (const id of hidden.slice(0, Math.max(0, hidden.length - MOST_FRESH))) changes.delete(id);
  return { changes, fresh };
}

/** What has changed since `before`, after which the lists were read again; new runs that were known then are listed. */
export function changesSince(
  before: Pick<RunList, "changes" | "fresh">,
  { changes, fresh }: Pick<RunList, "changes" | "fresh">,
): Pick<RunList, "changes" | "fresh"> {
  return {
    changes: new Map([...changes].filter(([id, run]) => before.changes.get(id) !== run)),
    fresh: new Set([...fresh].filter((id) => !before.fresh.has(id))),
  };
}

/** The rows with their changes; a listed row is only replaced by a state that is as new. */
export function changedRows(rows: readonly RunSummary[], changes: ReadonlyMap<string, RunSummary>): RunSummary[] {
  return rows.map((row) => {
    const change = changes.get(row.run_id);
    return change && !isOlder(change, row) ? change : row;
  });
}

/** A list that was asked for after a message may know more: an end is never taken back, nor a later attempt. */
function isOlder(change: RunSummary, row: RunSummary): boolean {
  if (row.ended_at !== null && change.ended_at === null && change.attempts <= row.attempts) return true;
  return change.attempts < row.attempts;
}

/** The sums of the rows on the page. */
export function sums(rows: readonly RunSummary[]): { tokens: number; cost: number } {
  let tokens = 0;
  let cost = 0;
  for (const { totals } of rows) {
    if (!totals) continue;
    tokens += totals.input_tokens + totals.output_tokens;
    cost += totals.cost ?? 0;
  }
  return { tokens, cost };
}
